"""Whether a consent is enough."""

from __future__ import annotations

from inboxops.errors import AuthenticationFailed

NOT_GIVEN = "Open the connect link again and allow it; an administrator has to where the organisation lets nobody else"


def require_scopes(who: str, granted: str, wanted: tuple[str, ...]) -> None:
    """Raises AuthenticationFailed, naming what was left out. Scopes are compared by their last segment, in any case."""
    have = {scope.rpartition("/")[2].lower() for scope in granted.split()}
    missing = [scope for scope in wanted if scope.rpartition("/")[2].lower() not in have]
    if missing:
        raise AuthenticationFailed(
            f"{who} was not allowed {', '.join(missing)}",
            fix="Connect again and leave every box of the consent page ticked",
        )
