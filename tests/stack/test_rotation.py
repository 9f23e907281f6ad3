"""Every secret gets a new value while the stack runs: mail comes before, meanwhile and after, and what was given out goes on."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import httpx
import psutil
import psycopg
import pytest
import redis
from botocore.exceptions import ClientError
from psycopg.conninfo import make_conninfo

from inboxops.composition import access, certifying, runs
from inboxops.composition.world import World
from inboxops.core import signing
from inboxops.cores import CORE_BYTES
from inboxops.errors import InboxOpsError, InvalidInput
from inboxops.settings import Settings
from inboxops_lab.testing.mailserver import MailServer
from inboxops_local.stack.home import GENERATED, PREVIOUS_POSTGRES_PASSWORD, PREVIOUS_S3_KEY, read_env, write_private
from inboxops_local.stack.layout import command
from inboxops_local.stack.lock import exclusive
from inboxops_local.stack.record import Record
from inboxops_local.stack.rotation import KNOWN, ON_DEMAND, S3_KEY, SEALING, SIGNS_TWICE, finished, renewed
from inboxops_local.stack.testing import running
from tests.e2e.conftest import eventually
from tests.intruders.test_cores import core_limit
from tests.stories.conftest import connect, mail

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
ROLES = {
    "inboxops": "STACK_OWNER_PASSWORD",
    "inboxops_tasks": "STACK_TASKS_PASSWORD",
    "inboxops_api": "STACK_API_PASSWORD",
    "postgres": "STACK_POSTGRES_PASSWORD",
    "airflow": "STACK_AIRFLOW_DATABASE_PASSWORD",
}


def tried(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "INBOXOPS_HOME": str(home)}
    return subprocess.run(command("rotate", *arguments), env=environment, capture_output=True, text=True, timeout=500)


def rotate(home: Path, *arguments: str) -> None:
    done = tried(home, *arguments)
    assert done.returncode == 0, done.stderr + done.stdout


def kept(home: Path) -> dict[str, str]:
    return read_env(home / "inboxops.env")


def write(path: Path, values: dict[str, str]) -> None:
    write_private(path, "".join(f"{name}={value}\n" for name, value in values.items()))


def known(home: Path) -> Settings:
    """As they stand in the file now."""
    ours = {name.removeprefix("INBOXOPS_").lower(): value for name, value in kept(home).items()}
    return Settings.model_validate(ours)


def opens(home: Path, role: str, password: str) -> bool:
    port = known(home).database_url.get_secret_value().rpartition(":")[2].partition("/")[0]
    database = "airflow" if role == "airflow" else "inboxops"
    dsn = make_conninfo(host="127.0.0.1", port=port, user=role, password=password, dbname=database)
    try:
        psycopg.connect(dsn).close()
    except psycopg.OperationalError as exc:
        assert "password authentication failed" in str(exc)
        return False
    return True


def stores(home: Path, access_key: str, secret_key: str) -> bool:
    settings = known(home)
    client = boto3.client(
        "s3",
        endpoint_url=settings.s3_endpoint,
        region_name=settings.s3_region,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
    )
    try:
        client.list_objects_v2(Bucket=settings.s3_bucket)
    except ClientError as exc:
        assert exc.response["ResponseMetadata"]["HTTPStatusCode"] == 403
        return False
    return True


def speaks(url: str) -> bool:
    try:
        with closing(redis.Redis.from_url(url)) as client:
            return bool(client.ping())
    except redis.AuthenticationError:
        return False


def logs_in(home: Path, username: str, password: str) -> bool:
    said = {"username": username, "password": password}
    answer = httpx.post(f"{known(home).airflow_url}/auth/token", json=said, trust_env=False)
    assert answer.status_code in (201, 401)
    return answer.status_code == 201


def processes(home: Path) -> Iterator[psutil.Process]:
    """Everything that runs in this home."""
    record = Record.read(home / "stack.json")
    assert record is not None
    yield from psutil.Process(record.supervisor.pid).children(recursive=True)


def woken(world: World, inbox_id: int) -> bool:
    try:
        world.airflow.wake(inbox_id)
    except InboxOpsError:
        return False
    return True


@pytest.mark.e2e
@pytest.mark.timeout(900)
def test_every_secret_is_renewed_while_mail_comes(tmp_path: Path, mail_server: MailServer) -> None:
    home = tmp_path / "home"
    with running(home, seconds=600) as settings:
        with closing(World(settings)) as world:
            world.inboxes.add_tenant("acme", "Acme")
            tenant_id = world.inboxes.tenant_id("acme")
            box = connect(world, "acme", mail_server)
            eventually("Airflow is asked to read the list of inboxes", lambda: runs.show_inboxes(world))
            sent = ["before"]
            box.deliver(mail("before"))
            eventually("Airflow knows the inbox", lambda: woken(world, box.inbox_id))
            eventually("the first mail is a ticket", lambda: box.tickets() == [("before", 1)], seconds=120)
            certifying.certify(world, tenant_id)
            world.objects.put("given-out", b"bytes", content_type="text/plain")
            link = world.objects.presigned_get("given-out", file_name="a.txt", content_type="text/plain", seconds=900)
            log_in = access.login_link(world, tenant_id, name="Ann", role="agent", minutes=30).partition("#")[2]
        browser = httpx.Client(base_url=settings.api_url, headers={"Origin": settings.api_url}, trust_env=False)
        assert browser.post("/v1/session", json={"link": log_in}).status_code == 200

        old, over, refused = kept(home), threading.Event(), list[int]()

        def go_on() -> None:
            """A customer writes and an agent looks, twice a second."""
            while not over.wait(0.5):
                sent.append(f"meanwhile {len(sent)}")
                box.deliver(mail(sent[-1]))
                with suppress(httpx.TransportError):
                    if (status := browser.get("/v1/tickets").status_code) != 200:
                        refused.append(status)

        going = threading.Thread(target=go_on)
        going.start()
        try:
            rotate(home, "--all")
        finally:
            over.set()
            going.join()
        sent.append("after")
        box.deliver(mail("after"))

        new = kept(home)
        assert [name for name in GENERATED if new[name] == old[name]] == []
        with closing(World(known(home))) as world:
            box.world = world
            eventually("a run is started with the new password", lambda: woken(world, box.inbox_id))
            eventually("every mail is a ticket", lambda: len(box.tickets()) >= len(sent), seconds=180)
            assert sorted(subject for subject, _ in box.tickets()) == sorted(sent)
            verified, broken = certifying.verify(world, tenant_id)  # ours, and Airflow's own where its day has begun
            assert (verified >= 1, broken) == (True, [])
        assert browser.get("/v1/session").status_code == 200, "who was logged in still is"
        assert set(refused) <= {500, 503}, "nobody was told to log in again"
        assert httpx.get(link, trust_env=False).content == b"bytes", "a link that was given out still opens"
        for role, name in ROLES.items():
            assert (opens(home, role, old[name]), opens(home, role, new[name])) == (False, True), role
        assert (speaks(old["INBOXOPS_REDIS_URL"]), speaks(new["INBOXOPS_REDIS_URL"])) == (False, True)
        for person, name in (("admin", "STACK_AIRFLOW_ADMIN_PASSWORD"), ("inboxops", "INBOXOPS_AIRFLOW_PASSWORD")):
            assert (logs_in(home, person, old[name]), logs_in(home, person, new[name])) == (False, True), person
        gone = [name for name in GENERATED if name not in ("INBOXOPS_SIGNING_KEY", *S3_KEY)]
        text = (home / "inboxops.env").read_text()
        assert [name for name in gone if old[name] in text] == []
        for process in processes(home):
            with suppress(psutil.NoSuchProcess, FileNotFoundError):
                held = "\n".join((*process.environ().values(), *process.cmdline()))
                assert [name for name in GENERATED if old[name] in held] == [], process.cmdline()
                assert core_limit(process.pid) in ("0", str(CORE_BYTES)), process.cmdline()


def test_the_object_stores_old_key_ends_by_itself_and_at_once_where_it_leaked(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with running(home, "--only=services"):
        first = [kept(home)[name] for name in S3_KEY]
        rotate(home, "INBOXOPS_S3_SECRET_KEY")
        second = [kept(home)[name] for name in S3_KEY]
        assert (stores(home, *first), stores(home, *second)) == (True, True)
        soon = (datetime.now(UTC) + timedelta(seconds=3)).isoformat()
        write(home / "inboxops.env", kept(home) | {PREVIOUS_S3_KEY: f"{':'.join(first)}@{soon}"})
        rotate(home, "--reload")
        eventually("it ends", lambda: PREVIOUS_S3_KEY not in kept(home), seconds=30)
        rotate(home, "--reload")  # waits for the store to be ready again
        assert (stores(home, *first), stores(home, *second)) == (False, True)
        rotate(home, "--forget", "INBOXOPS_S3_ACCESS_KEY")
        assert not stores(home, *second)
        assert stores(home, *[kept(home)[name] for name in S3_KEY])


def test_what_does_not_use_a_secret_is_left_alone_and_one_that_can_not_be_read_changes_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with running(home, "--only=services"):
        before = Record.read(home / "stack.json")
        rotate(home, "STACK_REDIS_PASSWORD")
        after = Record.read(home / "stack.json")
        assert before is not None
        assert after is not None
        moved = {name for name, part in before.parts.items() if part.process != after.parts[name].process}
        assert moved == {"redis"}
        assert after.parts["redis"].restarts == 0
        whole = kept(home)
        for name, wrong in (("STACK_REDIS_PASSWORD", ""), (PREVIOUS_S3_KEY, "a:b@tomorrow")):
            write(home / "inboxops.env", whole | {name: wrong})
            done = tried(home, "--reload")
            assert (done.returncode, f"goes on with the old secrets: {name}" in done.stderr) == (1, True)
            assert speaks(whole["INBOXOPS_REDIS_URL"])
        with exclusive(home / "rotate.lock"):
            assert "renewed already" in tried(home, "STACK_REDIS_PASSWORD").stderr, (
                "one at a time: none loses another's key"
            )
        write(home / "inboxops.env", whole)
        rotate(home, "--reload")


def test_without_a_running_stack_nothing_is_renewed(tmp_path: Path) -> None:
    done = tried(tmp_path / "home", "--all")
    assert (done.returncode, "nothing is running" in done.stderr) == (1, True)


def test_composes_file_is_renewed_in_two_steps(tmp_path: Path) -> None:
    values, path = {name: make() for name, make in GENERATED.items()}, tmp_path / ".env"
    write(path, values)
    path.write_text(f"# ours\nTZ=UTC\n{path.read_text()}")
    rotate(tmp_path / "home", "--env-file", str(path), "--all")
    new = read_env(path)
    assert path.read_text().startswith("# ours\nTZ=UTC\n")
    assert {name for name in GENERATED if new[name] == values[name]} == {"STACK_POSTGRES_PASSWORD"}
    for name in SEALING:
        assert new[name].split(",")[1:] == [values[name]]
    key = signing.read(new["INBOXOPS_SIGNING_KEY"], new["INBOXOPS_PREVIOUS_SIGNING_KEYS"])
    assert [one.secret.decode() for one in key.previous] == [values["INBOXOPS_SIGNING_KEY"]]
    rotate(tmp_path / "home", "--env-file", str(path), "--finish")
    for name in SEALING:
        assert read_env(path)[name] == new[name].split(",")[0]
    assert path.stat().st_mode & 0o777 == 0o600
    assert tried(tmp_path / "home", "--env-file", str(path), "STACK_POSTGRES_PASSWORD").returncode == 1
    write(path, {name: value for name, value in values.items() if name not in S3_KEY})  # the store is another's
    rotate(tmp_path / "home", "--env-file", str(path), "--all")
    assert not {*S3_KEY} & set(read_env(path))
    assert "no INBOXOPS_S3_" in tried(tmp_path / "home", "--env-file", str(path), S3_KEY[0]).stderr


@pytest.mark.parametrize("name", KNOWN)
def test_each_secret_alone(name: str) -> None:
    before = {one: make() for one, make in (GENERATED | ON_DEMAND).items()}
    after = renewed(before, [name], now=NOW)
    others = {one for one in KNOWN if after[one] != before[one]}
    assert others == ({*S3_KEY} if name in S3_KEY else {name})
    forgotten = finished(renewed(before, [name], now=NOW, forget=True))
    assert before[name] not in "".join(forgotten.values())


def test_a_second_renewal_keeps_what_the_first_put_away() -> None:
    before = {name: make() for name, make in (GENERATED | ON_DEMAND).items()}
    first = renewed(before, KNOWN, now=NOW)
    second = renewed(finished(first), KNOWN, now=NOW + timedelta(days=1))
    key = signing.read(second["INBOXOPS_SIGNING_KEY"], second["INBOXOPS_PREVIOUS_SIGNING_KEYS"])
    signed = [one.secret.decode() for one in key.previous]
    assert signed == [first["INBOXOPS_SIGNING_KEY"], before["INBOXOPS_SIGNING_KEY"]]
    assert second[SIGNS_TWICE].split()[1] == first[SIGNS_TWICE].split()[0]
    assert PREVIOUS_POSTGRES_PASSWORD in second
    assert PREVIOUS_POSTGRES_PASSWORD not in finished(second)


def test_cut_off_between_its_steps_it_loses_no_key() -> None:
    """Done again before anything was sealed anew, what the first key sealed opens all the same."""
    before = {name: make() for name, make in GENERATED.items()}
    again = renewed(renewed(before, SEALING, now=NOW), SEALING, now=NOW)
    for name in SEALING:
        assert before[name] in again[name].split(",")


def test_a_name_that_is_none_says_which_there_are() -> None:
    with pytest.raises(InvalidInput, match="GOOGLE_CLIENT_SECRET"):
        renewed({}, ["INBOXOPS_GOOGLE_CLIENT_SECRET"], now=NOW)
