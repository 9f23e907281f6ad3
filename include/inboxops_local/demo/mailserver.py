"""The demonstration mail server: IMAP over TLS (pymap) and submission with STARTTLS (aiosmtpd) over the same maildirs.

`python -m inboxops_local.demo.mailserver` serves `$INBOXOPS_HOME/mail` on 127.0.0.1 until SIGTERM. The mailbox of the support
team is filled with our demonstration mail before the first client can connect, and never again. Whatever is submitted to another
address lands in the customer's mailbox: nothing leaves the machine. With `--clouds` Gmail and Microsoft 365 are served beside it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import ssl
import sys
import time
from argparse import ArgumentParser, Namespace
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from datetime import UTC, datetime
from functools import partial
from itertools import count
from mailbox import MaildirMessage
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from proxyprotocol.reader import ProxyProtocolReader
from pymap.backend import maildir
from pymap.backend.maildir import Config, Login, MaildirBackend
from pymap.backend.maildir.mailbox import Maildir
from pymap.backend.maildir.users import PasswordsFile, UsersFile
from pymap.imap import IMAPServer, IMAPService
from pysasl.hashing import BuiltinHash

from inboxops import settings
from inboxops_local.demo import certificates
from inboxops_local.demo.mails import demonstration
from inboxops_local.stack.home import CUSTOMER, SUPPORT, Home, read_env
from inboxops_local.stack.ports import Ports

MESSAGE_BYTES = 64 * 1024 * 1024
HOST = "127.0.0.1"
CLOUDS = "--clouds"
_numbers = count()


def deliver(folder: Path, raw: bytes, *, received: datetime | None = None, name: str = "") -> None:
    """Put a message into a maildir, byte for byte and in one step. `received` becomes its INTERNALDATE."""
    unique = name or f"{time.time_ns()}.{os.getpid()}_{next(_numbers)}.demo"
    draft = folder / "tmp" / unique
    draft.write_bytes(raw)
    if received is not None:
        os.utime(draft, (received.timestamp(), received.timestamp()))
    draft.replace(folder / "new" / unique)


class ExactMaildir(Maildir):
    """Serves messages as they were delivered, oldest first; the standard library would parse and write them anew."""

    def keys(self) -> list[str]:
        return sorted(super().keys())

    def get_message(self, key: str) -> MaildirMessage:
        return _Exact(self.get_bytes(key))


class _Exact(MaildirMessage):
    def __init__(self, raw: bytes) -> None:
        super().__init__()
        self._raw = b"\r\n".join(raw.replace(b"\r\n", b"\n").split(b"\n"))

    def __bytes__(self) -> bytes:
        return self._raw


class _Submission:
    """Takes mail from the two users and keeps all of it here."""

    def __init__(self, mail: Path, passwords: dict[str, str]) -> None:
        self._mail = mail
        self._passwords = passwords

    def authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any
    ) -> AuthResult:
        known = isinstance(data, LoginPassword) and self._passwords.get(data.login.decode(errors="replace"))
        return AuthResult(success=bool(known) and data.password.decode(errors="replace") == known, handled=False)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        content = envelope.content if isinstance(envelope.content, bytes) else (envelope.content or "").encode()
        raw = f"Return-Path: <{envelope.mail_from or ''}>\r\n".encode() + content
        for user in sorted(
            {address.lower() if address.lower() in self._passwords else CUSTOMER for address in envelope.rcpt_tos}
        ):
            deliver(self._mail / user, raw)
        return "250 2.0.0 kept"


async def prepare(mail: Path, passwords: dict[str, str]) -> None:
    """Make certificates, accounts and mailboxes, and fill the support mailbox once. Safe to be cut off anywhere."""
    mail.mkdir(mode=0o700, exist_ok=True)
    for lock in mail.rglob("*.lock"):  # of a server that was killed; we are the only one
        lock.unlink()
    certificates.make(mail / "ca.pem", mail / "server.pem")
    hashing = BuiltinHash()
    async with UsersFile.with_write(str(mail)) as users, PasswordsFile.with_write(str(mail)) as shadow:
        for user, password in passwords.items():
            users.set(users.build_record(user, user))
            shadow.set(shadow.build_record(user, hashing.hash(password)))
    for user in passwords:
        ExactMaildir(str(mail / user), create=True)
    seeded = mail / "seeded"
    if not seeded.exists():
        now = datetime.now(UTC)
        for number, message in enumerate(demonstration(now)):
            deliver(mail / SUPPORT, message.raw, received=message.received, name=f"{number:04}.demo")
        seeded.write_text(now.isoformat())


async def serve(mail: Path, ports: Ports, passwords: dict[str, str]) -> None:
    await prepare(mail, passwords)
    maildir.Maildir = ExactMaildir  # type: ignore[attr-defined]  # pymap has no setting for the class it opens mailboxes with
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(mail / "server.pem")
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        config = Config.from_args(_arguments(mail), ssl_context=tls)
        config.apply_context()
        accept = ProxyProtocolReader(config.proxy_protocol).get_callback(IMAPServer(Login(config), config))
        imap = await asyncio.start_server(accept, HOST, ports.imap, ssl=tls)
        submission = _Submission(mail, passwords)
        smtp = await loop.create_server(
            partial(
                SMTP,
                submission,
                data_size_limit=MESSAGE_BYTES,
                enable_SMTPUTF8=True,
                hostname="mail.demo.example",
                tls_context=tls,
                require_starttls=True,
                auth_required=True,
                authenticator=submission.authenticate,
                loop=loop,
            ),
            HOST,
            ports.smtp,
        )
        await stack.enter_async_context(imap)
        await stack.enter_async_context(smtp)
        await stop.wait()


def _arguments(mail: Path) -> Namespace:
    """pymap reads its settings from parsed arguments; TLS is ours from the first byte, so it need not offer STARTTLS."""
    parser = ArgumentParser()
    MaildirBackend.add_subparser("maildir", parser.add_subparsers(dest="backend"))
    IMAPService.add_arguments(parser)
    parser.set_defaults(debug=False, passlib_cfg=None)
    return parser.parse_args(["--no-tls", "maildir", str(mail)])


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    home = Home(settings.home())
    kept = read_env(home.env_file)
    passwords = {SUPPORT: kept["STACK_SUPPORT_PASSWORD"], CUSTOMER: kept["STACK_CUSTOMER_PASSWORD"]}
    ports = Ports()
    with _clouds(home, ports) if CLOUDS in sys.argv else nullcontext():
        asyncio.run(serve(home.mail, ports, passwords))


def _clouds(home: Home, ports: Ports) -> AbstractContextManager[None]:
    from inboxops_local.demo import clouds  # 10 MB that a stack without the demonstration does without

    return clouds.serving(home.standins, ports)


if __name__ == "__main__":
    main()
