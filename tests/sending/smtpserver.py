"""SMTP servers for tests: aiosmtpd as a submission server, and one that does what a test says at each step."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from inboxops.core.mime import parse
from inboxops.core.model import ParsedMessage
from inboxops_lab.testing.certificates import ServerCertificate
from inboxops_lab.testing.processes import free_ports


@dataclass
class Taken:
    """A message that the server said 250 to."""

    sender: str
    recipients: list[str]
    raw: bytes

    @property
    def message(self) -> ParsedMessage:
        return parse(self.raw, received_at=None, trusted_authserv_ids=frozenset())


@dataclass
class Submission:
    """A submission server. `refuse`: sender or recipient -> reply; `answer`: the reply behind DATA instead of 250."""

    certificate: ServerCertificate | None = None
    starttls: ServerCertificate | None = None
    users: Mapping[str, str] = field(default_factory=dict)
    tokens: Mapping[str, str] = field(default_factory=dict)
    size: int = 40_000_000
    utf8: bool = True
    refuse: dict[str, str] = field(default_factory=dict)
    answer: str = ""
    taken: list[Taken] = field(default_factory=list)
    on_taken: Callable[[Taken], None] | None = None
    seen_auth: list[str] = field(default_factory=list)
    port: int = 0
    """A free one unless it is given."""

    def __post_init__(self) -> None:
        self.port = self.port or free_ports(1)[0]
        options: dict[str, Any] = {"data_size_limit": self.size, "enable_SMTPUTF8": self.utf8}
        if self.users or self.tokens:
            options |= {"authenticator": self._authenticate, "auth_required": True, "auth_require_tls": False}
        if self.starttls:
            options |= {"tls_context": _context(self.starttls), "require_starttls": True}
        implicit = {"ssl_context": _context(self.certificate)} if self.certificate else {}
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, **implicit, **options)
        self._controller.start()

    def stop(self) -> None:
        self._controller.stop(no_assert=True)

    def _authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        self.seen_auth.append(mechanism)
        known = isinstance(data, LoginPassword) and self.users.get(data.login.decode()) == data.password.decode()
        return AuthResult(success=known, handled=False)

    async def auth_XOAUTH2(self, server: SMTP, args: list[str]) -> AuthResult:
        self.seen_auth.append("XOAUTH2")
        user, bearer, *_ = base64.b64decode(args[1]).decode().split("\x01")
        known = self.tokens.get(user.removeprefix("user="))
        if known is not None and bearer == f"auth=Bearer {known}":
            return AuthResult(success=True)
        await server.challenge_auth('{"status":"401"}')
        return AuthResult(success=False, handled=False)

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, mail_options: list[str]
    ) -> str:
        if refusal := self.refuse.get(address.strip("<>")):
            return refusal
        envelope.mail_from = address
        envelope.mail_options.extend(mail_options)
        return "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, rcpt_options: list[str]
    ) -> str:
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.answer:
            return self.answer
        content = envelope.content if isinstance(envelope.content, bytes) else (envelope.content or "").encode()
        taken = Taken((envelope.mail_from or "").strip("<>"), list(envelope.rcpt_tos), content)
        self.taken.append(taken)
        if self.on_taken:
            self.on_taken(taken)
        return "250 OK"


STEPS = ("greeting", "MAIL", "RCPT", "DATA", "body", "end", "taken")
"""Where `SteppedSmtp` stops to think: before it answers each of these, and last right after it said 250."""


class SteppedSmtp:
    """One plain SMTP server that calls `at(step)` before it answers. False: it closes the connection instead.

    says: command -> its reply, where that is not 250.

    `taken` counts messages whose final dot came in: the worst case, in which a server keeps what it may.
    """

    def __init__(self, at: Callable[[str], bool], says: Mapping[str, bytes] | None = None) -> None:
        self._at, self._says = at, {"QUIT": b"221 bye", **(says or {})}
        self.taken: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rwb") as stream:

            def answer(step: str, reply: bytes) -> bool:
                if not self._at(step):
                    return False
                stream.write(reply + b"\r\n")
                stream.flush()
                return True

            if not answer("greeting", b"220 here"):
                return
            while line := stream.readline():
                word = line.split()[0].upper().decode("ascii", "replace") if line.split() else ""
                if word == "DATA":
                    if not answer("DATA", b"354 go on") or not self._take(stream, answer):
                        return
                elif not answer(word.partition(":")[0], self._says.get(word, b"250 fine")):
                    return

    def _take(self, stream: Any, answer: Callable[[str, bytes], bool]) -> bool:
        lines = [stream.readline()]
        if not self._at("body"):
            return False
        while lines[-1] != b".\r\n":
            lines.append(stream.readline())
            if not lines[-1]:
                return False
        self.taken.append(b"".join(lines[:-1]))
        return answer("end", b"250 taken") and self._at("taken")


def _context(certificate: ServerCertificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert_file, certificate.key_file)
    return context
