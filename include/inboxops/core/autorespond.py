"""Who gets an automatic answer: a person who opens a ticket, once, and nobody for ever (RFC 3834, section 2)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from inboxops.core import compose
from inboxops.core.authentication import HOLDS, is_forged
from inboxops.core.customer import is_agent
from inboxops.core.model import Address, Evidence, VerdictKind
from inboxops.core.outbound import people
from inboxops.core.reading import Reading
from inboxops.core.rules import evidence, machine

MOST_PER_ADDRESS = 5
MOST_PER_DOMAIN = 500
MOST_PER_TENANT = 5_000
WINDOW_HOURS = 24
"""Two robots that open tickets for each other stop at the first: so many answers to one address in so many hours, tenant-wide. Who
writes in many names, to have us write to all of them, stops at the others; that many people open tickets with few tenants."""

_DAEMON = re.compile(
    r"owner-.*|.*-request|mailer-?daemon|postmaster|root|daemon|majordomo|listserv|www-data", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class WantedResponse:
    """A new ticket whose sender is to be answered. `ticket` is the plan's handle; message_id is the header's own id."""

    ticket: int
    to: Address
    sender_name: str
    subject: str
    message_id: str
    references: tuple[str, ...]


def addressee(reading: Reading, own_addresses: frozenset[str], agents: frozenset[str] = frozenset()) -> Address | None:
    """Whom to answer, None for mail that is never answered automatically: one whose customer a text alone names is among it, and
    what `doubt` finds, so that nobody has us write to whom he names. agents: the tenant's people, addresses and domains."""
    if reading.verdict.kind is not VerdictKind.HUMAN or reading.null_return_path or doubt(reading, agents) is not None:
        return None
    if reading.customer is not None and reading.customer.claimed:
        return None
    to = people(reading.reply_to, reading.sender)[0]
    for address in (to.address, reading.sender.address):
        local = address.rpartition("@")[0]
        if not compose.is_address(address) or address.lower() in own_addresses:
            return None
        if machine.is_machine(address) or _DAEMON.fullmatch(local):
            return None
    return to


def doubt(reading: Reading, agents: frozenset[str]) -> Evidence | None:
    """Why no machine may write where a mail says that its answer goes; None where one may.

    The receiving server says that it is forged; or Reply-To is of another domain than From, which is all that DMARC vouches for.
    A form writes for whoever filled it in: only one that the tenant itself named is believed, as one of its people or by a mail
    rule, and where a trusted server says something of it, DMARC has to hold. Anybody can fill in a form: the caps are for that.
    """
    said = reading.authentication
    if is_forged(said):
        told = "; ".join(f"{method}={result}" for method, result in said.items())
        return evidence("Authentication-Results", f"{told}: no machine answers forged mail")
    to, sender = people(reading.reply_to, reading.sender)[0].address, reading.sender.address
    if _is_within(to, sender) or _is_within(sender, to):
        return None
    if _is_by_known_form(reading, to, agents) and (not said or said.get("dmarc") in HOLDS):
        return None
    return evidence("Reply-To", f"{to} is of another domain than From, {sender}: no machine answers there")


def _is_within(one: str, other: str) -> bool:
    """Whether an address is of another's domain, or of one below it."""
    domain, above = (address.rpartition("@")[2].lower() for address in (one, other))
    return domain == above or ("." in above and domain.endswith(f".{above}"))


def _is_by_known_form(reading: Reading, to: str, agents: frozenset[str]) -> bool:
    who = reading.customer
    if who is None or who.address.address.lower() != to.lower():
        return False
    return who.rule.startswith("mail_rule.") or (who.rule == "reply_to" and is_agent(reading.sender.address, agents))


def within_caps(
    wanted: Iterable[WantedResponse],
    *,
    answered: Iterable[str],
    recent: Mapping[str, int],
    domains: Mapping[str, int] = MappingProxyType({}),
) -> list[WantedResponse]:
    """Those that may go: each mail is answered once, whichever inboxes it came to, and each address, each domain and all so often.

    answered: ids of mail the tenant has answered. recent, domains: address and domain in lower case -> answers within the window.
    """
    seen, counts, of_domain = set(answered), Counter(recent), Counter(domains)
    total = of_domain.total()
    going = []
    for one in wanted:
        address = one.to.address.lower()
        domain = address.rpartition("@")[2]
        if one.message_id in seen or total >= MOST_PER_TENANT:
            continue
        if counts[address] < MOST_PER_ADDRESS and of_domain[domain] < MOST_PER_DOMAIN:
            seen.add(one.message_id)
            counts[address] += 1
            of_domain[domain] += 1
            total += 1
            going.append(one)
    return going
