"""IMAP IDLE (RFC 2177): one thread and one selector hold many mailboxes and say which of them got mail.

Connecting blocks, so a few threads do that, few of them at a server that does not answer; from then on a mailbox is a socket, a
few bytes of state and a deadline. Whatever a server makes us stumble over is its own mailbox's failure. IDLE is an addition to
polling, never its replacement: what it misses, the next poll finds.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import random
import selectors
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from inboxops.core.looking import FEW_AT_ONCE, Places, Rooms
from inboxops.core.model import Cursor
from inboxops.errors import InboxOpsError, ServerRefused, TransientError
from inboxops.ports import Account
from inboxops.providers.imap import ImapProvider
from inboxops.providers.imap_pool import fingerprint
from inboxops.providers.imap_session import FolderState

log = structlog.get_logger("inboxops.idle")
_ANSWER_SECONDS = 60.0  # how long the server may take to begin or end an IDLE
_STEADY_SECONDS = 60.0  # a connection that lasted longer failed for a new reason
_LONGEST_LINE = 64 * 1024
_RECEIVE = 16 * 1024
_DIGITS = 10  # of a number of 32 bits (RFC 9051, section 9)


@dataclass(slots=True)
class _Mailbox:
    """One inbox to hold. A new `generation` outdates whatever was scheduled or begun for it before."""

    account: Account
    mark: str
    cursor: Cursor
    generation: int
    failures: int = 0
    connection: _Connection | None = None
    refusal: InboxOpsError | None = None

    @property
    def server(self) -> str:
        return str(self.account.connection.get("host"))


@dataclass(slots=True)
class _Connection:
    """A socket in or near IDLE. `state`: "beginning" (IDLE sent), "idling" or "ending" (DONE sent)."""

    socket: socket.socket
    inbox_id: int
    exists: int
    begun_at: float
    state: str = "beginning"
    received: bytes = b""


@dataclass(frozen=True, slots=True)
class _Connected:
    inbox_id: int
    generation: int
    server: str
    socket: socket.socket | None
    folder: FolderState | None
    error: InboxOpsError | None


class IdleHub:
    """Holds mailboxes in IDLE. `hold` says which; `arrivals` or `listen` tell which of them got mail.

    limit: how many mailboxes at most; those beyond it are left to polling. renew_seconds: IDLE is begun again after
    this time (servers may log out after 30 minutes; RFC 2177 asks for less than 29). connectors: how many connections
    are set up at once, at a server that does not answer FEW_AT_ONCE of them. retry_seconds: the first and the longest pause
    after a failure; it doubles, with jitter.
    """

    def __init__(
        self,
        provider: ImapProvider | None = None,
        *,
        limit: int = 1000,
        renew_seconds: float = 25 * 60,
        connectors: int = 16,
        retry_seconds: tuple[float, float] = (5.0, 15 * 60.0),
    ) -> None:
        self._provider = provider or ImapProvider(connect_seconds=15, read_seconds=30)
        self._limit = limit
        self._renew_seconds = renew_seconds
        self._retry_seconds = retry_seconds
        self._listeners: list[Callable[[int | None], None]] = []
        self._mailboxes: dict[int, _Mailbox] = {}
        self._wanted: deque[Sequence[tuple[Account, Cursor]]] = deque()
        self._waiting: list[tuple[_Mailbox, int]] = []  # to be connected, in this generation
        self._connecting = 0
        self._most_connecting = connectors
        self._rooms, self._places = Rooms(max(connectors - FEW_AT_ONCE, FEW_AT_ONCE)), Places()
        self._connected: deque[_Connected] = deque()
        self._due: list[tuple[float, int, int, int]] = []  # heap of (when, tie breaker, inbox, generation)
        self._order = itertools.count()
        self._selector = selectors.DefaultSelector()
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)
        self._selector.register(self._wake_receiver, selectors.EVENT_READ)
        self._connectors = ThreadPoolExecutor(connectors, thread_name_prefix="imap-idle-connect")
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="imap-idle", daemon=True)
        self._thread.start()

    # What callers use, from any thread

    def hold(self, mailboxes: Sequence[tuple[Account, Cursor]]) -> None:
        """Hold these and no others, each with the cursor up to which it was read; call again when the list changes.

        An account that changed is connected anew, one that is no longer listed is let go.

        Raises RuntimeError once the hub has ended.
        """
        if self._closing:
            raise RuntimeError("the hub has ended and holds nothing any more")
        self._wanted.append(tuple(mailboxes[: self._limit]))
        self._wake()

    def listen(self, listener: Callable[[int | None], None]) -> Callable[[], None]:
        """Call `listener` in the hub's thread, with the inbox's id whenever mail arrived and with None when the hub ends.

        Returns what ends it.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def arrivals(self) -> AsyncIterator[int]:
        """Ids of inboxes that got mail, until the hub ends. The event loop never waits for a socket."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[int | None] = asyncio.Queue()

        def enqueue(inbox_id: int | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed a moment ago
                loop.call_soon_threadsafe(queue.put_nowait, inbox_id)

        stop = self.listen(enqueue)
        try:
            while not self._closing and (inbox_id := await queue.get()) is not None:
                yield inbox_id
        finally:
            stop()

    def healthy(self) -> frozenset[int]:
        """Inboxes that are in IDLE now, and so may be polled less often."""
        return frozenset(
            inbox_id
            for inbox_id, mailbox in list(self._mailboxes.items())
            if mailbox.connection is not None and mailbox.connection.state == "idling"
        )

    def refused(self) -> dict[int, InboxOpsError]:
        """Inboxes that are not tried again until they change, and why: no IDLE there, or wrong credentials."""
        return {
            inbox_id: mailbox.refusal
            for inbox_id, mailbox in list(self._mailboxes.items())
            if mailbox.refusal is not None
        }

    def close(self) -> None:
        """Let everything go and end the threads."""
        self._closing = True
        self._wake()
        self._thread.join()
        self._connectors.shutdown(wait=False, cancel_futures=True)

    # The hub's own thread

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # full, which wakes it, too; or closed
            self._wake_sender.send(b"\0")

    def _run(self) -> None:
        try:
            while not self._closing:
                self._round()
        except Exception:  # nobody foresaw it: whoever waits for arrivals is told, and opens another hub
            log.exception("idle_hub_broke", mailboxes=len(self._mailboxes))
        finally:
            self._closing = True
            self._tell(None)
            for mailbox in self._mailboxes.values():
                self._drop(mailbox)
            self._selector.close()
            self._wake_receiver.close()
            self._wake_sender.close()

    def _round(self) -> None:
        pause = max(0.0, self._due[0][0] - time.monotonic()) if self._due else None
        for key, _ in self._selector.select(pause):
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    self._wake_receiver.recv(4096)
            else:
                self._read(key.data)
        while self._wanted:
            self._set(self._wanted.popleft())
        while self._connected:
            self._begin(self._connected.popleft())
        self._meet_deadlines()
        self._let_in()

    @contextlib.contextmanager
    def _alone(self, mailbox: _Mailbox) -> Iterator[None]:
        """What goes wrong within is this mailbox's failure and no other's."""
        try:
            yield
        except Exception as exc:  # whatever it is, a server must not end the hub by it
            log.exception("idle_mailbox_broke", inbox_id=mailbox.account.inbox_id, server=mailbox.server)
            self._fail(mailbox, TransientError(f"{type(exc).__name__}: {exc}"[:300]))

    def _set(self, wanted: Sequence[tuple[Account, Cursor]]) -> None:
        ids = {account.inbox_id for account, _ in wanted}
        for inbox_id in self._mailboxes.keys() - ids:
            self._drop(self._mailboxes.pop(inbox_id))
        for account, cursor in wanted:
            known = self._mailboxes.get(account.inbox_id)
            mark = fingerprint(account)
            if known is not None and known.mark == mark:
                if (known.cursor.last_uid or 0) < (cursor.last_uid or 0):
                    known.cursor = cursor  # read meanwhile: no reason to tell again after a reconnection
                continue
            if known is not None:
                self._drop(known)
            mailbox = _Mailbox(account, mark, cursor, next(self._order))
            self._mailboxes[account.inbox_id] = mailbox
            self._connect(mailbox)

    def _connect(self, mailbox: _Mailbox) -> None:
        self._waiting.append((mailbox, mailbox.generation))

    def _let_in(self) -> None:
        """Have as many connected as there are threads, and as their servers may hold of these."""
        waiting, self._waiting = self._waiting, []
        for mailbox, generation in waiting:
            now = datetime.now(UTC)
            if mailbox.generation != generation:
                continue
            if self._connecting >= self._most_connecting or not self._rooms.is_open(mailbox.server, now):
                self._waiting.append((mailbox, generation))
            elif resting := self._places.rests(mailbox.server, now):
                self._fail(mailbox, TransientError(resting))
            else:
                with self._alone(mailbox):
                    self._connectors.submit(self._connect_blocking, mailbox.account, generation, mailbox.server)
                    self._rooms.enter(mailbox.server)
                    self._connecting += 1

    def _left(self, connected: _Connected) -> None:
        """A thread is free again, and it is known whether the server answers."""
        now, error = datetime.now(UTC), connected.error
        self._connecting -= 1
        answered = not isinstance(error, TransientError)
        self._rooms.leave(connected.server, now, answered=answered)
        if answered:
            self._places.answered(connected.server)
        else:
            self._places.failed(connected.server, connected.inbox_id, str(error), now)

    def _connect_blocking(self, account: Account, generation: int, server: str) -> None:
        """In a connector's thread: log in, open the folder, and hand over the bare socket."""
        if self._closing:
            return
        try:
            session = self._provider.session(account)
            try:
                with session.speaking("read"):
                    can_idle = session.client.has_capability("IDLE")
                if not can_idle:
                    raise ServerRefused(f"{session.endpoint.server} offers no IDLE", fix="This inbox is polled instead")
                folder = session.examine()
            except BaseException:
                session.close(politely=False)
                raise
            connected = _Connected(account.inbox_id, generation, server, session.client.socket(), folder, None)
        except InboxOpsError as exc:
            connected = _Connected(account.inbox_id, generation, server, None, None, exc)
        except Exception as exc:  # nobody foresaw it, and the mailbox is tried again
            log.exception("idle_mailbox_broke", inbox_id=account.inbox_id, server=server)
            error = TransientError(f"{type(exc).__name__}: {exc}"[:300])
            connected = _Connected(account.inbox_id, generation, server, None, None, error)
        if self._closing and connected.socket is not None:
            connected.socket.close()
        self._connected.append(connected)
        self._wake()

    def _begin(self, connected: _Connected) -> None:
        self._left(connected)
        mailbox = self._mailboxes.get(connected.inbox_id)
        if mailbox is None or mailbox.generation != connected.generation:
            if connected.socket is not None:
                connected.socket.close()
            return
        if connected.socket is None or connected.folder is None:
            self._fail(mailbox, connected.error)
            return
        mailbox.connection = _Connection(
            connected.socket, connected.inbox_id, connected.folder.messages, time.monotonic()
        )
        with self._alone(mailbox):
            self._idle(mailbox, mailbox.connection, connected.folder)

    def _idle(self, mailbox: _Mailbox, connection: _Connection, folder: FolderState) -> None:
        _make_patient(connection.socket)
        self._selector.register(connection.socket, selectors.EVENT_READ, connection)
        # Mail that came while nobody was in IDLE, before the first connection or since the last one broke; or the folder went back.
        cursor = mailbox.cursor
        if folder.uid_validity != cursor.uid_validity or folder.uid_next not in (None, (cursor.last_uid or 0) + 1):
            self._tell(connection.inbox_id)
        if folder.uid_next is not None:
            mailbox.cursor = Cursor(uid_validity=folder.uid_validity, last_uid=folder.uid_next - 1)
        self._say(mailbox, b"I IDLE\r\n", "beginning", _ANSWER_SECONDS)
        self._read(connection)  # what TLS has decrypted already, the selector can't see

    def _say(self, mailbox: _Mailbox, line: bytes, state: str, seconds: float) -> None:
        connection = mailbox.connection
        if connection is None:
            return
        try:
            connection.socket.send(line)
        except OSError as exc:  # a dozen bytes that don't fit mean a dead peer
            self._fail(mailbox, TransientError(f"the connection broke ({exc})"))
            return
        connection.state = state
        self._schedule(mailbox, seconds)

    def _schedule(self, mailbox: _Mailbox, seconds: float) -> None:
        """The one deadline of a mailbox: when it passes, `_meet_deadlines` does what its state calls for."""
        mailbox.generation = next(self._order)
        when = time.monotonic() + seconds
        heapq.heappush(self._due, (when, next(self._order), mailbox.account.inbox_id, mailbox.generation))

    def _meet_deadlines(self) -> None:
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            _, _, inbox_id, generation = heapq.heappop(self._due)
            mailbox = self._mailboxes.get(inbox_id)
            if mailbox is None or mailbox.generation != generation:
                continue
            if mailbox.connection is None:
                self._connect(mailbox)
            elif mailbox.connection.state == "idling":
                self._say(mailbox, b"DONE\r\n", "ending", _ANSWER_SECONDS)
            else:
                self._fail(mailbox, TransientError("the server did not answer in time"))

    def _read(self, connection: _Connection) -> None:
        mailbox = self._mailboxes.get(connection.inbox_id)
        if mailbox is None or mailbox.connection is not connection:
            return  # dropped earlier in this round
        with self._alone(mailbox):
            self._understand(mailbox, connection)

    def _understand(self, mailbox: _Mailbox, connection: _Connection) -> None:
        try:
            alive = self._receive(connection)
        except OSError:
            alive = False
        *lines, connection.received = connection.received.split(b"\r\n")
        arrived = False
        for line in lines:
            arrived |= _grows(connection, line)
            if line.startswith(b"+") and connection.state == "beginning":
                connection.state = "idling"
                self._schedule(mailbox, self._renew_seconds)
            elif line.startswith(b"I "):
                self._ended(mailbox, connection, line)
            alive &= not line.startswith(b"* BYE")
        if arrived:
            self._tell(connection.inbox_id)
        if (not alive or len(connection.received) > _LONGEST_LINE) and mailbox.connection is connection:
            self._fail(mailbox, TransientError("the server ended the connection"))

    def _receive(self, connection: _Connection) -> bool:
        """Everything that is there; TLS may hold more than the selector knows of. False at the end of the stream."""
        while True:
            try:
                data = connection.socket.recv(_RECEIVE)
            except (BlockingIOError, ssl.SSLWantReadError):
                return True
            if not data:
                return False
            connection.received += data
            if len(connection.received) > _LONGEST_LINE:
                return True

    def _ended(self, mailbox: _Mailbox, connection: _Connection, line: bytes) -> None:
        """The tagged answer to IDLE: after our DONE it begins again, otherwise the server doesn't want to."""
        if line.upper().startswith(b"I OK") and connection.state == "ending":
            self._say(mailbox, b"I IDLE\r\n", "beginning", _ANSWER_SECONDS)
        else:
            self._fail(mailbox, TransientError(f"the server ended IDLE: {line[2:200].decode('utf-8', 'replace')}"))

    def _fail(self, mailbox: _Mailbox, error: InboxOpsError | None) -> None:
        """Let the connection go; try again later, unless only a person can help."""
        if mailbox.connection is not None and time.monotonic() - mailbox.connection.begun_at > _STEADY_SECONDS:
            mailbox.failures = 0
        self._drop(mailbox)
        if error is not None and not isinstance(error, TransientError):
            mailbox.refusal = error
            return
        first, longest = self._retry_seconds
        pause = min(longest, first * 2.0**mailbox.failures)
        asked = error.retry_after if isinstance(error, TransientError) and error.retry_after else 0.0
        mailbox.failures = min(mailbox.failures + 1, 30)
        # Jitter: after a server's restart its mailboxes don't come back in step.
        self._schedule(mailbox, max(asked, pause * random.uniform(0.5, 1.0)))

    def _drop(self, mailbox: _Mailbox) -> None:
        connection, mailbox.connection = mailbox.connection, None
        mailbox.generation = next(self._order)
        if connection is not None:
            with contextlib.suppress(KeyError, ValueError):  # it broke before it was registered
                self._selector.unregister(connection.socket)
            connection.socket.close()

    def _tell(self, inbox_id: int | None) -> None:
        for listener in list(self._listeners):
            listener(inbox_id)


def _grows(connection: _Connection, line: bytes) -> bool:
    """Whether an untagged line says that the folder has more messages than before (RFC 9051, 7.4.1 and 7.5.1)."""
    words = line.split()
    if len(words) < 3 or words[0] != b"*" or not words[1].isdigit() or len(words[1]) > _DIGITS:
        return False
    kind = words[2].upper()
    if kind == b"EXPUNGE":
        connection.exists -= 1
    if kind != b"EXISTS":
        return False
    before, connection.exists = connection.exists, int(words[1])
    return connection.exists > before


def _make_patient(connected: socket.socket) -> None:
    """Non-blocking, and with TCP keep-alive: home routers forget a silent connection after minutes and tell nobody."""
    connected.setblocking(False)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 120), ("TCP_KEEPALIVE", 120), ("TCP_KEEPINTVL", 30), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):  # Linux has the first, macOS the second
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
