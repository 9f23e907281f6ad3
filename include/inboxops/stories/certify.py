"""Certify: an account of a tenant's mail, inbox by inbox, from the providers' own lists to the objects and the ticket numbers.

Providers first, then rows, then objects: whatever arrives or goes meanwhile is behind what was looked at already. One inbox that
can't be asked stops no other (invariant 7): the certificate says so, and the next goes on from where this inbox was certified to.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from inboxops.core import accounting
from inboxops.core.accounting import TO_DO, Finding, Kind, Numbers, Row, SentRow, Unfiled, Unsent
from inboxops.core.certificate import Account, Span
from inboxops.core.inbox import Inbox
from inboxops.core.signing import SigningKey
from inboxops.errors import InboxOpsError, TransientError
from inboxops.stories.certify_mailbox import Door, Known, Looked, look, look_in_sent
from inboxops.stories.certify_objects import Stocktaking, take_stock
from inboxops.stories.telling import WHO, Telling, log

MARGIN = timedelta(days=1)
"""Before the last certificate's end: what came late into a list is in it by then."""
SETTLED = timedelta(minutes=10)
"""What came later is the next certificate's: by then a list that lags, a poll and a slow Sent folder have caught up."""
WAITS = timedelta(days=1)
"""Mail that was not moved on, or a message that has not left, for so long is named: a backlog takes hours, and every poll of the
day and every run of `drain_outbox` passed it."""
NAMED = timedelta(days=7)
"""For how long behind that a message that has not left is named every day. Its ticket says so for ever, and a finding that stays
for ever would hide those to come; it is counted on."""
CLOCKS = timedelta(hours=1)
"""How far a provider's clock and ours may be apart, where rows go by their age."""
INBOXES_AT_ONCE = 3
"""Fewer than connections to the database: each uses one."""


class Ledger(Known, Protocol):
    """What is asked of the database about a tenant, besides what objects need."""

    def read_since(self, tenant_id: int) -> Mapping[int, tuple[datetime, datetime | None]]: ...

    def rows(self, tenant_id: int, since: Mapping[int, datetime]) -> Iterator[list[Row]]: ...

    def sent(self, tenant_id: int, since: Mapping[int, datetime], until: datetime) -> dict[int, list[SentRow]]: ...

    def unfiled(self, tenant_id: int, before: datetime) -> list[Unfiled]: ...

    def unsent(self, tenant_id: int, before: datetime) -> list[Unsent]: ...

    def numbers(self, tenant_id: int) -> Numbers: ...


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose mail, from what key: how its inboxes are opened (raises the provider's errors), its objects, the time.

    kept: how long set-aside mail is kept; what came before that may have gone by its age.
    """

    tenant_id: int
    tenant: str
    inboxes: Sequence[Inbox]
    door: Callable[[Inbox], Door]
    signing_key: SigningKey
    kept: timedelta
    now: datetime


def spans(subject: Subject, ledger: Ledger) -> list[tuple[Inbox, Span]]:
    """What there is to look at of each inbox that was read once: whole seconds, from its last certificate on, with a margin."""
    until = (subject.now - SETTLED).replace(microsecond=0)
    found = []
    read_since = ledger.read_since(subject.tenant_id)
    for inbox in subject.inboxes:
        if inbox.id not in read_since:
            continue
        first, certified = read_since[inbox.id]
        since = max(first, subject.now - subject.kept + CLOCKS, *([certified - MARGIN] if certified else []))
        since = datetime.fromtimestamp(math.ceil(since.timestamp()), UTC)
        found.append((inbox, Span(inbox.id, inbox.name, min(since, until), until)))
    return found


def account(subject: Subject, ledger: Ledger, stocktaking: Stocktaking) -> Account:
    """Raises TransientError when the database or the object store is away."""
    known = spans(subject, ledger)
    log.info("certificate_began", tenant=subject.tenant, inboxes=len(known))
    until = (subject.now - SETTLED).replace(microsecond=0)
    since = {inbox.id: span.since for inbox, span in known}
    sent = ledger.sent(subject.tenant_id, since, until)
    seed = accounting.seed(subject.now, subject.signing_key)
    with ThreadPoolExecutor(INBOXES_AT_ONCE, thread_name_prefix="inbox") as asking:
        asked = list(
            asking.map(lambda one: _ask(subject, ledger, one[0], one[1], sent.get(one[0].id, []), seed), known)
        )
    messages = {row.id: inbox_id for inbox_id, rows in sent.items() for row in rows}
    stored = take_stock(stocktaking, ledger.rows(subject.tenant_id, since), messages, seed)
    numbers = ledger.numbers(subject.tenant_id)
    findings = [finding for _, looked in asked for finding in looked.findings]
    unsent = ledger.unsent(subject.tenant_id, until)
    copied = {one.key for one in findings if one.kind is Kind.SENT_UNRECORDED}
    findings += stored.findings
    findings += accounting.unfiled(ledger.unfiled(subject.tenant_id, subject.now - WAITS))
    findings += accounting.unsent(unsent, subject.now - WAITS - NAMED, subject.now - WAITS, copied)
    findings += accounting.numbers(numbers)
    _tell(findings, {inbox.id: inbox.name for inbox in subject.inboxes})
    return Account(
        tenant=subject.tenant,
        made_at=subject.now,
        spans=[span for span, _ in asked],
        findings=findings,
        mails=stored.mails + sum(one.kind is Kind.MAIL_MISSING and not one.repaired for one in findings),
        erased=stored.erased,
        refused=stored.refused,
        objects=stored.objects,
        packs=stored.packs,
        sent=sum(looked.sent for _, looked in asked),
        unsent=Counter(one.status for one in unsent),
        last_number=numbers.last,
        erased_numbers=len(numbers.erased),
    )


def _ask(
    subject: Subject, ledger: Ledger, inbox: Inbox, span: Span, sent: Sequence[SentRow], seed: bytes
) -> tuple[Span, Looked]:
    """One inbox, or why it could not be asked."""
    looked, skipped = Looked(), ""
    if inbox.is_live:
        try:
            door = subject.door(inbox)
            look(door, ledger, span.since, span.until, looked, seed=seed)
            _ask_sent(subject, ledger, door, span, sent, looked)
        except InboxOpsError as exc:
            skipped = str(exc)
            log.warning("inbox_not_asked", inbox=inbox.name, why=skipped, who_can_help=WHO[exc.kind])
    else:
        skipped = inbox.state
        log.info("inbox_not_asked", inbox=inbox.name, why=f"it is {inbox.state}")
    if not skipped:
        log.info("inbox_asked", inbox=inbox.name, since=span.since.isoformat(), listed=looked.listed, sent=looked.sent)
    told = replace(
        span,
        skipped=skipped,
        listed=looked.listed,
        odd_sizes=looked.odd_sizes,
        compared=looked.compared,
        sent_unchecked=looked.sent_unchecked or skipped,
    )
    return told, looked


def _ask_sent(
    subject: Subject, ledger: Ledger, door: Door, span: Span, sent: Sequence[SentRow], looked: Looked
) -> None:
    """Where nothing was sent, a mailbox need not have a Sent folder: then the inbox was asked, though nobody looked there."""
    try:
        look_in_sent(door, ledger, sent, span.since, subject.signing_key, looked)
    except InboxOpsError as exc:
        looked.sent_unchecked = str(exc)
        if sent or isinstance(exc, TransientError):
            raise
        log.info("sent_not_asked", inbox=span.name, why=str(exc))


def _tell(findings: Sequence[Finding], names: Mapping[int, str]) -> None:
    repaired, open_ = Telling("accounted_for_now"), Telling("not_accounted_for")
    for one in findings:
        about = {"what": one.kind.value, "inbox": names.get(one.inbox_id, ""), "key": one.key, "detail": one.detail}
        if one.repaired:
            repaired(warn=False, **about)
        else:
            open_(warn=True, **about, to_do=TO_DO[one.kind])
    repaired.close()
    open_.close()
