"""Which kinds of mailboxes are opened with a consent, and where their servers are: the operator's settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import SecretStr

from inboxops.errors import InvalidInput
from inboxops.ports import ConsentClient
from inboxops.settings import Settings


def _google(settings: Settings) -> ConsentClient:
    from inboxops.oauth.google import GoogleConsent

    return GoogleConsent(
        client_id=settings.google_client_id,
        client_secret=settings.google_client_secret.get_secret_value(),
        authorize_url=settings.google_authorize_url,
        token_url=settings.google_token_url,
        revoke_url=settings.google_revoke_url,
        api_url=settings.google_api_url,
        ca_file=settings.provider_ca_file,
        may_modify=settings.google_may_modify,
    )


def _microsoft(settings: Settings) -> ConsentClient:
    from inboxops.oauth.microsoft import MicrosoftConsent

    return MicrosoftConsent(
        client_id=settings.microsoft_client_id,
        client_secret=settings.microsoft_client_secret.get_secret_value(),
        authority=settings.microsoft_authority,
        graph_url=settings.microsoft_graph_url,
        ca_file=settings.provider_ca_file,
    )


CLIENTS: dict[str, Callable[[Settings], ConsentClient]] = {"gmail": _google, "microsoft": _microsoft}
"""connection_type -> its sign-in. Kinds that are not here are opened with secrets of their own."""

_API_URLS: dict[str, Callable[[Settings], str]] = {
    "gmail": lambda settings: settings.google_api_url,
    "microsoft": lambda settings: settings.microsoft_graph_url,
}


def settings_of(settings: Settings, connection: Mapping[str, Any]) -> Settings:
    """The settings that one inbox lives on: the operator's, but for an inbox of the demonstration, whose `endpoints` name its
    stand-ins. So a stand-in never stands in the way of a real account.
    """
    own: Mapping[str, str] = connection.get("endpoints") or {}
    wrapped = {name: SecretStr(value) if name.endswith("_secret") else value for name, value in own.items()}
    return settings.model_copy(update=wrapped) if own else settings


def consent_client(connection_type: str, settings: Settings) -> ConsentClient:
    """Raises InvalidInput for a kind of mailbox that needs no consent."""
    if connection_type not in CLIENTS:
        raise InvalidInput(
            f"{connection_type!r} is connected without a consent", fix=f"Known here: {', '.join(sorted(CLIENTS))}"
        )
    return CLIENTS[connection_type](settings)


def endpoint(connection_type: str, settings: Settings) -> dict[str, str]:
    """What the settings add to an inbox's connection."""
    return {"api_url": _API_URLS[connection_type](settings), "ca_file": settings.provider_ca_file}
