"""Every adapter of a process, made on first use and closed together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from inboxops.db.api_keys import ApiKeyStore
from inboxops.db.attachments import AttachmentStore
from inboxops.db.credentials import CredentialStore
from inboxops.db.database import Database
from inboxops.db.housekeeping import HousekeepingStore
from inboxops.db.inbound import InboundStore
from inboxops.db.inboxes import InboxStore
from inboxops.db.notices import NoticeStore
from inboxops.db.outbound import OutboundStore
from inboxops.db.outbox import OutboxStore
from inboxops.db.persist import PersistStore
from inboxops.db.push import PushStore
from inboxops.db.reading import ReadStore
from inboxops.db.tickets import TicketStore
from inboxops.events.redis_bus import RedisBus
from inboxops.events.redis_bus import client as redis_client
from inboxops.events.relay import Relay
from inboxops.orchestrator.airflow import Airflow
from inboxops.ports import Prober
from inboxops.providers import sender
from inboxops.settings import Settings
from inboxops.storage.s3 import S3Store
from inboxops.storage.s3 import client as s3_client
from inboxops.storage.vault import Vault

if TYPE_CHECKING:
    from inboxops.storage.swift import SwiftStore


@dataclass
class Adapters:
    """Every adapter, made on first use. In tasks `dsn` and what makes `s3` come from Airflow's connections, else from settings."""

    settings: Settings
    dsn: str = ""
    s3: Callable[[], Any] | None = None
    connections: int = 4
    _probers: dict[str, Prober] = field(default_factory=dict, repr=False)

    @cached_property
    def database(self) -> Database:
        dsn = self.dsn or self.settings.database_url.get_secret_value()
        return Database(dsn, connections=self.connections)

    @cached_property
    def inboxes(self) -> InboxStore:
        return InboxStore(self.database)

    @cached_property
    def credentials(self) -> CredentialStore:
        return CredentialStore(self.database)

    @cached_property
    def inbound(self) -> InboundStore:
        return InboundStore(self.database)

    @cached_property
    def filing(self) -> PersistStore:
        return PersistStore(self.database)

    @cached_property
    def leftovers(self) -> HousekeepingStore:
        return HousekeepingStore(self.database)

    @cached_property
    def tickets(self) -> TicketStore:
        return TicketStore(self.database)

    @cached_property
    def outbox(self) -> OutboxStore:
        return OutboxStore(self.database)

    @cached_property
    def push(self) -> PushStore:
        return PushStore(self.database)

    @cached_property
    def reading(self) -> ReadStore:
        return ReadStore(self.database)

    @cached_property
    def outbound(self) -> OutboundStore:
        return OutboundStore(self.database)

    @cached_property
    def attachments(self) -> AttachmentStore:
        return AttachmentStore(self.database)

    @cached_property
    def api_keys(self) -> ApiKeyStore:
        return ApiKeyStore(self.database)

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

    def new_objects(self) -> S3Store:
        """On a client, and so on connections, of its own."""
        return S3Store(self.s3() if self.s3 else s3_client(self.settings), self.settings.s3_bucket)

    @cached_property
    def swift_objects(self) -> SwiftStore:
        """Many objects at little cost. Once it is there, processes that are forked from this one can have none."""
        from inboxops.storage.swift import SwiftStore  # loads its runtime, which most processes don't need

        return SwiftStore(self.objects.client, self.settings.s3_bucket)

    @cached_property
    def bus(self) -> RedisBus:
        return RedisBus(redis_client(self.settings.redis_url.get_secret_value()))

    @cached_property
    def airflow(self) -> Airflow:
        return Airflow(
            self.settings.airflow_url, self.settings.airflow_username, self.settings.airflow_password.get_secret_value()
        )

    @cached_property
    def vault(self) -> Vault:
        return Vault(self.settings.credential_keys.get_secret_value())

    @cached_property
    def signing_key(self) -> bytes:
        return self.settings.signing_key.get_secret_value().encode()

    def login_link(self, tenant_id: int, *, name: str, role: str, minutes: int) -> str:
        """A link to the tickets page that logs in once. Behind the `#`, because what is there is sent to no server and logged
        by none."""
        link = self.api_keys.add_link(tenant_id, name=name, role=role, minutes=minutes)
        return f"{self.settings.api_url.rstrip('/')}/login#{link}"

    def close(self) -> None:
        for each in self._probers.values():
            each.close()
        if "database" in self.__dict__:
            self.database.close()
