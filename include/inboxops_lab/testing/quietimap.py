"""A simulated IMAP server: thousands of mailboxes without mail, in one process. It speaks the wire protocol (RFC 9051) over TLS.

Whoever logs in has an INBOX to which nothing ever comes. It knows what a look needs: CAPABILITY, LOGIN, STATUS, NOOP, LOGOUT; any
other command is refused. As it ends it writes when each mailbox was asked, so that its clients' word is not needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import shlex
import signal
import ssl
import sys
import time
from collections import defaultdict
from pathlib import Path

from inboxops_lab.testing.certificates import Authority
from inboxops_lab.testing.processes import ServerProcess, free_ports

UID_VALIDITY, LAST_UID = 1, 1
"""Of every mailbox."""
_STATUS = b"* STATUS INBOX (UIDNEXT %d UIDVALIDITY %d)\r\n" % (LAST_UID + 1, UID_VALIDITY)
_BACKLOG = 1000


class QuietImap:
    """The server as a process of its own."""

    host = "localhost"

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder)
        certificate = authority.issue()
        self.ca_file = str(authority.ca_file)
        (self.port,) = free_ports(1)
        self._asked = folder / "asked.json"
        files = (certificate.cert_file, certificate.key_file, self._asked)
        command = [sys.executable, "-m", __name__, str(self.port), *map(str, files)]
        self._process = ServerProcess(command, [self.port], folder / "quietimap.log")

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> dict[str, list[float]]:
        """End it: mailbox -> the moments at which its state was asked, in seconds since the epoch."""
        self._process.stop()
        return dict(json.loads(self._asked.read_text())) if self._asked.exists() else {}


class _Server:
    def __init__(self) -> None:
        self.asked: defaultdict[str, list[float]] = defaultdict(list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            await self._speak(reader, writer)
        writer.close()

    async def _speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK quiet\r\n")
        user = ""
        while line := await reader.readline():
            tag, _, command = line.rstrip(b"\r\n").partition(b" ")
            verb, _, arguments = command.partition(b" ")
            match verb.upper():
                case b"CAPABILITY":
                    writer.write(b"* CAPABILITY IMAP4rev1\r\n")
                case b"LOGIN":
                    user = shlex.split(arguments.decode())[0]
                case b"STATUS" if user:
                    self.asked[user].append(time.time())
                    writer.write(_STATUS)
                case b"LOGOUT":
                    writer.write(b"* BYE\r\n" + tag + b" OK\r\n")
                    return
                case b"NOOP":
                    pass
                case _:
                    writer.write(tag + b" BAD not simulated\r\n")
                    continue
            writer.write(tag + b" OK done\r\n")


async def _main(port: int, cert_file: str, key_file: str, asked: Path) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert_file, key_file)
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    server = _Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", port, ssl=context, backlog=_BACKLOG)
    await ending.wait()
    listening.close()
    asked.write_text(json.dumps(server.asked))


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4])))
