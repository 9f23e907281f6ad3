"""A real S3 server from its wheel: SeaweedFS, which checks signatures and expiry."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from inboxops.settings import Settings
from inboxops_lab.testing.processes import ServerProcess, free_ports
from inboxops_local.stack.backing import object_index

ACCESS_KEY, SECRET_KEY = "testaccess", "testsecret0123456789"


class S3Server:
    """One identity may do everything, nobody else anything."""

    def __init__(
        self, folder: Path | None = None, *, index: Callable[[Path], Mapping[str, str]] = object_index
    ) -> None:
        """folder: goes on with the data in it, and leaves it there."""
        self._own_folder = folder is None
        self._folder = folder or Path(tempfile.mkdtemp(prefix="inboxops-s3-"))
        identity = {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}
        identities = {"identities": [{"name": "tests", "credentials": [identity], "actions": ["Admin"]}]}
        config = self._folder / "s3.json"
        config.write_text(json.dumps(identities))
        parts = ("master", "volume", "filer", "s3")
        ports = free_ports(2 * len(parts))
        command = [
            Path(sys.executable).with_name("weed"),
            "-logtostderr",
            "server",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
        ]
        command += [f"-dir={self._folder}", "-master.volumeSizeLimitMB=64", "-volume.max=20", "-filer", "-s3"]
        # Without a 0 these two listen on fixed ports, and a second SeaweedFS of the machine dies of it.
        command += [f"-s3.config={config}", "-s3.port.iceberg=0", "-s3.port.lance=0"]
        command += [f"-{part}.port={port}" for part, port in zip(parts, ports, strict=False)]
        command += [f"-{part}.port.grpc={port}" for part, port in zip(parts, ports[len(parts) :], strict=True)]
        grpc = zip(parts, ports[len(parts) :], strict=True)
        self._sockets = [Path(f"/tmp/seaweedfs-{part}-grpc-{port}.sock") for part, port in grpc]
        self._process = ServerProcess(
            command, ports[1 : len(parts)], self._folder / "weed.log", environment=index(self._folder), seconds=60
        )
        self.endpoint = f"http://127.0.0.1:{ports[3]}"

    def settings(self, **changes: str) -> Settings:
        values = {
            "database_url": "postgresql://",
            "redis_url": "redis://",
            "credential_keys": "unused",
            "signing_key": "unused",
            "s3_endpoint": self.endpoint,
            "s3_access_key": ACCESS_KEY,
            "s3_secret_key": SECRET_KEY,
            "s3_bucket": "inboxops-tests",
        }
        return Settings.model_validate(values | changes)

    def stop(self) -> None:
        self._process.stop(seconds=1)
        for leftover in self._sockets:
            leftover.unlink(missing_ok=True)
        if self._own_folder:
            shutil.rmtree(self._folder, ignore_errors=True)
