"""Notices by mail, through the operator's SMTP relay."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit

from inboxops.core import notices
from inboxops.core.notices import Delivery
from inboxops.errors import OperatorError
from inboxops.ports import Account, Envelope, Sender

_SECURITY = {"smtp": "plain", "smtp+starttls": "starttls", "smtps": "tls"}
_FIX = "Set INBOXOPS_NOTIFY_SMTP_URL (smtps://user:password@host, smtp+starttls://... or smtp://...) and INBOXOPS_NOTIFY_FROM"


@dataclass(frozen=True, slots=True)
class Relay:
    """`url` may hold a log-in; `sender` is the address that notices come from."""

    url: str
    sender: str
    page_url: str
    smtp: Sender

    def check(self) -> None:
        """Raises OperatorError when notices can't go by mail."""
        self._account()

    def __call__(self, delivery: Delivery) -> None:
        """Raises OperatorError without a relay, and what `Sender.send` raises."""
        raw = notices.mail(delivery, sender=self.sender, page_url=self.page_url, now=datetime.now(UTC))
        envelope = Envelope(self.sender, (delivery.target,))
        self.smtp.send(self._account(), raw, envelope, commit=_nothing, thread_id=None)

    def _account(self) -> Account:
        parts = urlsplit(self.url)
        if parts.scheme not in _SECURITY or not parts.hostname or "@" not in self.sender:
            raise OperatorError("there is no SMTP relay for notices", fix=_FIX)
        connection = {
            "smtp_host": parts.hostname,
            "smtp_port": parts.port,
            "smtp_security": _SECURITY[parts.scheme],
            "smtp_auth": "auto" if parts.username else "none",
        }
        secrets = {"username": unquote(parts.username or ""), "password": unquote(parts.password or "")}
        return Account(0, 0, self.sender, "imap", connection, secrets)


def _nothing() -> None:
    """A notice may come twice rather than never."""
