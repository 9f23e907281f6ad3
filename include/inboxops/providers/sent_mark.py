"""What a message of ours says of itself in its header section."""

from __future__ import annotations

from email.parser import BytesHeaderParser
from email.policy import compat32

from inboxops.core.ids import normalise_message_id
from inboxops.core.rules.own_loop import LOOP_HEADER

_PARSER = BytesHeaderParser(policy=compat32)


def message_id_of(raw: bytes) -> str:
    """Its Message-ID without brackets, "" when there is none."""
    return normalise_message_id(_header(raw, "Message-ID"))


def mark_of(raw: bytes) -> str:
    """Its loop mark (`core.rules.own_loop`), "" when there is none."""
    return _header(raw, LOOP_HEADER)


def _header(raw: bytes, name: str) -> str:
    return str(_PARSER.parsebytes(raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n").get(name, "")).strip()
