"""`inboxops bench ingest`: a full mailbox becomes committed tickets with raw mail and attachments in the object store."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from inboxops.errors import OperatorError
from inboxops_lab.bench import rivals
from inboxops_lab.bench.meter import cpu_seconds
from inboxops_lab.bench.place import PASSWORD, Place, place
from inboxops_lab.bench.stages import STAGES, staged
from inboxops_local.demo.draft import Mail

Say = Callable[[str], None]
USER = "backlog"
ADDRESS = f"{USER}@bench.example"
SERVERS = {"postgres": ("postgres",), "s3": ("s3",)}


@dataclass(frozen=True, slots=True)
class Ingested:
    """messages_per_second: over all stages, one after the other. stage_seconds, cpu_seconds: by stage, by process. bytes: raw mail.

    peak_rss_mb: of each kind of process. comparators: messages a second on the same mailbox. states: what became of the mail.
    """

    messages: int
    bytes: int
    messages_per_second: float
    stage_seconds: dict[str, float]
    cpu_seconds: dict[str, float]
    peak_rss_mb: dict[str, float]
    comparators: dict[str, float]
    states: dict[str, int]
    attachments: int


def ingest(mails: Iterable[Mail], count: int, *, with_rivals: bool = True, say: Say) -> Ingested:
    """mails: `count` of them. Raises OperatorError without Dovecot, or when a message is missing at the end."""
    say("starting PostgreSQL, Valkey, S3 and Dovecot")
    with place("--only=services") as here:
        inbox_id = here.add_mailbox(USER, first_sync_messages=count, plain=True)
        say(f"writing {count} messages into the mailbox")
        size = 0
        for mail in mails:
            here.dovecot.append(USER, mail.raw, when=mail.received)
            size += len(mail.raw)
        say("Dovecot alone: raw FETCH")
        port = here.dovecot.port_imap
        rivals.raw_fetch(port, USER, PASSWORD)  # the first look at a Maildir builds its index
        comparators = {"dovecot_raw_fetch": rivals.raw_fetch(port, USER, PASSWORD)}
        if with_rivals:
            say("imapflow and mailparser: fetch and parse, nothing stored")
            theirs = rivals.imapflow(port, USER, PASSWORD)
            if theirs is not None:
                comparators["imapflow_mailparser"] = theirs
        say("the product: fetch, classify, persist")
        return _measured(here, inbox_id, count, size, comparators)


def _measured(here: Place, inbox_id: int, count: int, size: int, comparators: dict[str, float]) -> Ingested:
    roots = {name: here.part(*parts) for name, parts in SERVERS.items()} | {"dovecot": [here.dovecot.pid]}
    before = {name: cpu_seconds(pids) for name, pids in roots.items()}
    stage_seconds = dict.fromkeys(STAGES, 0.0)
    used: dict[str, float] = dict.fromkeys(STAGES, 0.0)
    peaks: dict[str, float] = {}
    for done in staged(here, inbox_id):
        stage_seconds[done["stage"]] += done["seconds"]
        used[done["stage"]] += done["cpu_seconds"]
        for kind, peak in done["peak_rss_mb"].items():
            peaks[kind] = max(peaks.get(kind, 0.0), peak)
    used |= {name: cpu_seconds(pids) - before[name] for name, pids in roots.items()}
    states = here.world.inbound.counts(inbox_id)
    if sum(states.values()) != count or states.keys() & {"stored", "classified", "parked"}:
        raise OperatorError(f"not all {count} messages were filed: {states}")
    with here.world.database.transaction() as t:
        row = t.connection.execute("SELECT count(*) AS files FROM attachments").fetchone()
    return Ingested(
        messages=count,
        bytes=size,
        messages_per_second=round(count / sum(stage_seconds.values()), 1),
        stage_seconds={name: round(seconds, 2) for name, seconds in stage_seconds.items()},
        cpu_seconds={name: round(seconds, 2) for name, seconds in used.items()},
        peak_rss_mb={name: round(rss, 1) for name, rss in sorted(peaks.items())},
        comparators={name: round(rate, 1) for name, rate in comparators.items()},
        states=states,
        attachments=row["files"] if row else 0,
    )
