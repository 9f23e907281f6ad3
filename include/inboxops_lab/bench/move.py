"""`inboxops bench move`: a tenant full of mail goes to another installation; how long that takes, and how long it is held for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import SecretStr

from inboxops.composition import departing, upkeep
from inboxops.composition.world import World
from inboxops.core.keys import tenant_prefix
from inboxops.db.migrate import migrate
from inboxops.errors import OperatorError
from inboxops_lab.bench.corpus import corpus
from inboxops_lab.bench.place import place, stack
from inboxops_lab.bench.stages import staged

Say = Callable[[str], None]
MOVER, USER = "mover", "full"


@dataclass(frozen=True, slots=True)
class Move:
    """held_seconds: those of all the seconds in which no Airflow works for the tenant. megabytes: of its objects."""

    messages: int
    rows: int
    objects: int
    megabytes: float
    seconds: float
    held_seconds: float


def move(messages: int, *, say: Say) -> Move:
    """Raises OperatorError without Dovecot, or when something is not there as it was."""
    say("starting two installations and Dovecot")
    with place("--only=services") as here, stack("--only=services") as (_, elsewhere):
        known = f"{here.world.settings.signing_key.get_secret_value()}@2100-01-01T00:00:00Z"
        there = World(elsewhere.settings.model_copy(update={"previous_signing_keys": SecretStr(known)}))
        migrate(there.settings.owner_dsn, id_range=1)
        upkeep.pulse(there, datetime.now(UTC))
        here.world.inboxes.add_tenant(MOVER, "Mover Ltd")
        inbox_id = here.add_mailbox(USER, first_sync_messages=messages, plain=True, tenant=MOVER)
        say(f"taking in {messages} messages")
        for mail in corpus(messages):
            here.dovecot.append(USER, mail.raw, when=mail.received)
        for _stage in staged(here, inbox_id):
            pass
        tenant_id = here.world.inboxes.tenant_id(MOVER)
        before = here.world.inbound.counts(inbox_id)
        objects = dict(here.world.objects.sizes(tenant_prefix(tenant_id)))
        told: list[tuple[float, str]] = []

        def tell(line: str) -> None:
            told.append((time.monotonic(), line))
            say(line)

        began = time.monotonic()
        left = departing.leave(here.world, there, MOVER, there.cell, tell=tell)
        seconds = time.monotonic() - began
        if there.inbound.counts(inbox_id) != before or dict(there.objects.sizes(tenant_prefix(tenant_id))) != objects:
            raise OperatorError("what arrived is not what left")
        held = next(at for at, line in told if "is held" in line)
        arrived = next(at for at, line in told if "is worked for there" in line)
        there.close()
        return Move(
            messages,
            left.rows,
            left.objects,
            round(sum(objects.values()) / 1e6, 1),
            round(seconds, 2),
            round(arrived - held, 2),
        )
