"""Where a message belongs: what to look up, and the trust order in which the answers count.

Every lookup is limited to the message's tenant and inbox by whoever fills `ThreadCandidates`. A subject alone never threads.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

from inboxops.core import ids, phrases
from inboxops.core.customer import is_agent
from inboxops.core.model import (
    ABOUT_OURS,
    OPENS_TICKET,
    InboxContext,
    ParsedMessage,
    Placement,
    ThreadCandidates,
    ThreadKeys,
    TicketFacts,
    Verdict,
    VerdictKind,
)

MOST_IDS = 32
"""Ids that are looked up for one message; a References header may name thousands."""

_SCANNED = 50_000  # characters of a body that are searched for markers
_TICKET_NUMBER = re.compile(r"\[#([1-9][0-9]{0,17})\]")
_NEVER_JOINS = frozenset({VerdictKind.OWN_LOOP, VerdictKind.SPAM})


def normalise_subject(text: str) -> str:
    """A subject as it is compared: reply and forward prefixes of many languages and `[#N]` gone, folded, single spaces."""
    text = text[:998]  # the longest line of RFC 5322, 2.1.1
    while found := phrases.COMPARED_BEHIND.match(text):
        text = text[found.end() :]
    text = _TICKET_NUMBER.sub(" ", text)
    return " ".join(text.split()).casefold()


def thread_keys(message: ParsedMessage, context: InboxContext, provider_thread_id: str | None = None) -> ThreadKeys:
    """Everything in a message that may name a ticket. Signed forms are verified here; the rest is for the database."""
    named = [message.in_reply_to[:1], message.references[::-1], message.in_reply_to[1:]]
    wanted = tuple(dict.fromkeys(one for group in named for one in group if one))[:MOST_IDS]
    signed = dict.fromkeys(
        found[0] for one in wanted if (found := ids.read_message_id(one, context.signing_key)) is not None
    )
    numbers = _TICKET_NUMBER.findall(message.subject[:998])
    addresses = {one.address for one in (message.sender, *message.reply_to, *message.to, *message.cc)}
    return ThreadKeys(
        ids=wanted,
        signed_id_tickets=tuple(signed),
        marker_tickets=ids.read_body_markers(message.text[:_SCANNED], context.signing_key),
        provider_thread_id=provider_thread_id or None,
        subject_number=int(numbers[-1]) if numbers else None,
        normalised_subject=normalise_subject(message.subject),
        participants=frozenset(address.lower() for address in addresses if address) - context.own_addresses,
    )


def place(
    keys: ThreadKeys,
    candidates: ThreadCandidates,
    verdict: Verdict,
    *,
    people: Collection[str],
    agents: frozenset[str],
    reopen_days: int,
    now: datetime,
) -> Placement:
    """Which ticket a message joins. The first candidate in the trust order wins.

    people: who wrote: the From address, and the customer where more than a text says who that is. agents: lower-cased addresses,
    and domains, that may write into any ticket of the tenant.
    """
    if verdict.kind in _NEVER_JOINS:
        return Placement(None, how=verdict.kind.value)
    known = frozenset(map(str.lower, people))
    is_ours = any(is_agent(one, agents) for one in known)
    for how, ticket in _answers(keys, candidates, verdict):
        gate = is_ours or bool(known & ticket.participants)
        if how == "subject_number" and not gate:
            continue
        if how == "shared_reference" and not _belongs(ticket, keys, verdict, gate=gate):
            continue
        if how == "provider_thread" and not (
            gate or ticket.normalised_subject == keys.normalised_subject or ticket.participants & keys.participants
        ):
            continue
        unknown = not gate and verdict.kind not in ABOUT_OURS
        if ticket.status != "closed" or verdict.kind not in OPENS_TICKET:
            return Placement(ticket.ticket_id, how=how, unknown_sender=unknown)
        if ticket.closed_at is None or now - ticket.closed_at <= timedelta(days=reopen_days):
            return Placement(ticket.ticket_id, how=how, reopen=True, unknown_sender=unknown)
        return Placement(None, how=how, follows=ticket.ticket_id, unknown_sender=unknown)
    return Placement(None, how="new" if verdict.kind in OPENS_TICKET else "unlinked")


def _belongs(ticket: TicketFacts, keys: ThreadKeys, verdict: Verdict, *, gate: bool) -> bool:
    """Whether a message that shares an unseen reference with a ticket is of the same conversation, in whichever order they come:
    its people know each other, or its subject is the same. A machine that names one reference for ever needs the subject."""
    if keys.normalised_subject and keys.normalised_subject == ticket.normalised_subject:
        return True
    return verdict.kind is VerdictKind.HUMAN and (gate or ticket.requester in keys.participants)


def _answers(keys: ThreadKeys, candidates: ThreadCandidates, verdict: Verdict) -> Iterator[tuple[str, TicketFacts]]:
    """Candidates with the rule that found each, most trustworthy first."""
    bounce = verdict.bounce
    by_id = [("message_id", keys.ids)]
    if bounce:
        by_id.insert(0, ("returned_message", bounce.original_ids))
    for how, wanted in by_id:
        yield from ((how, candidates.by_id[one]) for one in wanted if one in candidates.by_id)
    signed_back = tuple(ticket for ticket, _ in bounce.signed_ids) if bounce else ()
    for how, tickets in (("signed_id", (*signed_back, *keys.signed_id_tickets)), ("body_marker", keys.marker_tickets)):
        yield from ((how, candidates.by_ticket_id[one]) for one in tickets if one in candidates.by_ticket_id)
    yield from (("shared_reference", one) for one in candidates.by_reference)
    if candidates.by_provider_thread:
        yield "provider_thread", candidates.by_provider_thread
    if candidates.by_number:
        yield "subject_number", candidates.by_number
