"""Message-IDs: read them tolerantly, make our own so that they can be recognised in whatever comes back.

A signed id or marker carries ticket numbers in the open and an HMAC-SHA256 over them, cut to 130 or 80 bits: enough that
nobody guesses one, short enough for a local part (64 octets, RFC 5321, 4.5.3.1.1). Letters are lower case, digits are
decimal, so a server that changes the case of an id does not break it. An empty signing key signs and verifies nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from datetime import datetime

from inboxops.core.signing import SigningKey

INDEXABLE_LENGTH = 250
"""Characters of an id that an index takes as they are; a B-tree row of PostgreSQL ends at 2,704 bytes."""

_BRACKETED = re.compile(r"<([^<>]*)>")
_BETWEEN = re.compile(r"[\s,;\"()<>]+")
_READ = 32_768  # characters at the end of a header: the newest ids stand last
_SIGNED_ID = re.compile(r"io\.([1-9][0-9]{0,18})\.([1-9][0-9]{0,18})\.([a-z2-7]{26})(?![a-z2-7])", re.IGNORECASE)
_BODY_MARKER = re.compile(r"\[ref:([1-9][0-9]{0,18}):([a-z2-7]{16})\]", re.IGNORECASE)


def normalise_message_id(text: str) -> str:
    """One id as it is compared: no brackets, comments or white space, the domain lower-cased. "" when there is none."""
    found = _BRACKETED.search(text)
    inner = found.group(1) if found and found.group(1).strip() else text.strip().strip("<>")
    inner = "".join(inner.split())
    local, at, domain = inner.rpartition("@")
    return f"{local}{at}{domain.lower()}" if at else inner


def message_ids(text: str) -> tuple[str, ...]:
    """Every id of an In-Reply-To or References header, in its order, once each.

    Tolerates commas, tabs and a lost bracket. Words without brackets count only when nothing is bracketed, because old
    clients write prose here (`user@host's message of Monday <id@host>`, RFC 822, 4.6.2).
    """
    text = text[-_READ:]
    found = [inner for inner in _BRACKETED.findall(text) if inner.strip()]
    found = found or [word for word in _BETWEEN.split(text) if "@" in word.strip("@")]
    return tuple(dict.fromkeys(filter(None, map(normalise_message_id, found))))


def synthetic_message_id(raw: bytes) -> str:
    """The id of a message that carries none: the same bytes always get the same one, so a second fetch is a duplicate."""
    return f"{hashlib.sha256(raw).hexdigest()[:40]}@no-message-id.invalid"


def id_key(message_id: str) -> str:
    """What goes into an index for this id: itself, or its SHA-256 when it is longer than an index row may be."""
    if len(message_id) <= INDEXABLE_LENGTH:
        return message_id
    return f"sha256:{hashlib.sha256(message_id.encode('utf-8', 'surrogatepass')).hexdigest()}"


def make_message_id(*, ticket_id: int, message_id: int, domain: str, signing_key: SigningKey) -> str:
    """The Message-ID (without brackets) of outbound message `message_id` of `ticket_id`. Raises ValueError without a key."""
    signature = _sign(f"message-id:{ticket_id}:{message_id}", signing_key, 26)
    return f"io.{ticket_id}.{message_id}.{signature}@{domain.lower()}"


def read_message_id(text: str, signing_key: SigningKey) -> tuple[int, int] | None:
    """(ticket_id, message_id) when `text` is or holds an id that we signed, else None."""
    return next(iter(find_message_ids(text, signing_key)), None)


def find_message_ids(text: str, signing_key: SigningKey) -> tuple[tuple[int, int], ...]:
    """(ticket_id, message_id) of every id in a text that we signed, in its order, once each."""
    return tuple(
        dict.fromkeys(
            (int(ticket), int(message))
            for ticket, message, signature in _SIGNED_ID.findall(text)
            if _verifies(f"message-id:{ticket}:{message}", signature, signing_key)
        )
    )


def make_body_marker(ticket_id: int, signing_key: SigningKey) -> str:
    """What stands at the end of our replies and comes back in what is quoted. Raises ValueError without a key."""
    return f"[ref:{ticket_id}:{_sign(f'marker:{ticket_id}', signing_key, 16)}]"


def read_body_markers(text: str, signing_key: SigningKey) -> tuple[int, ...]:
    """The tickets of all our markers in a text, the first (newest) first, once each."""
    return tuple(
        dict.fromkeys(
            int(ticket)
            for ticket, signature in _BODY_MARKER.findall(text)
            if _verifies(f"marker:{ticket}", signature, signing_key)
        )
    )


def signature(text: str, signing_key: SigningKey) -> str:
    """130 bits over a text of ours. Raises ValueError without a key."""
    return _sign(text, signing_key, 26)


def is_signed(text: str, signature: str, signing_key: SigningKey, *, made_at: datetime) -> bool:
    """Whether `signature` made that signature, of a text that says it was made then."""
    return len(signature) == 26 and _verifies(text, signature, signing_key, made_at)


def _sign(text: str, signing_key: SigningKey, length: int) -> str:
    return _written(signing_key.digest(text.encode("ascii")), length)


def _verifies(text: str, signature: str, signing_key: SigningKey, made_at: datetime | None = None) -> bool:
    digests = signing_key.digests(text.encode("ascii"), made_at=made_at)
    return any(hmac.compare_digest(_written(digest, len(signature)), signature.lower()) for digest in digests)


def _written(digest: bytes, length: int) -> str:
    return base64.b32encode(digest).decode("ascii").lower()[:length]
