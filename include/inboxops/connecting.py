"""Connecting with a consent, as the API and the commands do it: the stories of `stories.consent` on a World."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from inboxops.core import connect_link
from inboxops.core.connect_link import ConnectLink
from inboxops.core.inbox import Inbox
from inboxops.errors import InboxOpsError, InvalidInput, OperatorError
from inboxops.oauth.clients import consent_client
from inboxops.ports import ConsentClient
from inboxops.pushing import Pushing
from inboxops.stories import consent as story
from inboxops.stories.consent import Connected, Disconnected, Started
from inboxops.wiring import World

SIGN_INS = {"gmail": "google", "microsoft": "microsoft"}
"""connection_type -> whose sign-in it is, as in the paths of the API."""

LINK_MINUTES = 60


@dataclass(frozen=True, slots=True)
class Connecting:
    """`world` may show one tenant only, as the API's does."""

    world: World

    def link(
        self,
        connection_type: str,
        tenant_id: int,
        *,
        inbox: Inbox | None = None,
        minutes: int = LINK_MINUTES,
        name: str = "",
        display_name: str = "",
        mailbox: str = "",
        shared: bool = False,
        paused: bool = False,
        first_sync_days: int = 7,
        first_sync_messages: int = 500,
    ) -> str:
        """The URL that whoever owns the mailbox opens in a browser. inbox: connect this one again.

        Raises InvalidInput for a kind of mailbox that is connected in another way, OperatorError without a client.
        """
        client = self._client(connection_type)
        if inbox is not None:
            mailbox, shared = inbox.email_address, "mailbox" in inbox.connection
        client.request(self._redirect_uri(connection_type), mailbox=mailbox, shared=shared)  # says now what is missing
        link = ConnectLink(
            connection_type=connection_type,
            tenant_id=tenant_id,
            expires=int((datetime.now(UTC) + timedelta(minutes=minutes)).timestamp()),
            inbox_id=inbox.id if inbox else 0,
            name=name,
            display_name=display_name,
            mailbox=mailbox,
            shared=shared,
            paused=paused,
            first_sync_days=first_sync_days,
            first_sync_messages=first_sync_messages,
        )
        token = connect_link.sign(link, self._signing_key)
        return f"{self._base}/v1/oauth/{SIGN_INS[connection_type]}/start?link={token}"

    def start(self, sign_in: str, token: str) -> Started:
        """Raises InvalidInput for a link that we did not sign, that has expired, or that is for the other sign-in."""
        now = datetime.now(UTC)
        link = connect_link.read(token, self._signing_key, now=now)
        if link is None or SIGN_INS.get(link.connection_type) != sign_in:
            raise InvalidInput("this connect link is not valid any more", fix="Have a new one made")
        client = self._client(link.connection_type)
        return story.start(link, client, self.world.vault, self._redirect_uri(link.connection_type), now=now)

    def session(self, text: str) -> dict[str, str]:
        """What a browser brought back, opened. Raises InvalidInput."""
        return story.opened_session(text, self.world.vault, now=datetime.now(UTC))

    def finish(self, sign_in: str, session: Mapping[str, str], answer: Mapping[str, str]) -> Connected:
        """Store the consent and have the inbox read. Raises what `stories.consent.finish` does."""
        link = story.link_of(session)
        if SIGN_INS.get(link.connection_type) != sign_in:
            raise InvalidInput("this answer belongs to another sign-in", fix="Open the connect link again")
        world = self.world
        done = story.finish(
            session, answer, self._client(link.connection_type), world.inboxes, world.credentials, world.vault
        )
        self._appear(done.inbox_id)
        with suppress(OperatorError):
            Pushing(world).ask(world.inboxes.get(done.inbox_id))
        return done

    def disconnect(self, inbox: Inbox) -> Disconnected:
        """The push channel ends first, while there are credentials to end it with; if it can't, it dies of age."""
        world = self.world
        with suppress(InboxOpsError):
            Pushing(world).stop(inbox)
        done = story.disconnect(
            inbox, self._client(inbox.connection_type), world.inboxes, world.credentials, world.vault
        )
        self._appear(inbox.id)
        return done

    def _appear(self, inbox_id: int) -> None:
        """Airflow learns of it now, if it runs; otherwise when it starts."""
        self.world.show_inboxes()
        if self.world.inboxes.get(inbox_id).is_live:
            with suppress(OperatorError):
                self.world.wake(inbox_id)

    def _client(self, connection_type: str) -> ConsentClient:
        return consent_client(connection_type, self.world.settings)

    def _redirect_uri(self, connection_type: str) -> str:
        """Exactly what is registered with the provider."""
        return f"{self._base}/v1/oauth/{SIGN_INS[connection_type]}/callback"

    @property
    def _base(self) -> str:
        return self.world.settings.api_url.rstrip("/")

    @property
    def _signing_key(self) -> bytes:
        return self.world.settings.signing_key.get_secret_value().encode()
