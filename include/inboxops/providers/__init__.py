"""The kinds of mailboxes, by `connection_type`. A client library is imported when its kind is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

from inboxops.errors import InvalidInput
from inboxops.ports import Prober, Provider, Sender, Watcher

PROVIDERS = {
    "gmail": "inboxops.providers.gmail:GmailProvider",
    "imap": "inboxops.providers.imap:ImapProvider",
    "jmap": "inboxops.providers.jmap:JmapProvider",
    "microsoft": "inboxops.providers.graph:GraphProvider",
}
"""connection_type -> module:class. A new provider is one file, and a line here, in PROBERS and in SENDERS."""

PROBERS = {
    "gmail": "inboxops.providers.gmail:GmailProber",
    "imap": "inboxops.providers.imap_pool:ImapProber",
    "jmap": "inboxops.providers.jmap:JmapProber",
    "microsoft": "inboxops.providers.graph:GraphProber",
}
"""connection_type -> module:class of what looks for news in many of them."""

SENDERS = {
    "gmail": "inboxops.providers.gmail_send:GmailSender",
    "imap": "inboxops.providers.smtp:SmtpSender",
    "jmap": "inboxops.providers.jmap_send:JmapSender",
    "microsoft": "inboxops.providers.graph_send:GraphSender",
}
"""connection_type -> module:class of what sends for that kind of mailbox."""

WATCHERS = {
    "gmail": "inboxops.providers.gmail_watch:GmailWatcher",
    "microsoft": "inboxops.providers.graph_subscription:GraphWatcher",
}
"""connection_type -> module:class of what makes it push. Kinds that are not here can't."""


def provider(connection_type: str) -> Provider:
    """The provider of that kind of mailbox, with its default time-outs.

    Raises InvalidInput, naming the known kinds.
    """
    return cast(Provider, _made(PROVIDERS, connection_type))


def prober(connection_type: str) -> Prober:
    """A new prober for mailboxes of that kind: make one per process and keep it.

    Raises InvalidInput, naming the known kinds.
    """
    return cast(Prober, _made(PROBERS, connection_type))


def sender(connection_type: str) -> Sender:
    """What sends for that kind of mailbox. Raises InvalidInput, naming the known kinds."""
    return cast(Sender, _made(SENDERS, connection_type))


def watcher(connection_type: str, target: str) -> Watcher:
    """What makes that kind of mailbox push to `target`. Raises InvalidInput, naming the known kinds."""
    return cast(Watcher, _made(WATCHERS, connection_type, target))


def _made(registry: Mapping[str, str], connection_type: str, *arguments: str) -> Any:
    try:
        module, name = registry[connection_type].split(":")
    except KeyError as exc:
        raise InvalidInput(
            f"there is no provider {connection_type!r}", fix=f"Known connection types: {', '.join(sorted(registry))}"
        ) from exc
    return getattr(import_module(module), name)(*arguments)
