"""Gmail's watch: has Google publish an account's changes to a Pub/Sub topic, for seven days at most."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from inboxops.errors import InvalidInput, MailboxNotFound, OperatorError
from inboxops.ports import Account, Registration
from inboxops.providers.gmail import GmailProvider
from inboxops.providers.gmail_session import GmailSession

UNWATCHED = ["DRAFT", "SENT", "CHAT"]
"""What is never read, and our own replies above all: each would wake the inbox."""


class GmailWatcher:
    """One watch an account: whoever registers again renews it, also for other inboxes of the same account."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._provider = GmailProvider(timeout_seconds=20, patience_seconds=20)

    def register(self, account: Account, subscription_id: str, *, anew: bool) -> Registration:
        """Google has no renewal: the same call makes and prolongs."""
        with self._session(account) as session:
            try:
                answer, took_over = self._watch(session)
            except (InvalidInput, MailboxNotFound) as exc:
                raise OperatorError(
                    f"Google does not take the topic of INBOXOPS_GOOGLE_PUBSUB_TOPIC: {exc}"[:400],
                    fix="It belongs to the OAuth client's project, and gmail-api-push@system.gserviceaccount.com may publish",
                ) from exc
        expires_at = datetime.fromtimestamp(int(answer["expiration"]) / 1000, UTC)
        return Registration(expires_at, made=anew or took_over)

    def _watch(self, session: GmailSession) -> tuple[dict[str, Any], bool]:
        """Google's answer, and whether a watch with another topic had to end for it: an account has one of each project."""
        wanted = {"topicName": self._topic, "labelIds": UNWATCHED, "labelFilterBehavior": "exclude"}
        request = session.resources.users.watch(userId="me", body=wanted)
        try:
            return session.call("watch", request), False
        except (InvalidInput, MailboxNotFound) as exc:
            if "call /stop" not in str(exc):
                raise
        session.call("stop", session.resources.users.stop(userId="me"))
        return session.call("watch", request), True

    def stop(self, account: Account, subscription_id: str) -> None:
        with self._session(account) as session:
            session.call("stop", session.resources.users.stop(userId="me"))

    @contextmanager
    def _session(self, account: Account) -> Iterator[GmailSession]:
        session = self._provider.session(account)
        try:
            yield session
        finally:
            session.close()
