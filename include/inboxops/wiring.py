"""The one place where adapters meet stories. Whoever runs them (task, trigger, API, command) asks here for a World."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from inboxops.core.inbox import Inbox
from inboxops.core.model import Cursor, InboxContext
from inboxops.db.database import Database
from inboxops.db.inbound import InboundStore
from inboxops.db.inboxes import InboxStore
from inboxops.db.outbox import OutboxStore
from inboxops.db.persist import PersistStore
from inboxops.db.tickets import TicketStore
from inboxops.errors import AuthenticationFailed
from inboxops.events.redis_bus import RedisBus
from inboxops.events.redis_bus import client as redis_client
from inboxops.orchestrator.airflow import Airflow
from inboxops.ports import Account, FetchLimits, MailboxInfo, Prober, Provider
from inboxops.providers import prober, provider
from inboxops.settings import Settings
from inboxops.storage.s3 import S3Store
from inboxops.storage.s3 import client as s3_client
from inboxops.stories import classify as classifying
from inboxops.stories import drain as draining
from inboxops.stories import fetch as fetching
from inboxops.stories import persist as persisting
from inboxops.stories.publish import publish
from inboxops.vault import Vault

LEFT_MINUTES = 15
"""Mail that no run moved on for so long was left by a crash: longer than any slice takes."""

BATCHES_PER_RUN = 10
"""A big mailbox yields after so many batches: it is woken again and other inboxes get their turn."""


@dataclass
class World:
    """Every adapter, made on first use. `dsn` and `s3` come from Airflow's connections in tasks, from settings elsewhere."""

    settings: Settings
    dsn: str = ""
    s3: Any = None
    _probers: dict[str, Prober] = field(default_factory=dict, repr=False)

    @cached_property
    def database(self) -> Database:
        return Database(self.dsn or self.settings.database_url.get_secret_value())

    @cached_property
    def inboxes(self) -> InboxStore:
        return InboxStore(self.database)

    @cached_property
    def inbound(self) -> InboundStore:
        return InboundStore(self.database)

    @cached_property
    def filing(self) -> PersistStore:
        return PersistStore(self.database)

    @cached_property
    def tickets(self) -> TicketStore:
        return TicketStore(self.database)

    @cached_property
    def outbox(self) -> OutboxStore:
        return OutboxStore(self.database)

    @cached_property
    def objects(self) -> S3Store:
        return S3Store(self.s3 or s3_client(self.settings), self.settings.s3_bucket)

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

    def close(self) -> None:
        for each in self._probers.values():
            each.close()
        if "database" in self.__dict__:
            self.database.close()

    # -- values made of several adapters

    def account(self, inbox: Inbox) -> Account:
        """Raises AuthenticationFailed for an inbox without credentials."""
        sealed = self.inboxes.credentials(inbox.id)
        if sealed is None:
            raise AuthenticationFailed(f"inbox {inbox.name} has no credentials", fix="Connect it again")
        return Account(
            inbox_id=inbox.id,
            tenant_id=inbox.tenant_id,
            email_address=inbox.email_address,
            connection_type=inbox.connection_type,
            connection=inbox.connection,
            secrets=self.vault.open(sealed),
        )

    def try_connection(
        self, connection_type: str, email_address: str, connection: Mapping[str, Any], secrets: Mapping[str, str]
    ) -> MailboxInfo:
        """Log in and look at the mailbox; writes nothing. Raises the provider's errors."""
        account = Account(0, 0, email_address, connection_type, connection, secrets)
        with provider(connection_type).open(account) as mailbox:
            return mailbox.info()

    def any_inbox_dag(self) -> str | None:
        """The DAG of an inbox that Airflow may know already: its file is the file of all inboxes."""
        first = next(iter(self.inboxes.all()), None)
        return first.dag_id if first else None

    def prober(self, connection_type: str) -> Prober:
        """The one prober of a kind of mailbox in this process: it keeps connections between polls."""
        if connection_type not in self._probers:
            self._probers[connection_type] = prober(connection_type)
        return self._probers[connection_type]

    def to_hold(self) -> list[tuple[Account, Cursor]]:
        """The IMAP inboxes to hold in IDLE, with where each was read to; as many as the setting allows."""
        return [
            (
                Account(
                    inbox_id=row["id"],
                    tenant_id=row["tenant_id"],
                    email_address=row["email_address"],
                    connection_type=row["connection_type"],
                    connection=row["connection"],
                    secrets=self.vault.open(row["credentials_encrypted"]),
                ),
                Cursor(uid_validity=row["imap_uid_validity"], last_uid=row["imap_last_uid"]),
            )
            for row in self.inboxes.to_hold(limit=self.settings.idle_inboxes)
        ]

    def provider(self, inbox: Inbox) -> Provider:
        return provider(inbox.connection_type)

    def context(self, inbox: Inbox) -> InboxContext:
        return InboxContext(
            tenant_id=inbox.tenant_id,
            inbox_id=inbox.id,
            email_address=inbox.email_address,
            own_addresses=self.inboxes.own_addresses(inbox.tenant_id),
            trusted_authserv_ids=inbox.trusted_authserv_ids,
            spam_headers=inbox.spam_headers,
            signing_key=self.settings.signing_key.get_secret_value().encode(),
        )

    # -- the stages of an inbox

    def fetch(self, inbox_id: int) -> fetching.Fetched:
        """Take in what is behind the cursor; when this run's bound was reached, the inbox is woken for the rest.

        `skipped` says why nothing is to be done at all: not live, or neither news nor mail left unfiled.
        """
        inbox = self.inboxes.get(inbox_id)
        fetched = fetching.Fetched()
        if inbox.is_live:
            limits = FetchLimits(first_sync_days=inbox.first_sync_days, first_sync_messages=inbox.first_sync_messages)
            fetched = fetching.fetch(
                inbox,
                self.account(inbox),
                self.provider(inbox),
                self.inbound,
                self.inboxes,
                self.objects,
                limits=limits,
                max_batches=BATCHES_PER_RUN,
            )
        if fetched.more:
            self.wake(inbox_id)
        if not fetched.stored and not self.inboxes.has_work(inbox_id):
            return replace(fetched, skipped="nothing new" if inbox.is_live else f"the inbox is {inbox.state}")
        return fetched

    def fetch_woken(self, inbox_id: int) -> fetching.Fetched:
        """As `fetch`, within the hourly limit: who finds no room is served by the next poll."""
        if self.inboxes.take_fetch_slot(inbox_id, per_hour=self.settings.fetch_limit_per_hour):
            return self.fetch(inbox_id)
        return fetching.Fetched(skipped="the hourly limit is reached: the next poll fetches")

    def classify(self, inbox_id: int) -> classifying.Classified:
        return classifying.classify(self.context(self.inboxes.get(inbox_id)), self.inbound, self.objects)

    def persist(self, inbox_id: int) -> persisting.Persisted:
        """File what is classified, then let its events out; events that can't leave now stay for `drain_outbox`."""
        inbox = self.inboxes.get(inbox_id)
        done = persisting.persist(
            inbox, self.filing, self.inbound, own_addresses=self.inboxes.own_addresses(inbox.tenant_id)
        )
        publish(self.outbox, self.bus, [inbox.tenant_id])
        return done

    def file(self, inbox_id: int) -> persisting.Persisted:
        """Both stages behind fetch, for mail that is durable already."""
        self.classify(inbox_id)
        return self.persist(inbox_id)

    def wake(self, inbox_id: int) -> bool:
        """Have the inbox's DAG run at once; when Airflow is away the wake-up waits in the outbox. True when delivered now."""
        tenant_id = self.inboxes.get(inbox_id).tenant_id
        return draining.wake_or_remember(inbox_id, self.airflow.wake, lambda id_: self.outbox.add_wake(tenant_id, id_))

    def drain(self) -> draining.Drained:
        """Events, wake-ups and mail that a crash or an outage left."""
        events = publish(self.outbox, self.bus)
        wakes, waiting = self.outbox.deliver_wakes(self.airflow.wake)
        filed, failed = draining.file_left_mail(self.inboxes, self.file, minutes=LEFT_MINUTES)
        return draining.Drained(events, wakes, waiting, filed, failed)

    def wants_fetch(self, inbox_id: int) -> bool:
        """Whether a worker is worth starting: mail behind the cursor (and room in the hourly limit), or mail left unfiled.

        Raises the provider's errors, after they were recorded on the inbox.
        """
        inbox = self.inboxes.get(inbox_id)
        if self.inboxes.has_work(inbox_id):
            return True
        if not inbox.is_live:
            self.prober(inbox.connection_type).forget(inbox_id)
            return False
        with fetching.standing(inbox, self.inboxes):
            news = self.prober(inbox.connection_type).has_news(self.account(inbox), inbox.cursor)
        return news and self.inboxes.take_fetch_slot(inbox_id, per_hour=self.settings.fetch_limit_per_hour)
