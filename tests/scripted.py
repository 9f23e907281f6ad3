"""An IMAP server that says what a test wants to hear: for answers that no well-behaved server can be made to give."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping

from inboxops_lab.testing.certificates import ServerCertificate

Answer = str | bytes | Callable[[str], str | bytes | Iterator[bytes]]

_COMMAND = re.compile(r"(?P<tag>\S+) (?P<name>(?:UID )?\S+) ?(?P<arguments>.*)", re.DOTALL)


class ScriptedImap:
    """Answers each command from `answers` ("LOGIN", "UID FETCH", ...), by default with OK.

    An answer is the lines to send, `{tag}` replaced; a function gets the command's arguments, and may give pieces that
    are sent one by one. The last CRLF may be left out. `None` instead of an answer closes the connection. `heard` holds
    all lines, in order.
    """

    def __init__(
        self,
        answers: Mapping[str, Answer | None] | None = None,
        *,
        greeting: str = "* OK ready",
        capabilities: str = "IMAP4rev1",
        certificate: ServerCertificate | None = None,
        starttls: ServerCertificate | None = None,
    ) -> None:
        self._answers: dict[str, Answer | None] = {
            "CAPABILITY": f"* CAPABILITY {capabilities}\r\n{{tag}} OK done",
            "LOGOUT": "* BYE bye\r\n{tag} OK done",
            "EXAMINE": "* 1 EXISTS\r\n* OK [UIDVALIDITY 7] valid\r\n* OK [UIDNEXT 2] next\r\n{tag} OK [READ-ONLY] done",
            "LIST": '* LIST () "/" "INBOX"\r\n{tag} OK done',
            **(answers or {}),
        }
        self._greeting = greeting
        self._tls = certificate and _context(certificate)
        self._starttls = starttls and _context(starttls)
        self.heard: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> ScriptedImap:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(client)
            if self._tls is not None:
                client = stack.enter_context(self._tls.wrap_socket(client, server_side=True))
            lines = stack.enter_context(client.makefile("rb"))
            client.sendall(self._greeting.encode() + b"\r\n")
            while line := lines.readline().decode("utf-8", "replace").rstrip("\r\n"):
                self.heard.append(line)
                command = _COMMAND.match(line)
                answer: Answer | None = "{tag} OK done"
                tag, arguments = "", ""
                if command:
                    tag, arguments = command["tag"], command["arguments"]
                    answer = self._answers.get(command["name"].upper(), answer)
                if answer is None:
                    return
                said = answer(arguments) if callable(answer) else answer
                if isinstance(said, Iterator):
                    for piece in said:
                        client.sendall(piece)
                    continue
                content = said.encode("utf-8") if isinstance(said, str) else said
                client.sendall(content.replace(b"{tag}", tag.encode()).removesuffix(b"\r\n") + b"\r\n")
                if self._starttls is not None and command and command["name"] == "STARTTLS":
                    client = stack.enter_context(self._starttls.wrap_socket(client, server_side=True))
                    lines = stack.enter_context(client.makefile("rb"))


def _context(certificate: ServerCertificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert_file, certificate.key_file)
    return context
