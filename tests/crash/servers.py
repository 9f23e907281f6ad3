"""The scene at each kind of provider: Dovecot, Cyrus, and the stand-ins of Google and Microsoft."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from inboxops.composition.world import World
from inboxops.settings import Settings
from inboxops_lab.testing.jmapserver import Cyrus
from inboxops_lab.testing.mailserver import MailServer
from tests.connecting.conftest import pointed_at
from tests.crash.process import Processes
from tests.crash.scenes import PASSWORD, Scene, message_id
from tests.providers.cloud_kits import GmailServer, GraphServer, consented, sent_by
from tests.providers.jmap_kit import FOLDER, JmapKit
from tests.sending.smtpserver import Submission


class SmtpScene(Scene):
    """What leaves goes to an SMTP server of the scene's own."""

    submission: Submission

    def out(self) -> list[bytes]:
        return [taken.raw for taken in self.submission.taken]

    def close(self) -> None:
        self.submission.stop()
        super().close()


class ImapScene(SmtpScene):
    server: MailServer

    def connect(self) -> dict[str, Any]:
        self.user = f"u{uuid.uuid4().hex[:12]}"
        self.server.add_user(self.user, PASSWORD)
        self.submission = Submission(users={self.user: PASSWORD})
        connection = {
            "host": "localhost",
            "port": self.server.port_imaps,
            "ca_file": self.server.ca_file,
            "smtp_host": "localhost",
            "smtp_port": self.submission.port,
            "smtp_security": "plain",
        }
        secrets = {"username": self.user, "password": PASSWORD}
        address = f"support@{self.tenant}.example"
        return {"email_address": address, "connection": connection, "credentials": self.world.vault.seal(secrets)}

    def deliver(self, raw: bytes) -> None:
        self.server.append(self.user, raw)

    def there(self) -> list[str]:
        with self.server.client(self.user) as client:
            client.select_folder("INBOX", readonly=True)
            return [
                message_id(one[b"RFC822.HEADER"]) for one in client.fetch(client.search(), "RFC822.HEADER").values()
            ]


class JmapScene(SmtpScene):
    server: Cyrus

    def connect(self) -> dict[str, Any]:
        self.kit = JmapKit(self.server)
        self.submission = Submission(port=self.server.smtp_port)
        account = self.kit.account
        secrets = self.world.vault.seal(account.secrets)
        return {"email_address": account.email_address, "connection": account.connection, "credentials": secrets}

    def deliver(self, raw: bytes) -> None:
        """Cyrus orders by arrival, in whole seconds."""
        self.kit.deliver(raw, when=datetime.now(UTC) - timedelta(seconds=60 - len(self.delivered)))

    def there(self) -> list[str]:
        ids = self.kit.client.ids(FOLDER)
        listed = self.kit.client.call("Email/get", ids=ids, properties=["messageId"])["list"]
        return [f"<{one['messageId'][0]}>" for one in listed]

    def close(self) -> None:
        super().close()
        self.kit.close()


class CloudScene(Scene):
    server: GmailServer | GraphServer

    def connect(self) -> dict[str, Any]:
        self.address = f"{self.tenant}@example.org"
        self.server.stand_in.mailbox(self.address)
        self.server.stand_in.authority.rotating = self.kind == "microsoft"  # Google's refresh tokens stay
        connection, sealed = self._consented()
        return {"email_address": self.address, "connection": connection, "credentials": sealed}

    def reconnect(self) -> None:
        self.world.inboxes.reconnect(self.inbox_id, *self._consented())

    def _consented(self) -> tuple[Mapping[str, Any], bytes]:
        consent = consented(self.server.consent(), self.address, self.server.ca_file)
        return consent.connection, self.world.vault.seal(consent.secrets)

    def close(self) -> None:
        self.server.stand_in.authority.rotating = True
        super().close()

    def deliver(self, raw: bytes) -> None:
        self.server.stand_in.deliver(self.address, raw)

    def there(self) -> list[str]:
        mailbox: Any = self.server.stand_in.mailbox(self.address)
        found = mailbox.messages.values()
        inbox = (
            [m for m in found if "INBOX" in m.labels]
            if self.kind == "gmail"
            else [m for m in found if m.folder == mailbox.folder("inbox")]
        )
        return [message_id(one.raw) for one in inbox]

    def out(self) -> list[bytes]:
        return sent_by(self.server, self.address)

    def expire_token(self) -> None:
        self.server.stand_in.authority.expire_access_tokens(self.address)


SCENES: dict[str, tuple[type[Scene], str]] = {
    "imap": (ImapScene, "mail_server"),
    "gmail": (CloudScene, "gmail_server"),
    "microsoft": (CloudScene, "graph_server"),
    "jmap": (JmapScene, "jmap_server"),
}


def scene(kind: str, server: Any, settings: Settings, tenant: str, processes: Processes) -> Scene:
    if kind in ("gmail", "microsoft"):
        settings = pointed_at(settings, kind, server.serving)
    made = SCENES[kind][0](kind, World(settings), tenant, processes)
    made.server = server  # type: ignore[attr-defined]
    made.world.inboxes.add_tenant(tenant, "Test Ltd")
    made.set_up()
    return made
