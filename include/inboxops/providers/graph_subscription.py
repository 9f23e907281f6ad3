"""Microsoft Graph's subscriptions: notifications of new mail in one folder, for two days and a half at most."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urljoin

from inboxops.errors import InvalidInput, OperatorError
from inboxops.ports import Account, Registration
from inboxops.providers.graph import GraphProvider
from inboxops.providers.graph_session import GraphSession

LIFETIME = timedelta(minutes=4200)
"""Graph takes 4,230 for mail; a clock that is ahead of its must not spoil it."""

LIFECYCLE = "graph-lifecycle"
"""Where Graph tells what happens to a subscription: beside the notification URL. It can't be added later."""


class GraphWatcher:
    """notification_url: public, https; Graph calls it while a subscription is made and waits ten seconds for the echo."""

    def __init__(self, notification_url: str) -> None:
        self._notification_url = notification_url
        self._provider = GraphProvider(timeout_seconds=30, patience_seconds=20)

    def register(self, account: Account, subscription_id: str, *, anew: bool) -> Registration:
        with self._session(account) as session:
            if subscription_id and anew:
                self._delete(session, subscription_id)
            elif subscription_id:
                renewed = self._renewed(session, subscription_id)
                if renewed is not None:
                    return renewed
            return self._created(session, account)

    def stop(self, account: Account, subscription_id: str) -> None:
        if subscription_id:
            with self._session(account) as session:
                self._delete(session, subscription_id)

    def _created(self, session: GraphSession, account: Account) -> Registration:
        """Of the folder that is read; ids as everywhere else (the session asks for immutable ones)."""
        folder = quote(str(account.connection.get("folder", "inbox")), safe="=")
        secret = secrets.token_urlsafe(48)  # Graph takes 128 characters
        wanted = {
            "changeType": "created",
            "notificationUrl": self._notification_url,
            "lifecycleNotificationUrl": urljoin(self._notification_url, LIFECYCLE),
            "resource": f"{session.owner.removeprefix('/v1.0')}/mailFolders('{folder}')/messages",
            "expirationDateTime": _until(),
            "clientState": secret,
            "latestSupportedTlsVersion": "v1_2",
        }
        try:
            answer = session.call("subscription", "POST", _link(session), json=wanted).json()
        except InvalidInput as exc:
            raise OperatorError(
                f"Microsoft Graph can't push to INBOXOPS_GRAPH_PUSH_NOTIFICATION_URL: {exc}"[:400],
                fix="It must be reachable from the internet over https and lead to /api/webhooks/graph-push",
            ) from exc
        return Registration(_expiry(answer), made=True, subscription_id=str(answer["id"]), client_state=secret)

    def _renewed(self, session: GraphSession, subscription_id: str) -> Registration | None:
        """None when Graph does not know it any more."""
        link = _link(session, subscription_id)
        answer = session.call("renewal", "PATCH", link, json={"expirationDateTime": _until()}, gone=404)
        if answer.status_code == 404:
            return None
        return Registration(_expiry(answer.json()), made=False, subscription_id=subscription_id)

    def _delete(self, session: GraphSession, subscription_id: str) -> None:
        session.call("end of subscription", "DELETE", _link(session, subscription_id), gone=404)

    @contextmanager
    def _session(self, account: Account) -> Iterator[GraphSession]:
        session = self._provider.session(account)
        try:
            yield session
        finally:
            session.close()


def _link(session: GraphSession, subscription_id: str = "") -> str:
    """Subscriptions belong to the application, not to a mailbox."""
    link = f"{session.api_url}/v1.0/subscriptions"
    return f"{link}/{quote(subscription_id, safe='')}" if subscription_id else link


def _until() -> str:
    return (datetime.now(UTC) + LIFETIME).strftime("%Y-%m-%dT%H:%M:%SZ")


def _expiry(answer: dict[str, str]) -> datetime:
    return datetime.fromisoformat(answer["expirationDateTime"])
