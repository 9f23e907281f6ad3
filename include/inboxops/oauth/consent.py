"""What the consent to read a mailbox is made of, whichever provider gives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from inboxops.errors import AuthenticationFailed
from inboxops.ports import AccessToken


@dataclass(frozen=True, slots=True)
class Request:
    """A consent page to send a browser to, and what only the session that asked may know (verifier, state, nonce)."""

    url: str
    state: str
    secrets: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Consent:
    """What came back. account_id names the account for ever, email_address is its mailbox's.

    connection: what an inbox keeps of it in the open, with the account pinned. secrets: what it keeps sealed.
    """

    email_address: str
    account_id: str
    connection: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False)


class ConsentClient(Protocol):
    """One provider's sign-in. Raises AuthenticationFailed only when a person has to consent (again)."""

    def request(self, redirect_uri: str, *, mailbox: str, shared: bool) -> Request:
        """mailbox: the address that is wanted, "" when any is. shared: it is opened by someone else's account."""
        ...

    def redeem(
        self, secrets: Mapping[str, str], answer: Mapping[str, str], redirect_uri: str, *, mailbox: str, shared: bool
    ) -> Consent:
        """answer: the query that the browser came back with. Checks the granted scopes and whose mailbox it is.

        Raises AuthenticationFailed when too little was granted or the person said no, InvalidInput for another's mailbox.
        """
        ...

    def current(self, secrets: Mapping[str, str]) -> AccessToken | None:
        """The stored access token, however old."""
        ...

    def renew(self, secrets: Mapping[str, str]) -> tuple[dict[str, str], AccessToken]:
        """New secrets to be kept (the refresh token may have rotated) and the token among them."""
        ...

    def revoke(self, secrets: Mapping[str, str]) -> None:
        """Take the consent back where the provider has a way to. A consent that is gone already is no error."""
        ...


def require_scopes(who: str, granted: str, wanted: tuple[str, ...]) -> None:
    """Raises AuthenticationFailed, naming what was left out. Scopes are compared by their last segment, in any case."""
    have = {scope.rpartition("/")[2].lower() for scope in granted.split()}
    missing = [scope for scope in wanted if scope.rpartition("/")[2].lower() not in have]
    if missing:
        raise AuthenticationFailed(
            f"{who} was not allowed {', '.join(missing)}",
            fix="Connect again and leave every box of the consent page ticked",
        )
