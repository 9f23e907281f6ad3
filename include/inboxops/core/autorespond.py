"""Who gets an automatic answer: a person who opens a ticket, once, and nobody for ever (RFC 3834, section 2)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from inboxops.core import compose
from inboxops.core.model import Address, VerdictKind
from inboxops.core.outbound import people
from inboxops.core.reading import Reading
from inboxops.core.rules import machine

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


def addressee(reading: Reading, own_addresses: frozenset[str]) -> Address | None:
    """Whom to answer, None for mail that is never answered automatically: one whose customer a text alone names is among it, and
    one that the receiving server says is forged, so that nobody has us write to whom he names as its author."""
    if reading.verdict.kind is not VerdictKind.HUMAN or reading.null_return_path or _is_forged(reading.authentication):
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


def _is_forged(authentication: Mapping[str, str]) -> bool:
    """By DMARC where a trusted server says it (RFC 7489, 6.6.2), else when SPF fails and no DKIM signature holds."""
    if "dmarc" in authentication:
        return authentication["dmarc"] == "fail"
    return authentication.get("spf") in ("fail", "softfail") and authentication.get("dkim") != "pass"


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
