"""Every adapter of a process, made on first use and closed together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from inboxops.core import signing
from inboxops.core.signing import SigningKey
from inboxops.db.api_keys import ApiKeyStore
from inboxops.db.attachments import AttachmentStore
from inboxops.db.canaries import CanaryStore
from inboxops.db.cells import CellStore
from inboxops.db.certificate import CertificateStore
from inboxops.db.console import ConsoleStore
from inboxops.db.corrections import CorrectionStore
from inboxops.db.credentials import CredentialStore
from inboxops.db.database import Database
from inboxops.db.departures import DepartureStore
from inboxops.db.erasure import ErasureStore
from inboxops.db.housekeeping import HousekeepingStore
from inboxops.db.inbound import InboundStore
from inboxops.db.inboxes import InboxStore
from inboxops.db.looks import LookStore
from inboxops.db.mail_rules import MailRuleStore
from inboxops.db.notices import NoticeStore
from inboxops.db.outbound import OutboundStore
from inboxops.db.outbox import OutboxStore
from inboxops.db.persist import PersistStore
from inboxops.db.pulse import PulseStore
from inboxops.db.push import PushStore
from inboxops.db.reading import ReadStore
from inboxops.db.replays import ReplayStore
from inboxops.db.rereading import RereadStore
from inboxops.db.tickets import TicketStore
from inboxops.db.trace import TraceStore
from inboxops.errors import OperatorError
from inboxops.events.relay import Relay
from inboxops.orchestrator.airflow import Airflow
from inboxops.orchestrator.cells import Airflows
from inboxops.ports import Prober
from inboxops.providers import prober, sender
from inboxops.settings import Settings
from inboxops.storage.vault import Vault

if TYPE_CHECKING:
    from inboxops.events.redis_bus import RedisBus
    from inboxops.storage.bulk import BulkStore
    from inboxops.storage.s3 import S3Store


Store = TypeVar("Store")


def _on_database(store: Callable[[Database], Store]) -> cached_property[Store]:
    return cached_property(lambda world: store(world.database))


def _signing_key(world: World) -> SigningKey:
    """Raises OperatorError for previous keys that are none."""
    known = world.settings
    try:
        return signing.read(known.signing_key.get_secret_value(), known.previous_signing_keys.get_secret_value())
    except ValueError as exc:
        raise OperatorError(str(exc), fix="Correct INBOXOPS_PREVIOUS_SIGNING_KEYS: docs/operations.md, Keys") from None


def _vault(world: World) -> Vault:
    return Vault(world.settings.credential_keys.get_secret_value())


def _bus(world: World) -> RedisBus:
    from inboxops.events import redis_bus  # 20 MB, and boto3 more: Airflow's api-server holds a World without them

    return redis_bus.RedisBus(redis_bus.client(world.settings.redis_url.get_secret_value()))


@dataclass
class World:
    """The adapters. In tasks `dsn` and what makes `s3` come from Airflow's connections, else from settings."""

    settings: Settings
    dsn: str = ""
    s3: Callable[[], Any] | None = None
    connections: int = 4
    _probers: dict[str, Prober] = field(default_factory=dict, repr=False)

    @cached_property
    def database(self) -> Database:
        dsn = self.dsn or self.settings.database_url.get_secret_value()
        return Database(dsn, connections=self.connections)

    inboxes = _on_database(InboxStore)
    credentials = _on_database(CredentialStore)
    inbound = _on_database(InboundStore)
    filing = _on_database(PersistStore)
    leftovers = _on_database(HousekeepingStore)
    tickets = _on_database(TicketStore)
    corrections = _on_database(CorrectionStore)
    console = _on_database(ConsoleStore)
    erasures = _on_database(ErasureStore)
    traces = _on_database(TraceStore)
    canaries = _on_database(CanaryStore)
    certificates = _on_database(CertificateStore)
    moves = _on_database(CellStore)
    departures = _on_database(DepartureStore)
    outbox = _on_database(OutboxStore)
    push = _on_database(PushStore)
    mail_rules = _on_database(MailRuleStore)
    reading = _on_database(ReadStore)
    rereading = _on_database(RereadStore)
    replays = _on_database(ReplayStore)
    outbound = _on_database(OutboundStore)
    attachments = _on_database(AttachmentStore)
    api_keys = _on_database(ApiKeyStore)
    signing_key = cached_property(_signing_key)
    vault = cached_property(_vault)
    bus = cached_property(_bus)

    @cached_property
    def looks(self) -> LookStore:
        return LookStore(self.database, self.cell)

    @cached_property
    def heart(self) -> PulseStore:
        return PulseStore(self.database, self.cell)

    @cached_property
    def notices(self) -> NoticeStore:
        return NoticeStore(self.database, open_secret=self.vault.open)

    @cached_property
    def relay(self) -> Relay:
        known = self.settings
        return Relay(known.notify_smtp_url.get_secret_value(), known.notify_from, known.api_url, sender("imap"))

    @cached_property
    def objects(self) -> S3Store:
        return self.new_objects()

    def new_objects(self, bucket: str = "") -> S3Store:
        """On a client, and so on connections, of its own; of our bucket unless another is named."""
        from inboxops.storage import s3

        return s3.S3Store(self.s3() if self.s3 else s3.client(self.settings), bucket or self.settings.s3_bucket)

    @cached_property
    def bulk_objects(self) -> BulkStore:
        """Many objects at little cost. Once it is there, processes that are forked from this one can have none."""
        from inboxops.storage.bulk import BulkStore  # loads its runtime, which most processes don't need

        return BulkStore(self.objects.client, self.settings.s3_bucket)

    @property
    def cell(self) -> str:
        """Which cell this process works for."""
        return self.settings.cell

    @cached_property
    def airflows(self) -> Airflows:
        known = self.settings
        return Airflows(
            known.cell,
            known.airflow_url,
            known.airflow_username,
            known.airflow_password.get_secret_value(),
            known.cells.get_secret_value(),
        )

    @property
    def airflow(self) -> Airflow:
        """That of our own cell."""
        return self.airflows.of(self.cell)

    def prober(self, connection_type: str) -> Prober:
        """The one prober of a kind of mailbox in this process: it keeps connections between polls."""
        if connection_type not in self._probers:
            self._probers.setdefault(connection_type, prober(connection_type))  # of two threads the first one's
        return self._probers[connection_type]

    def of_tenant(self, tenant_id: int) -> World:
        """The same adapters on a database that shows one tenant: what the API works with."""
        scoped = World(self.settings)
        scoped.database = self.database.of_tenant(tenant_id)
        scoped.objects, scoped.bus, scoped.airflows, scoped.vault = self.objects, self.bus, self.airflows, self.vault
        return scoped

    def close(self) -> None:
        for each in self._probers.values():
            each.close()
        if "database" in self.__dict__:
            self.database.close()
