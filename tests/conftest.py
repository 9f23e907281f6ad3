"""Servers that the tests share, and the rule that CI skips nothing it could run."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from inboxops.composition.world import World
from inboxops.db.migrate import migrate
from inboxops.settings import Settings
from inboxops_lab.testing.jmapserver import Cyrus, cyrus_folder
from inboxops_lab.testing.mailserver import Dovecot, MailServer, Pymap, dovecot_binary
from inboxops_local.stack.testing import running
from tests.disks import NO_DISK
from tests.objectstore import S3Server
from tests.providers.cloud_kits import GmailServer, GraphServer
from tests.receiver import Receiver, list_our_own_host

WITHOUT_DOVECOT = (
    "Dovecot is not installed: the IMAP tests ran against pymap, which proves less (apt-get install dovecot-imapd)"
)
ALLOWED_SKIPS: tuple[str, ...] = (NO_DISK,)
"""Reasons for which a test may be skipped even in CI, as they start. Each names what a CI machine may not have."""


def _in_ci() -> bool:
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}


@pytest.fixture(scope="session")
def mail_server() -> Iterator[MailServer]:
    """An IMAP server that the session shares: use a user of your own."""
    if dovecot_binary() is None and _in_ci():
        pytest.fail("CI=true, but Dovecot is not installed: apt-get install dovecot-imapd")
    server = Dovecot() if dovecot_binary() else Pymap()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def dovecot(mail_server: MailServer) -> Dovecot:
    """For what only Dovecot can do."""
    if not isinstance(mail_server, Dovecot):
        pytest.skip("needs Dovecot, which is not installed")
    return mail_server


@pytest.fixture(scope="session")
def jmap_server() -> Iterator[Cyrus]:
    """A JMAP server that the session shares: use a user of your own."""
    if cyrus_folder() is None:
        pytest.skip("needs Cyrus' JMAP server, which is not installed (apt-get install cyrus-caldav sasl2-bin)")
    server = Cyrus()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    server = S3Server()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def gmail_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GmailServer]:
    server = GmailServer(tmp_path_factory.mktemp("gmail"))
    yield server
    server.serving.stop()


@pytest.fixture(scope="session")
def graph_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GraphServer]:
    server = GraphServer(tmp_path_factory.mktemp("graph"))
    yield server
    server.serving.stop()


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """PostgreSQL, Valkey and the S3 server from their wheels, with our schema."""
    with running(tmp_path_factory.mktemp("stack") / "home", "--only=services") as settings:
        migrate(settings.owner_dsn)
        yield settings


@pytest.fixture
def world(services: Settings) -> Iterator[World]:
    """The product on real servers. The database is shared: use a tenant of your own."""
    world = World(services)
    yield world
    world.close()


@pytest.fixture
def nothing_beat_before(world: World) -> None:
    """Beats and looks of other tests grow old, and then say that mail stands still."""
    with world.database.transaction() as t:
        t.connection.execute(b"DELETE FROM pulse")
        t.connection.execute(b"DELETE FROM inbox_looks")


@pytest.fixture
def tenant(world: World) -> str:
    slug = f"t{uuid.uuid4().hex[:12]}"
    world.inboxes.add_tenant(slug, "Test Ltd")
    return slug


@pytest.fixture
def receiver(world: World) -> Iterator[Receiver]:
    """A webhook in our own network, which the operator of `world` lists."""
    list_our_own_host(world)
    receiver = Receiver()
    yield receiver
    receiver.stop()


AIRFLOWS_OF_THEIR_OWN = (
    "tests/e2e/test_looking",
    "tests/cells/test_airflows",
    "tests/stack/test_rotation",
    "tests/push/test_dags",
    "tests/bench/test_bench.py::test_latency_of_a_mail",
)
"""Each starts the whole of Airflow for itself: one after the other, and so never more than one beside that of `tests/e2e`."""
LONGEST = (
    "airflow",
    "airflows of their own",
    "tests/bench/test_bench.py",
    "tests/stack/test_supervisor.py",
    "tests/crash/test_crash.py",
    "tests/stack/test_endings.py",
    "tests/packaging/test_wheel.py",
)
"""What begins first, so that no process is still at it when the others are done."""


class ByServers(LoadScopeScheduling):
    """What shares servers stays in one of several processes: a file, and what needs the whole of Airflow."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(AIRFLOWS_OF_THEIR_OWN):
            return "airflows of their own"
        return "airflow" if nodeid.startswith("tests/e2e/") else nodeid.partition("::")[0]

    def _assign_work_unit(self, node: WorkerController) -> None:
        for scope in LONGEST:
            if scope in self.workqueue:
                self.workqueue.move_to_end(scope, last=False)
                break
        super()._assign_work_unit(node)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByServers:
    return ByServers(config, log)


def pytest_report_header() -> str:
    return f"IMAP server: {dovecot_binary() or 'pymap. ' + WITHOUT_DOVECOT}"


_skipped: list[tuple[str, str]] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail") and isinstance(report.longrepr, tuple):
        _skipped.append((report.nodeid, report.longrepr[2].removeprefix("Skipped: ")))


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped and isinstance(report.longrepr, tuple):
        _skipped.append((report.nodeid, report.longrepr[2].removeprefix("Skipped: ")))


def _unwanted_skips() -> list[tuple[str, str]]:
    return [(test, reason) for test, reason in _skipped if not reason.startswith(ALLOWED_SKIPS)]


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if _in_ci() and _unwanted_skips() and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if dovecot_binary() is None:
        terminalreporter.write_line(WITHOUT_DOVECOT, yellow=True)
    if _in_ci() and (unwanted := _unwanted_skips()):
        terminalreporter.section("skipped in CI, which counts as failed", red=True)
        for test, reason in unwanted:
            terminalreporter.write_line(f"{test}: {reason}")
