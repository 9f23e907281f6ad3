"""The one place where adapters meet stories. Whoever runs them (task, trigger, API, command) asks here for a World."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from inboxops.adapters import Adapters
from inboxops.core.inbox import Inbox
from inboxops.core.model import Cursor, InboxContext
from inboxops.core.outbound import Accepted, Claim, ReplyRequest
from inboxops.core.push import Errand
from inboxops.db.database import Database
from inboxops.db.inbound import InboundStore
from inboxops.db.inboxes import room_after
from inboxops.errors import AuthenticationFailed, Conflict, InvalidInput, OperatorError, TransientError
from inboxops.events import webhook
from inboxops.forks import Died, processors, spread
from inboxops.oauth.clients import CLIENTS, consent_client, endpoint
from inboxops.oauth.tokens import StoredTokens
from inboxops.ports import Account, FetchLimits, MailboxInfo, Prober, Provider, StoredRow
from inboxops.providers import prober, provider, sender
from inboxops.stories import classify as classifying
from inboxops.stories import connect as connecting
from inboxops.stories import drain as draining
from inboxops.stories import fetch as fetching
from inboxops.stories import housekeep as housekeeping
from inboxops.stories import notify as notifying
from inboxops.stories import persist as persisting
from inboxops.stories import rehearse as rehearsing
from inboxops.stories import reply as replying
from inboxops.stories import send as sending
from inboxops.stories.autorespond import responder
from inboxops.stories.publish import alongside, publish
from inboxops.stories.raw_mail import raw_mail

LEFT_MINUTES = 15
"""Mail that no run moved on for so long was left by a crash: longer than any slice takes."""

TRY_AGAIN = timedelta(minutes=5)
"""After a woken fetch that failed for now: as long as an inbox that is not in IDLE waits for its next poll."""

SEND_DAG = "send_message"
REGISTRATION_DAGS = {"gmail": "register_gmail_watch", "microsoft": "create_graph_subscription"}

ROSTER_DAG = "drain_outbox"
"""A DAG that is always there, in the file that makes one of each inbox."""

BATCHES_PER_RUN = 80
"""A big mailbox yields after so many batches: it is woken again and other inboxes get their turn."""


class World(Adapters):
    """What the product does, on the adapters of this process."""

    def of_tenant(self, tenant_id: int) -> World:
        """The same adapters on a database that shows one tenant: what the API works with."""
        scoped = World(self.settings)
        scoped.database = self.database.of_tenant(tenant_id)
        scoped.objects, scoped.bus, scoped.airflow, scoped.vault = self.objects, self.bus, self.airflow, self.vault
        return scoped

    # -- values made of several adapters

    def account(self, inbox: Inbox) -> Account:
        """Raises AuthenticationFailed for an inbox without credentials."""
        return self._opened(inbox, self.inboxes.credentials(inbox.id))

    def _opened(self, inbox: Inbox, sealed: bytes | None) -> Account:
        if sealed is None:
            raise AuthenticationFailed(f"inbox {inbox.name} has no credentials", fix="Connect it again")
        account = Account(
            inbox_id=inbox.id,
            tenant_id=inbox.tenant_id,
            email_address=inbox.email_address,
            connection_type=inbox.connection_type,
            connection=inbox.connection,
            secrets=self.vault.open(sealed),
        )
        return self._with_tokens(account) if inbox.connection_type in CLIENTS else account

    def _with_tokens(self, account: Account) -> Account:
        """The account of an inbox that lives on a consent: its secrets stay behind the tokens."""
        tokens = StoredTokens(
            account.inbox_id,
            account.secrets,
            client=consent_client(account.connection_type, self.settings),
            store=self.credentials,
            seal=self.vault,
        )
        connection = {**endpoint(account.connection_type, self.settings), **account.connection}
        return replace(account, connection=connection, secrets={}, tokens=tokens)

    def try_connection(
        self, connection_type: str, email_address: str, connection: Mapping[str, Any], secrets: Mapping[str, str]
    ) -> MailboxInfo:
        """Log in and look, in and out; writes nothing. Raises MailboxUnreachable and the provider's errors.

        Raises InvalidInput for a kind of mailbox that is opened with a consent: there are no secrets to try.
        """
        if connection_type in CLIENTS:
            raise InvalidInput(
                f"a mailbox of {connection_type} has no password", fix="Its owner connects it in a browser"
            )
        account = Account(0, 0, email_address, connection_type, connection, secrets)
        return connecting.look(account, provider(connection_type), sender(connection_type))

    def look(self, inbox: Inbox) -> MailboxInfo:
        """Log in as the inbox does and look, in and out. Raises what `try_connection` does."""
        return connecting.look(self.account(inbox), self.provider(inbox), sender(inbox.connection_type))

    def connect(self, tenant_id: int, new: connecting.NewInbox) -> tuple[int, MailboxInfo]:
        """Try a mailbox and keep it as an inbox: (its id, what was seen)."""
        return connecting.connect(tenant_id, new, self.inboxes, self.vault.seal, self.try_connection)

    def reconnect(self, inbox: Inbox, connection: Mapping[str, Any], given: Mapping[str, str]) -> None:
        """Try the connection with the known secrets and what is given of new ones, and keep both when it works."""
        sealed = self.inboxes.credentials(inbox.id)
        secrets = {"username": inbox.email_address, **(self.vault.open(sealed) if sealed else {}), **given}
        self.try_connection(inbox.connection_type, inbox.email_address, connection, secrets)
        self.inboxes.reconnect(inbox.id, connection, self.vault.seal(secrets))

    def show_inboxes(self) -> bool:
        """Have Airflow read the list of inboxes now. False while it is away: it reads the list when it starts."""
        try:
            self.airflow.parse_again(ROSTER_DAG)
        except (TransientError, OperatorError):
            return False
        return True

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
            signing_key=self.signing_key,
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
                self.swift_objects,
                limits=limits,
                max_batches=BATCHES_PER_RUN,
            )
        if fetched.more:
            self.wake(inbox_id)
        if not fetched.stored and not self.inboxes.has_work(inbox_id):
            return replace(fetched, skipped="nothing new" if inbox.is_live else f"the inbox is {inbox.state}")
        return fetched

    def fetch_woken(self, inbox_id: int) -> fetching.Fetched:
        """As `fetch`, within the hourly limit. One that fails for now is tried again soon: an inbox in IDLE is polled seldom."""
        inbox = self.inboxes.get(inbox_id)
        if self._has_room(inbox):
            try:
                return self.fetch(inbox_id)
            except TransientError:
                self.outbox.add_errand(Errand.WAKE, inbox.tenant_id, inbox_id, delay=TRY_AGAIN)
                raise
        return fetching.Fetched(skipped="the hourly limit is reached: the inbox is woken when there is room again")

    def _has_room(self, inbox: Inbox) -> bool:
        """Whether the hourly limit lets the inbox fetch now. Otherwise it is woken once there is room: nothing is refused."""
        limit = self.settings.fetch_limit_per_hour
        if self.inboxes.take_fetch_slot(inbox.id, per_hour=limit):
            return True
        self.outbox.add_errand(Errand.WAKE, inbox.tenant_id, inbox.id, delay=room_after(limit))
        return False

    def fetch_by_clock(self, inbox_id: int) -> fetching.Fetched:
        """As `fetch`, when nothing woke the inbox: mail that is found tells how well its push channel works."""
        fetched = self.fetch(inbox_id)
        if fetched.stored:
            self.push.note_poll(inbox_id)
        return fetched

    def classify(self, inbox_id: int) -> classifying.Classified:
        """Read and judge what is stored, on all processors when it is much."""
        context = self.context(self.inboxes.get(inbox_id))
        return classifying.classify(context, self.inbound, self.objects, partial(self._read_elsewhere, context))

    def reader(self, context: InboxContext) -> classifying.Reader:
        """For a forked process: what reads there, on a database connection and an S3 client of that process's own."""
        inbound = InboundStore(Database(self.database.dsn, connections=1))
        is_forked_too_late = "swift_objects" in self.__dict__
        objects = self.new_objects() if is_forked_too_late else self.swift_objects
        return classifying.Reader(context, inbound, objects)

    def _read_elsewhere(
        self, context: InboxContext, chunks: Iterable[Sequence[StoredRow]]
    ) -> Iterator[classifying.Classified | tuple[StoredRow, str]]:
        """`classifying.Spread` by forked processes."""

        self.database.close()  # a process is forked without threads
        processes = processors() + 1  # while one waits for the object store, another reads
        for outcome in spread(partial(self.reader, context), chunks, processes=processes):
            yield (outcome.item, outcome.how) if isinstance(outcome, Died) else outcome

    def persist(self, inbox_id: int) -> persisting.Persisted:
        """File what is classified and let its events out meanwhile; those that can't leave now stay for `drain_outbox`."""
        inbox = self.inboxes.get(inbox_id)
        with alongside(lambda: self.publish(inbox.tenant_id)) as filed:
            done = persisting.persist(
                inbox,
                self.filing,
                self.inbound,
                own_addresses=self.inboxes.own_addresses(inbox.tenant_id),
                respond=responder(inbox, signing_key=self.signing_key),
                filed=filed,
            )
        self.outbox.deliver_sends(self._start_send, tenant_id=inbox.tenant_id)
        return done

    def file(self, inbox_id: int) -> persisting.Persisted:
        """Both stages behind fetch, for mail that is durable already."""
        self.classify(inbox_id)
        return self.persist(inbox_id)

    def raw_mail(self, inbound_id: int) -> bytes:
        """A message as its provider delivered it.

        Raises NotFound, Conflict when its bytes were refused, OperatorError when they are gone or damaged.
        """
        row = self.inbound.one(inbound_id)
        if row["storage_key"] is None:
            raise Conflict(
                f"inbound message {inbound_id} was not taken in: {row['reason']}", fix="Look for it in the mailbox"
            )
        frame = self.objects.get(row["storage_key"], offset=row["storage_offset"], length=row["storage_length"])
        try:
            return raw_mail(
                frame, tenant_id=row["tenant_id"], message_id=row["reserved_message_id"], objects=self.objects
            )
        except ValueError as exc:
            raise OperatorError(
                f"inbound message {inbound_id}: {exc}", fix="Restore the bucket's objects from a backup"
            ) from exc

    def rehearse(self, inbox_id: int, *, days: int, most: int) -> rehearsing.Rehearsal:
        """What the inbox's last days would become; writes nothing. Raises the provider's errors."""
        inbox = self.inboxes.get(inbox_id)
        return rehearsing.rehearse(
            inbox, self.account(inbox), self.provider(inbox), self.context(inbox), self.filing, days=days, most=most
        )

    def wake(self, inbox_id: int) -> bool:
        """Have the inbox's DAG run at once; when Airflow is away the wake-up waits in the outbox. True when delivered now."""
        tenant_id = self.inboxes.get(inbox_id).tenant_id
        return draining.wake_or_remember(
            inbox_id, self.airflow.wake, lambda id_: self.outbox.add_errand(Errand.WAKE, tenant_id, id_)
        )

    def deliver(self, kind: Errand, inbox_id: int | None = None) -> tuple[int, int]:
        """Hand stored errands to Airflow, those of one inbox or all that are due: (delivered, kept)."""
        errands = {Errand.WAKE: self._start_inbox, Errand.REGISTER: self._start_registration}
        return self.outbox.deliver_errands(kind, errands[kind], inbox_id=inbox_id)

    def _start_inbox(self, inbox_id: int, errand_id: int) -> None:
        self.airflow.wake(inbox_id)

    def _start_registration(self, inbox_id: int, errand_id: int) -> None:
        """Named by its errand, so that delivering it twice starts one run. An inbox that is gone needs none."""
        with suppress(InvalidInput):
            dag = REGISTRATION_DAGS.get(self.inboxes.get(inbox_id).connection_type)
            if dag is not None:
                self.airflow.start(dag, f"inbox-{inbox_id}-{errand_id}", {"inbox_id": inbox_id})

    # -- mail out

    def reply(
        self, tenant_id: int, ticket_id: int, request: ReplyRequest, *, author: str, idempotency_key: str | None
    ) -> Accepted:
        """Store a reply with its order to send; `dispatch` lets it out."""
        return replying.reply(
            tenant_id,
            ticket_id,
            request,
            self.outbound,
            self.attachments,
            self.objects,
            author=author,
            idempotency_key=idempotency_key,
            own_addresses=self.inboxes.own_addresses(tenant_id),
            signing_key=self.signing_key,
        )

    def publish(self, tenant_id: int) -> None:
        publish(self.outbox, self.bus, [tenant_id])

    def dispatch(self, tenant_id: int, message_id: int, attempt: int) -> None:
        """Behind the commit: start the run that sends, and let the events out. What can't go now waits for `drain`."""
        self.outbox.deliver_sends(self._start_send, tenant_id=tenant_id, name=f"{message_id}-{attempt}")
        publish(self.outbox, self.bus, [tenant_id])

    def _start_send(self, name: str, message_id: int, attempt: int) -> None:
        """A run of that name that is there already is under way, or done: nothing to start."""
        self.airflow.start(SEND_DAG, f"send-{name}", {"message_id": message_id, "attempt": attempt})

    def send(self, message_id: int, attempt: int, *, last_try: bool = False) -> sending.Dispatch:
        """One attempt, then its events. Raises what `stories.send` raises."""
        claims: list[Claim] = []

        def way_of(claim: Claim) -> sending.Way:
            claims.append(claim)
            inbox = self.inboxes.get(claim.inbox_id)
            return sending.Way(self.account(inbox), sender(inbox.connection_type))

        try:
            return sending.send(message_id, attempt, self.outbound, self.objects, way_of, last_try=last_try)
        except AuthenticationFailed as exc:
            for claim in claims:
                self.inboxes.disconnect(claim.inbox_id, exc)  # invariant 6
            raise
        finally:
            publish(self.outbox, self.bus, [claim.tenant_id for claim in claims])

    def drain(self) -> draining.Drained:
        """Events, wake-ups, sends and mail that a crash or an outage left."""
        events = publish(self.outbox, self.bus)
        wakes, wakes_waiting = self.deliver(Errand.WAKE)
        registrations, _ = self.deliver(Errand.REGISTER)
        sends, sends_waiting = self.outbox.deliver_sends(self._start_send)
        resumed, unresolved = draining.resume_left_sends(self.outbound, self.send, minutes=LEFT_MINUTES)
        filed, failed = draining.file_left_mail(self.inboxes, self.file, minutes=LEFT_MINUTES)
        notified = self.notify()
        return draining.Drained(
            events=events,
            wakes=wakes,
            wakes_waiting=wakes_waiting,
            registrations=registrations,
            sends=sends,
            sends_waiting=sends_waiting,
            sends_resumed=resumed,
            sends_failed=unresolved,
            inboxes_filed=filed,
            inboxes_failed=failed,
            notices_delivered=notified.delivered,
            notices_waiting=notified.kept,
        )

    def notify(self) -> notifying.Notified:
        """Tell the tenants' admins what began to be wrong, and what is over."""
        return notifying.notify(self.notices, {"mail": self.relay, "webhook": webhook.post})

    def tell(self, tenant_id: int, *, mail: str, url: str, kinds: Sequence[str]) -> tuple[int, str]:
        """Tell one address or URL from now on: (channel, the webhook's secret)."""
        if mail:
            self.relay.check()
        secret = "" if mail else webhook.new_secret()
        sealed = self.vault.seal({"secret": secret}) if secret else None
        return notifying.tell(tenant_id, self.notices, mail=mail, url=url, sealed=sealed, kinds=kinds), secret

    def housekeep(self) -> housekeeping.Housekept:
        """What is past its retention, and objects that no row names."""
        retention = housekeeping.Retention(self.settings.keep_listed_days, self.settings.keep_outbox_days)
        return housekeeping.housekeep(self.leftovers, self.outbox, self.objects, retention, now=datetime.now(UTC))

    def wants_fetch(self, inbox_id: int) -> bool:
        """Whether a worker is worth starting: mail behind the cursor (and room in the hourly limit), or mail left unfiled.

        Raises the provider's errors, after they were recorded on the inbox.
        """
        inbox, has_work, sealed = self.inboxes.to_probe(inbox_id)
        if has_work:
            return True
        if not inbox.is_live:
            self.prober(inbox.connection_type).forget(inbox_id)
            return False
        with fetching.standing(inbox, self.inboxes):
            news = self.prober(inbox.connection_type).has_news(self._opened(inbox, sealed), inbox.cursor)
        return news and self._has_room(inbox)
