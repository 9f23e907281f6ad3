"""The demonstration mail server, spoken to by ordinary clients, and the mail in it."""

from __future__ import annotations

import os
import smtplib
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from pathlib import Path

import pytest
from imapclient import IMAPClient
from imapclient.exceptions import LoginError

from inboxops_local.demo.mails import demonstration
from inboxops_local.stack.home import CUSTOMER, SUPPORT, Home, Secrets, load_or_make_secrets
from inboxops_local.stack.ports import Ports
from inboxops_local.stack.testing import free_base


class Server:
    def __init__(self, folder: Path) -> None:
        self.home = Home(folder)
        self.home.make()
        self.ports = Ports(base=free_base())
        self.secrets: Secrets = load_or_make_secrets(self.home, self.ports)

    @property
    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.home.ca_file)

    @contextmanager
    def running(self) -> Iterator[None]:
        environment = {**os.environ, "INBOXOPS_HOME": str(self.home.path), "INBOXOPS_PORT_BASE": str(self.ports.base)}
        with subprocess.Popen([sys.executable, "-m", "inboxops_local.demo.mailserver"], env=environment) as process:
            try:
                deadline = time.monotonic() + 20
                while not self._greets():
                    assert process.poll() is None and time.monotonic() < deadline
                    time.sleep(0.05)
                yield
            finally:
                process.terminate()

    def _greets(self) -> bool:
        try:
            with smtplib.SMTP("localhost", self.ports.smtp, timeout=2):
                return True
        except OSError:
            return False

    @contextmanager
    def mailbox(self, user: str = SUPPORT) -> Iterator[IMAPClient]:
        password = self.secrets["STACK_SUPPORT_PASSWORD" if user == SUPPORT else "STACK_CUSTOMER_PASSWORD"]
        with IMAPClient("localhost", self.ports.imap, ssl_context=self.tls, timeout=10) as client:
            client.login(user, password)
            yield client


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    return Server(tmp_path_factory.mktemp("mail") / "home")


def test_the_mailbox_is_filled_once_byte_for_byte_and_keeps_its_uids(server: Server) -> None:
    written = [mail.raw for mail in demonstration(datetime.now(UTC))]
    seen = []
    for _ in range(2):
        with server.running(), server.mailbox() as client:
            state = client.select_folder("INBOX", readonly=True)
            fetched = client.fetch(client.search("ALL"), ["BODY.PEEK[]", "INTERNALDATE"])
            seen.append((state[b"UIDVALIDITY"], sorted(fetched)))
            bodies = [fetched[uid][b"BODY[]"] for uid in sorted(fetched)]
            assert [_undated(body) for body in bodies] == [_undated(raw) for raw in written]
            dates = [fetched[uid][b"INTERNALDATE"].astimezone() for uid in sorted(fetched)]
            assert min(dates) > datetime.now(UTC) - timedelta(days=7)
            assert dates != sorted(dates)  # threads arrive out of order
    assert seen[0] == seen[1]
    assert len(written) >= 30


def _undated(raw: bytes) -> list[bytes]:
    return [line for line in raw.split(b"\r\n") if not line.startswith((b"Date:", b"Arrival-Date:", b"Will-Retry"))]


def test_what_is_submitted_arrives_and_other_addresses_reach_the_customer(server: Server) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = SUPPORT, "someone@else.example", "Answer"
    message["Message-ID"] = "<answer-1@demo.example>"
    message.set_content("Grüße\n.\nthe end")
    with server.running():
        with smtplib.SMTP("localhost", server.ports.smtp, timeout=10) as client:
            client.starttls(context=server.tls)
            client.login(SUPPORT, server.secrets["STACK_SUPPORT_PASSWORD"])
            client.send_message(message)
        with server.mailbox(CUSTOMER) as box:
            box.select_folder("INBOX", readonly=True)
            (fetched,) = box.fetch(box.search("ALL"), ["BODY.PEEK[]"]).values()
    arrived = message_from_bytes(fetched[b"BODY[]"])
    assert arrived["Return-Path"] == f"<{SUPPORT}>"
    assert arrived["Message-ID"] == "<answer-1@demo.example>"
    assert arrived.get_payload(decode=True) == "Grüße\r\n.\r\nthe end\r\n".encode()


def test_neither_protocol_takes_a_wrong_password_or_a_password_in_the_clear(server: Server) -> None:
    with server.running():
        with (
            IMAPClient("localhost", server.ports.imap, ssl_context=server.tls, timeout=10) as client,
            pytest.raises(LoginError),
        ):
            client.login(SUPPORT, "wrong")
        with smtplib.SMTP("localhost", server.ports.smtp, timeout=10) as client:
            with pytest.raises(smtplib.SMTPException):
                client.login(SUPPORT, server.secrets["STACK_SUPPORT_PASSWORD"])
            client.starttls(context=server.tls)
            with pytest.raises(smtplib.SMTPAuthenticationError):
                client.login(SUPPORT, "wrong")
