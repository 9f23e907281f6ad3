"""What the sender contract needs of each way out: an account, what arrived, and ways to go wrong on the way.

Another sender joins with one class and one line in `KITS`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Protocol

from inboxops.ports import Account, Sender
from inboxops.providers.gmail_send import GmailSender
from inboxops.providers.graph_send import GraphSender
from inboxops.providers.jmap import JmapProvider
from inboxops.providers.jmap_send import JmapSender
from inboxops.providers.smtp import SmtpSender
from inboxops_lab.testing.jmapserver import Cyrus
from inboxops_lab.testing.mailserver import MailServer
from inboxops_local.standins.http import Fault
from tests.providers.cloud_kits import CloudKit, GmailKit, GmailServer, GraphKit, GraphServer, sent_by
from tests.providers.jmap_kit import JmapKit, asking_for_patience
from tests.sending.smtpserver import SteppedSmtp, Submission

_numbers = itertools.count(1)


class SenderKit(Protocol):
    """answer: what the server says as it takes a message, as a pattern."""

    sender: Sender
    account: Account
    answer: str

    def arrived(self) -> list[bytes]:
        """Every message that the server took, oldest first."""
        ...

    def refuse(self) -> None:
        """The server says no to the next message, for good."""
        ...

    def ask_for_patience(self) -> None: ...

    def vanish(self) -> None:
        """Nothing listens there any more."""
        ...

    def lose_the_answer(self) -> None:
        """The server takes the next message, and the connection ends before it says so."""
        ...

    def close(self) -> None: ...


class SmtpKit:
    """An IMAP inbox with its submission server."""

    answer = "250 .*"

    def __init__(self, mail_server: MailServer) -> None:
        self._user, self._mail_server = f"sender{next(_numbers)}", mail_server
        mail_server.add_user(self._user, "password")
        self._users = {self._user: "password"}
        self._server: Submission | SteppedSmtp = Submission(users=self._users)
        self.sender: Sender = SmtpSender(connect_seconds=3, reply_seconds=10, final_seconds=10)
        self._connect()

    def _connect(self) -> None:
        connection = {"smtp_host": "localhost", "smtp_port": self._server.port, "smtp_security": "plain"}
        mailbox = self._mail_server
        connection |= {"host": mailbox.host, "port": mailbox.port_imaps, "ca_file": mailbox.ca_file}
        connection["smtp_auth"] = "auto" if isinstance(self._server, Submission) else "none"
        self.account = Account(
            1, 1, "support@acme.example", "imap", connection, {"username": self._user, "password": "password"}
        )

    def arrived(self) -> list[bytes]:
        return [one if isinstance(one, bytes) else one.raw for one in self._server.taken]

    def refuse(self) -> None:
        self._answer("554 5.7.1 we don't like it")

    def ask_for_patience(self) -> None:
        self._answer("451 4.7.1 slow down")

    def _answer(self, reply: str) -> None:
        assert isinstance(self._server, Submission)
        self._server.answer = reply

    def vanish(self) -> None:
        self._server.stop()
        self._server = SteppedSmtp(lambda step: False)  # on another port than the account's

    def lose_the_answer(self) -> None:
        self._server.stop()
        self._server = SteppedSmtp(lambda step: step != "end")
        self._connect()

    def close(self) -> None:
        self._server.stop()


class CloudSenderKit:
    """Gmail and Microsoft: a stand-in behind a proxy that can be cut."""

    box: CloudKit
    refusal: str
    answer: str
    _server: GmailServer | GraphServer

    def arrived(self) -> list[bytes]:
        return sent_by(self._server, self.account.email_address)

    @property
    def account(self) -> Account:
        return self.box.account

    def refuse(self) -> None:
        self.fail(400, self.refusal)

    def ask_for_patience(self) -> None:
        self.fail(429, "", {"Retry-After": "30"})

    def fail(self, status: int, body: str = "", headers: dict[str, str] | None = None) -> None:
        """The next request that would send is answered so and does nothing."""
        self.box.fail(Fault("POST .*/(send|sendMail)($|\\?)", status=status, body=body, headers=headers or {}))

    def vanish(self) -> None:
        self.account.tokens.access_token()  # type: ignore[union-attr]  # the sign-in is elsewhere
        self.box.cut_off()

    def lose_the_answer(self) -> None:
        self.at_sending("behind", self.box.drop_connections)

    def at_sending(self, when: str, do: Callable[[], None]) -> None:
        """Once, "before" or "behind" the request that sends."""

        def at(now: str, line: str) -> None:
            if now == when and re.search(r"POST .*/(send|sendMail)($|\?)", line):
                self.box.stand_in.at = lambda when, line: None
                do()

        self.box.stand_in.at = at

    def close(self) -> None:
        self.box.stand_in.at = lambda when, line: None
        self.box.stand_in.replaces_message_id = False
        self.box.close()


class GmailSenderKit(CloudSenderKit):
    answer = r"Gmail took it as \w+"
    refusal = '{"error": {"code": 400, "message": "Invalid To header", "errors": [{"reason": "invalidArgument"}]}}'

    def __init__(self, server: GmailServer) -> None:
        self._server = server
        self.box: GmailKit = GmailKit(server)
        self.sender: Sender = GmailSender(self.box.provider)


class GraphSenderKit(CloudSenderKit):
    answer = r"Microsoft took it with 202, request-id [0-9a-f-]{36}"
    refusal = '{"error": {"code": "ErrorInvalidRecipients", "message": "At least one recipient is not valid."}}'

    def __init__(self, server: GraphServer) -> None:
        self._server = server
        self.box: GraphKit = GraphKit(server)
        self.sender: Sender = GraphSender(self.box.provider, looks_seconds=(0, 0.1))


class JmapSenderKit:
    """Cyrus, which hands on what it is given to an SMTP server of ours."""

    answer = r"localhost:\d+ took it as submission \S+"

    def __init__(self, server: Cyrus) -> None:
        self.box = JmapKit(server, "support@acme.example")
        self.account = self.box.account
        self.submission = Submission(port=server.smtp_port)
        self.sender: Sender = JmapSender(JmapProvider(timeout_seconds=20, patience_seconds=0))
        self._keep = ExitStack()

    def arrived(self) -> list[bytes]:
        return [taken.raw for taken in self.submission.taken]

    def refuse(self) -> None:
        self.submission.answer = "554 5.7.1 we don't like it"

    def ask_for_patience(self) -> None:
        url = self._keep.enter_context(asking_for_patience(self.box.server))
        self.account = replace(self.account, connection={**self.account.connection, "url": url})

    def vanish(self) -> None:
        self.box.proxy.stop()

    def lose_the_answer(self) -> None:
        self.submission.on_taken = lambda taken: self.box.proxy.drop_all()

    def drafts(self) -> int:
        return len(self.box.client.ids("drafts"))

    def close(self) -> None:
        self._keep.close()
        self.submission.stop()
        self.box.close()


KITS = {
    "jmap": (JmapSenderKit, "jmap_server"),
    "smtp": (SmtpKit, "mail_server"),
    "gmail": (GmailSenderKit, "gmail_server"),
    "microsoft": (GraphSenderKit, "graph_server"),
}
"""Way out -> its kit and the fixture that is its server."""
