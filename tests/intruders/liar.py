"""Servers that lie about who they are, drip, gush, or speak another protocol; and certificates for them."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from inboxops_lab.testing.certificates import Authority, ServerCertificate

Greeting = Callable[[socket.socket], None]


class Liar:
    """Speaks first what `greeting` says, then TLS with that certificate, then what `talk` says, and keeps all that it hears.

    host: the address that it has, a free port when none is given. tls: the newest version that it speaks. `callers` are counted
    as they connect; `names` are those that were asked for (SNI).
    """

    def __init__(
        self,
        certificate: ServerCertificate | None = None,
        greeting: Greeting | None = None,
        *,
        talk: Greeting | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.TLSVersion | None = None,
    ) -> None:
        self.heard, self.answer, self.callers = b"", b"", 0
        self.names: list[str] = []
        self._context = certificate and self._speaking(certificate, tls)
        self._greeting, self._talk = greeting, talk
        self._lines: list[socket.socket] = []
        self._server = socket.create_server((host, port))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _speaking(self, certificate: ServerCertificate, tls: ssl.TLSVersion | None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.cert_file, certificate.key_file)
        context.sni_callback = lambda line, name, context: self.names.append(name)
        if tls is not None:
            speak_only(context, tls)
        return context

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._server.accept()
            except OSError:
                return
            self.callers += 1
            threading.Thread(target=self._answer, args=(line,), daemon=True).start()

    def _answer(self, line: socket.socket) -> None:
        with suppress(OSError, ssl.SSLError):
            self._lines.append(line)
            line.settimeout(30)
            if self._greeting:
                self._greeting(line)
            if self._context:
                line = self._context.wrap_socket(line, server_side=True)
                self._lines.append(line)
            if self._talk:
                self._talk(line)
            while said := line.recv(65_536):
                self.heard += said
                if self.answer:
                    line.sendall(self.answer)
        line.close()

    def stop(self) -> None:
        """Every caller is let go, too."""
        for line in (self._server, *self._lines):
            with suppress(OSError):  # closing alone would leave the thread in accept()
                line.shutdown(socket.SHUT_RDWR)
        self._server.close()


def speak_only(context: ssl.SSLContext, version: ssl.TLSVersion) -> None:
    """An old version, with what of its ciphers the library still has."""
    context.set_ciphers("ALL:@SECLEVEL=0")
    with suppress(ValueError):  # TLS 1.0 before 1.1: the range may not be empty meanwhile
        context.minimum_version = version
    context.maximum_version = version
    context.minimum_version = version


def saying(content: bytes, pause: float = 0.0) -> Greeting:
    """For ever, or until the other side goes."""

    def talk(line: socket.socket) -> None:
        while True:
            line.sendall(content)
            time.sleep(pause)

    return talk


def http_that(begins: bytes, then: Greeting) -> Greeting:
    """Hears a request, and answers so."""

    def talk(line: socket.socket) -> None:
        line.recv(65_536)
        line.sendall(begins)
        then(line)

    return talk


@dataclass(frozen=True)
class Certificates:
    """`honest` and the lies of `trusted`'s authority but one, for localhost."""

    authority: Authority
    liars: dict[str, ServerCertificate]
    honest: ServerCertificate

    @property
    def trusted(self) -> Path:
        return self.authority.ca_file


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    ours, theirs = (Authority(tmp_path_factory.mktemp(name)) for name in ("ours", "theirs"))
    liars = {
        "for another host": ours.issue("wrong", host="mail.other.example"),
        "expired": ours.issue("old", expired=True),
        "of another authority": theirs.issue("theirs"),
    }
    return Certificates(ours, liars, ours.issue("honest"))


@contextmanager
def lying(certificate: ServerCertificate | None, greeting: Greeting | None = None, **more: object) -> Iterator[Liar]:
    liar = Liar(certificate, greeting, **more)  # type: ignore[arg-type]
    try:
        yield liar
    finally:
        liar.stop()


LIES = ["for another host", "expired", "of another authority"]
