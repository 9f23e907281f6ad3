"""Every failure says who can help: the tenant's admin, the operator, or nobody (it is tried again).

The message is one line; `fix` says what to do. Adapters turn vendor exceptions into these in one place each, `from exc`.
"""

from __future__ import annotations

import re

# A mail server says what it likes, and PostgreSQL's text has no NUL and no half of a character. White space is left to `__str__`.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")


class InboxOpsError(Exception):
    """Base of all errors of the product. `str(error)` is one line that a person can read and a database can keep."""

    kind = "operator"

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(_UNPRINTABLE.sub("\ufffd", message))
        self.fix = _UNPRINTABLE.sub("\ufffd", fix)

    def __str__(self) -> str:
        message = " ".join(str(self.args[0]).split())
        end = "" if message.endswith((".", "?", "!")) else "."
        return f"{message}{end} {self.fix}" if self.fix else message


class TenantAdminError(InboxOpsError):
    """Only someone who owns the mailbox can put it right."""

    kind = "tenant_admin"


class AuthenticationFailed(TenantAdminError):
    """The provider refuses the credentials: the inbox is disconnected and its admins told once (invariant 6)."""


class MailboxNotFound(TenantAdminError):
    """The folder or mailbox does not exist, or this account may not open it."""


class MailboxUnreachable(TenantAdminError):
    """A mail server that was named just now does not answer: nothing is kept, and whoever named it looks again."""


class InvalidInput(TenantAdminError):
    """What was asked for can't be done as asked; the message names the field."""


class NotFound(InvalidInput):
    """What was asked for does not exist, or belongs to somebody else."""


class Conflict(InvalidInput):
    """What was asked for does not fit the state that the thing is in now."""


class NotAllowed(TenantAdminError):
    """The mailbox does not let it be done, by its rights or by what its server can do; it stays connected."""


class MessageRefused(TenantAdminError):
    """The server refuses the message for good (a 5xx reply): it did not leave and is not tried again by itself."""


class OperatorError(InboxOpsError):
    """Whoever runs InboxOps has to act: settings, certificates, disk, schema."""

    kind = "operator"


class ServerRefused(OperatorError):
    """The server speaks another protocol than the one asked for, or its certificate can't be trusted."""


class ObjectMissing(OperatorError):
    """An object that the database names is not in the object store."""


class TransientError(InboxOpsError):
    """Nobody has to act: try again, after `retry_after` seconds when the server named a time."""

    kind = "transient"

    def __init__(self, message: str, *, fix: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, fix=fix)
        self.retry_after = retry_after


class ServiceAway(TransientError):
    """A service of our own does not answer now, or asks for another try: the database, the object store, the event bus.

    It is back within seconds as a rule and has no limits, so a task waits for it (`stories.outlast`), which no provider is owed.
    """


class Throttled(TransientError):
    """The provider asks for patience. Not an authentication failure: the inbox stays connected."""


class Overtaken(TransientError):
    """Another run did it meanwhile: this one is none the worse for it, and says so to nobody."""


class CursorExpired(TransientError):
    """The stored cursor means nothing to the provider any more: a bounded rescan by date follows."""


class OutcomeUnknown(TransientError):
    """The connection was lost after the last step of handing a message over: it may have left."""
