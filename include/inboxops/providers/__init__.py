"""The kinds of mailboxes, by `connection_type`. A client library is imported when its kind is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from inboxops.errors import InvalidInput
from inboxops.ports import Provider

PROVIDERS = {
    "imap": "inboxops.providers.imap:ImapProvider",
}
"""connection_type -> module:class. A new provider is one file and one line here."""


def provider(connection_type: str) -> Provider:
    """The provider of that kind of mailbox, with its default time-outs.

    Raises InvalidInput, naming the known kinds.
    """
    try:
        module, name = PROVIDERS[connection_type].split(":")
    except KeyError as exc:
        raise InvalidInput(
            f"there is no provider {connection_type!r}", fix=f"Known connection types: {', '.join(sorted(PROVIDERS))}"
        ) from exc
    return cast(Provider, getattr(import_module(module), name)())
