"""`inboxops bench soak`: the whole stack under mixed load, and an account of it.

Mail comes into Dovecot, and into Gmail and Microsoft 365 as they are stood in for. It is pushed, woken by IDLE or by an event, or
waits for its poll; new tickets are answered automatically, some by the API. In the first half something is killed or hangs every
minute; in the second all is left alone, so that what grows shows. At the end every mail is looked for in the tickets, every answer
at the mail server that took it, every event in the stream.
"""

from __future__ import annotations

import json
import random
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from email.utils import format_datetime, localtime
from itertools import cycle
from typing import Any

import httpx
import redis

from inboxops.composition import pushing, runs
from inboxops.core.inbox import Inbox
from inboxops.errors import InboxOpsError, OperatorError
from inboxops.events.redis_bus import stream
from inboxops_lab.bench.clouds import Clouds, clouds
from inboxops_lab.bench.place import PASSWORD, TENANT, Place, appears
from inboxops_lab.bench.send import Target
from inboxops_lab.bench.trouble import Health, troubles
from inboxops_lab.testing.mailserver import Dovecot, dovecot_binary

Say = Callable[[str], None]
INBOXES = 4
PUSHED = ("gmail", "microsoft")
WARM_SECONDS = 240.0
"""After the last trouble, until growth counts: what was started anew loads and fills what it keeps."""

MAIL_SECONDS, REPLY_SECONDS = 4.0, 12.0
"""Between two mails, and between two replies of agents."""

TROUBLE_SECONDS = 60.0
SAMPLE_SECONDS = 15.0
SETTLE_SECONDS = 180.0
"""What is left then, though nothing moved for so long, stands still."""

PER_HOUR = "100000"  # fetches: the limit is not what is tried


DONE = ("sent", "unknown")
WRONG = (
    "mails_lost", "mails_double", "mails_not_filed", "sends_left", "sends_double", "sent_but_not_taken", "events_lost",
    "outbox_left",
)  # fmt: skip
"""What the account has to say 0 of."""


@dataclass
class Load:
    """What was asked of the product, and what it has to answer for. Trouble is met as clients meet it: by asking again."""

    here: Place
    target: Target
    scene: Clouds
    api: httpx.Client
    inboxes: list[int] = field(default_factory=list)
    pushed: list[Inbox] = field(default_factory=list)
    delivered: dict[str, int] = field(default_factory=dict)  # Message-ID -> inbox
    replies: dict[str, str] = field(default_factory=dict)  # idempotency key -> Message-ID, "" until it was accepted
    asked: dict[str, int] = field(default_factory=dict)  # idempotency key -> ticket
    heard: set[int] = field(default_factory=set)
    _behind: str = "-"

    @property
    def tenant_id(self) -> int:
        return self.here.world.inboxes.tenant_id(TENANT)

    def deliver(self) -> None:
        number = random.randrange(INBOXES + len(PUSHED))
        user = f"soak{number}" if number < INBOXES else PUSHED[number - INBOXES]
        id_ = f"{uuid.uuid4().hex}@customer.example"
        lines = [
            f"From: c{random.randrange(10_000)}@customer.example", f"To: {user}@bench.example", f"Message-ID: <{id_}>",
            f"Date: {format_datetime(localtime())}", f"Subject: Soak {id_[:8]}", "", "Please help.", uuid.uuid4().hex * 40, "",
        ]  # fmt: skip
        raw = "\r\n".join(lines).encode()
        if number < INBOXES:
            self.here.dovecot.append(user, raw)
            self.delivered[id_] = self.inboxes[number]
            if random.random() < 0.3:
                with suppress(InboxOpsError):
                    runs.wake(self.here.world, self.inboxes[number])
            return
        inbox = self.pushed[number - INBOXES]
        cloud = self.scene.gmail if user == "gmail" else self.scene.graph  # Microsoft's pushes by itself
        cloud.deliver(inbox.email_address, raw)
        self.delivered[id_] = inbox.id
        if user == "gmail":
            with suppress(httpx.HTTPError):  # nobody took it: the next one, or the poll, brings the mail
                self.scene.google_pushes(self.api, inbox.email_address, len(self.delivered))

    def reply(self) -> None:
        """To a ticket that has none by an agent yet; what was not answered is asked again under its key first."""
        with suppress(InboxOpsError, httpx.HTTPError):
            waiting = [key for key, id_ in self.replies.items() if not id_]
            key = waiting[0] if waiting else uuid.uuid4().hex
            if not waiting:
                rows = self.query(
                    "SELECT id FROM tickets WHERE inbox_id = ANY (%s) ORDER BY random() LIMIT 1", self.inboxes
                )
                if not rows:
                    return
                self.asked[key], self.replies[key] = rows[0]["id"], ""
            answer = self.api.post(
                f"/v1/tickets/{self.asked[key]}/replies",
                json={"body_text": f"Answer {key}"},
                headers={"Idempotency-Key": key},
            )
            if answer.status_code == 202:
                self.replies[key] = answer.json()["message_id_header"]

    def listen(self) -> None:
        """What came into the stream of events since the last look."""
        client: Any = redis.Redis.from_url(self.here.world.settings.redis_url.get_secret_value(), decode_responses=True)
        with suppress(redis.RedisError), client:
            while entries := client.xrange(stream(self.tenant_id), min=self._behind):
                self.heard |= {json.loads(entry["event"])["id"] for _, entry in entries}
                self._behind = f"({entries[-1][0]}"

    def query(self, sql: str, *parameters: object) -> list[dict[str, Any]]:
        with self.here.world.database.transaction() as t:
            return t.connection.execute(sql.encode(), parameters).fetchall()

    def account(self) -> dict[str, Any]:
        """Everything that should be 0 and is not has been lost, doubled or left."""
        came = Counter(
            row["id"]
            for row in self.query(
                "SELECT message_id_header AS id FROM messages WHERE tenant_id = %s AND direction = 'inbound'",
                self.tenant_id,
            )
        )
        sends = self.query(
            "SELECT message_id_header AS id, send_status, send_error, type FROM messages"
            " WHERE tenant_id = %s AND direction = 'outbound'",
            self.tenant_id,
        )
        taken = Counter(self.target.ids)
        outbox = self.query("SELECT id, kind, done_at IS NULL AS open FROM outbox WHERE tenant_id = %s", self.tenant_id)
        states = Counter(row["send_status"] for row in sends)
        left = Counter(
            f"{row['send_status']} {row['send_error'] or ''}" for row in sends if row["send_status"] not in DONE
        )
        filed = Counter(
            row["state"] for row in self.query("SELECT state FROM inbound WHERE tenant_id = %s", self.tenant_id)
        )
        self.listen()
        return {
            "mails": len(self.delivered),
            "mails_lost": len(self.delivered.keys() - came.keys()),
            "mails_double": sum(count - 1 for count in came.values()),
            "mails_not_filed": sum(filed.values()) - filed["persisted"],
            "replies_accepted": sum(1 for id_ in self.replies.values() if id_),
            "replies_kept": sum(row["type"] == "message" for row in sends),
            "sends": len(sends),
            "sends_in_doubt": states["unknown"],
            "sends_left": len(sends) - states["sent"] - states["unknown"],
            "sends_left_as": dict(left),
            "sends_double": sum(count - 1 for count in taken.values()),
            "sent_but_not_taken": sum(row["send_status"] == "sent" and not taken[row["id"]] for row in sends),
            "events": sum(row["kind"] == "event" for row in outbox),
            "events_lost": sum(row["kind"] == "event" and row["id"] not in self.heard for row in outbox),
            "outbox_left": sum(row["open"] for row in outbox),
        }  # fmt: skip


def soak(minutes: float, *, say: Say) -> dict[str, Any]:
    """Raises OperatorError without Dovecot, or when the stack does not start."""
    if dovecot_binary() is None:
        raise OperatorError("the soak needs Dovecot, which is not installed", fix="apt-get install dovecot-imapd")
    say("starting the whole stack, Dovecot and the stand-ins")
    with clouds(fetch_limit_per_hour=PER_HOUR) as scene, Target() as target, ExitStack() as stack:
        dovecot = Dovecot()
        stack.callback(dovecot.stop)
        here = Place(scene.home, scene.world, dovecot)
        key = here.world.api_keys.add(here.world.inboxes.tenant_id(TENANT), name="soak", role="agent")
        bearer = {"Authorization": f"Bearer {key}"}
        api = stack.enter_context(
            httpx.Client(base_url=here.world.settings.api_url, headers=bearer, timeout=15, trust_env=False)
        )
        load = Load(here, target, scene, api)
        load.inboxes += (_inbox(here, f"soak{number}", target.port) for number in range(INBOXES))
        load.pushed += (scene.connect(kind, kind) for kind in PUSHED)
        for inbox in load.pushed:
            pushing.register(here.world, inbox.id)
        for inbox_id in (*load.inboxes, *(inbox.id for inbox in load.pushed)):
            appears(here, inbox_id)
            runs.wake(here.world, inbox_id)
        health = Health(here)
        happened = _under_load(load, health, minutes * 60, say)
        began = time.monotonic()
        say("waiting until everything is where it belongs")
        _settle(load)
        return {
            "minutes": minutes,
            "settled_seconds": round(time.monotonic() - began, 1),
            **load.account(),
            "troubles": dict(happened),
            **health.report(),
        }


def _settle(load: Load) -> None:
    """Until nothing is left, or nothing moves."""
    before, moved = None, time.monotonic()
    while time.monotonic() - moved < SETTLE_SECONDS:
        if "" in load.replies.values():
            load.reply()
        with suppress(InboxOpsError):
            now = load.account()
            if "" not in load.replies.values() and not any(now[name] for name in WRONG):
                return
            if now != before:
                before, moved = now, time.monotonic()
        time.sleep(1)


def _under_load(load: Load, health: Health, seconds: float, say: Say) -> Counter[str]:
    happened: Counter[str] = Counter()
    began = time.monotonic()
    calm = began + seconds / 2
    pauses = {"mail": MAIL_SECONDS, "reply": REPLY_SECONDS, "sample": SAMPLE_SECONDS, "trouble": TROUBLE_SECONDS}
    due = {"mail": began, "reply": began + 20, "sample": began, "trouble": began + TROUBLE_SECONDS}
    warm = calm + min(WARM_SECONDS, seconds / 4)
    coming = cycle(troubles(load.here))
    while (now := time.monotonic()) < began + seconds:
        if warm and now > warm:
            say(f"{now - began:.0f} s: growth counts")
            health.begin()
            warm = 0.0
        what = min(due, key=lambda name: due[name])
        time.sleep(max(0.0, min(due[what], began + seconds) - now))
        due[what] = max(due[what] + pauses[what], time.monotonic())
        if what == "mail":
            load.deliver()
        elif what == "reply":
            load.reply()
        elif what == "sample":
            health.sample()
            load.listen()
        elif time.monotonic() < calm - TROUBLE_SECONDS:
            name, strike = next(coming)
            say(f"{time.monotonic() - began:.0f} s: {name}")
            happened[name] += strike()
    return happened


def _inbox(here: Place, user: str, smtp_port: int) -> int:
    inbox_id = here.add_mailbox(user)
    inboxes = here.world.inboxes
    out = {"smtp_host": "127.0.0.1", "smtp_port": smtp_port, "smtp_security": "plain", "smtp_auth": "none"}
    sealed = here.world.vault.seal({"username": user, "password": PASSWORD})
    inboxes.reconnect(inbox_id, {**inboxes.get(inbox_id).connection, **out}, sealed)
    inboxes.change(inbox_id, auto_response_enabled=True, auto_response_body="Thank you: {{ticket_number}}.")
    return inbox_id
