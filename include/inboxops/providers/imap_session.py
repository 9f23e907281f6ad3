"""A logged-in IMAP connection: how it is secured, how the credentials are shown, and a few commands on it.

No step waits longer than its time-out: connecting (with TLS) `connect_seconds`, each read `read_seconds`, and a whole
exchange a few of them, however slowly the server drips.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from imapclient import DELETED, IMAPClient
from imapclient.exceptions import IMAPClientReadOnlyError
from imapclient.imapclient import TRASH

from inboxops.core.reach import Reach
from inboxops.errors import InvalidInput, NotAllowed, OperatorError, ServerRefused
from inboxops.outward.allowance import ANSWER_BYTES, MAIL_BYTES
from inboxops.ports import Account
from inboxops.providers.imap_errors import RIGHTS_FIX, speaking
from inboxops.providers.imap_wire import TimedClient

DEFAULT_PORTS = {"tls": 993, "starttls": 143, "plain": 143}
_ATOM = re.compile(r"[^\x00-\x20\x7f-\U0010ffff(){%*\"\\]+")  # RFC 9051, section 9: what needs no quoting

_MESSAGE_LIMIT = re.compile(rb"\bMESSAGELIMIT=([0-9]{1,10})\b")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One account's mailbox on one server, checked. `Account.connection` and `Account.secrets` say which.

    connection: host; port (993 for tls, else 143); security: "tls" (default), "starttls" or "plain", never one for
    another; auth: "login", "plain" or "xoauth2", by default PLAIN where the server offers it and else LOGIN; folder
    ("INBOX"); ca_file: PEM of the authorities to trust instead of the system's.
    secrets: username (default: the e-mail address), and password, or access_token for xoauth2.
    """

    host: str
    port: int
    security: str
    auth: str
    folder: str
    ca_file: str
    username: str
    secret: str = field(repr=False)
    reach: Reach | None = None

    @classmethod
    def of(cls, account: Account) -> Endpoint:
        """Raises InvalidInput, naming the field."""
        connection = account.connection
        host = _host(str(connection.get("host") or "").strip())
        security = _one_of("security", connection.get("security") or "tls", DEFAULT_PORTS)
        auth = _one_of("auth", connection.get("auth") or "auto", _LOGINS)
        secret_name = "access_token" if auth == "xoauth2" else "password"
        secret = account.secrets.get(secret_name, "")
        if not secret:
            raise InvalidInput(f"{secret_name} is missing", fix="Enter the credentials of the inbox")
        username = account.secrets.get("username") or account.email_address
        if re.search(r"[\x00-\x1f\x7f]", username) or re.search(r"[\x00\r\n]", secret):
            raise InvalidInput("username or password holds a control character", fix="Enter them again")
        return cls(
            host=host,
            port=_port(connection.get("port") or DEFAULT_PORTS[security]),
            security=security,
            auth=auth,
            folder=str(connection.get("folder") or "INBOX"),
            ca_file=str(connection.get("ca_file") or ""),
            username=username,
            secret=secret,
            reach=account.reach,
        )

    @property
    def server(self) -> str:
        return f"{self.host}:{self.port}"


def _host(name: str) -> str:
    if not name:
        raise InvalidInput("host is missing", fix="Name the IMAP server, e.g. imap.example.com")
    try:
        name.encode("idna")
    except UnicodeError as exc:
        raise InvalidInput(f"host {name[:100]!r} is no host name", fix="It looks like imap.example.com") from exc
    if re.search(r"[\x00-\x20\x7f/@]", name):
        raise InvalidInput(f"host {name[:100]!r} is no host name", fix="It looks like imap.example.com")
    return name


def _one_of(name: str, value: object, known: Mapping[str, object]) -> str:
    if value not in known:
        raise InvalidInput(f"{name} {value!r} is unknown", fix=f"Known: {', '.join(known)}")
    return str(value)


def _port(value: object) -> int:
    try:
        port = int(str(value))
    except ValueError:
        port = 0
    if not 0 < port < 65536:
        raise InvalidInput(f"port {value!r} is no TCP port", fix="Usual ones: 993 for TLS, 143 for STARTTLS")
    return port


@dataclass(frozen=True, slots=True)
class FolderState:
    """What EXAMINE or STATUS says. `uid_next` is None where the server doesn't tell (RFC 9051 makes it optional)."""

    uid_validity: int
    uid_next: int | None
    messages: int


class Session:
    """A logged-in connection. Methods raise only errors of `inboxops.errors`; after one it is closed, not mended."""

    def __init__(self, endpoint: Endpoint, client: TimedClient, read_seconds: float) -> None:
        self.endpoint = endpoint
        self.client = client
        self._read_seconds = read_seconds

    @contextmanager
    def speaking(self, step: str) -> Iterator[None]:
        """One exchange: it has to be over in a few times `read_seconds`, and so many bytes; what goes wrong becomes our error."""
        self.client.allow(_READS[step] * self._read_seconds, MAIL_BYTES if step == "read" else ANSWER_BYTES)
        with speaking(self.endpoint.server, step):
            yield

    def status(self) -> FolderState:
        """The folder's state without selecting it (RFC 9051, 6.3.11): one round trip."""
        with self.speaking("folder"):
            answer = self.client.folder_status(self.endpoint.folder, ["UIDNEXT", "UIDVALIDITY"])
        return self._state(answer)

    def examine(self) -> FolderState:
        """Open the folder read-only: nothing that is read there gets \\Seen (RFC 9051, 6.3.3)."""
        with self.speaking("folder"):
            answer = self.client.select_folder(self.endpoint.folder, readonly=True)
        if b"UIDNOTSTICKY" in answer:
            raise self._without_uids()
        return self._state(answer)

    def leave(self) -> None:
        """Close the folder that `examine` opened: STATUS may tell of an open one as it was then (RFC 9051, 6.3.11)."""
        with self.speaking("folder"):
            self.client.close_folder()

    def select(self) -> FolderState:
        """Open the folder to change it. Raises NotAllowed where it may only be read."""
        with self.speaking("folder"):
            try:
                answer = self.client.select_folder(self.endpoint.folder)
            except IMAPClientReadOnlyError as exc:
                raise NotAllowed(
                    f"{self.endpoint.server} lets {self.endpoint.folder!r} only be read", fix=RIGHTS_FIX
                ) from exc
        return self._state(answer)

    def trash(self) -> str | None:
        """The account's \\Trash (RFC 6154), or what usually is; None when there is none, or it is the folder itself."""
        with self.speaking("folder"):
            found = self.client.find_special_folder(TRASH)
        return None if found is None or found == self.endpoint.folder else str(found)

    def move(self, uid: int, target: str | None) -> None:
        """One message of the selected folder to another one, or out of the mailbox. Raises NotAllowed."""
        with self.speaking("remove"):
            moves, expunges = (self.client.has_capability(name) for name in ("MOVE", "UIDPLUS"))
        if target and moves:
            with self.speaking("remove"):
                self.client.move([uid], target)
            return
        if not expunges:
            raise NotAllowed(
                f"{self.endpoint.server} offers no way to remove one message alone "
                f"({'neither MOVE nor UIDPLUS' if target else 'no UIDPLUS'})",
                fix="It stays in the mailbox",
            )
        if target:
            with self.speaking("remove"):
                self.client.copy([uid], target)
        with self.speaking("remove"):
            self.client.add_flags([uid], [DELETED], silent=True)
        with self.speaking("remove"):
            self.client.uid_expunge([uid])

    def _state(self, answer: Mapping[bytes, Any]) -> FolderState:
        uid_validity = answer.get(b"UIDVALIDITY")
        if not isinstance(uid_validity, int):
            raise self._without_uids()
        uid_next = answer.get(b"UIDNEXT")
        exists = answer.get(b"EXISTS")
        return FolderState(
            uid_validity=uid_validity,
            uid_next=uid_next if isinstance(uid_next, int) and uid_next > 0 else None,
            messages=exists if isinstance(exists, int) else 0,
        )

    def _without_uids(self) -> ServerRefused:
        return ServerRefused(
            f"{self.endpoint.server} keeps no lasting UIDs in {self.endpoint.folder!r}",
            fix="Such a folder can't be read without losing or doubling mail; connect another one",
        )

    def message_limit(self) -> int | None:
        """How many messages the server lets one command be about (RFC 9738), None where it announces nothing of the kind."""
        with self.speaking("folder"):
            announced = _MESSAGE_LIMIT.search(b" ".join(self.client.capabilities()))
        return max(1, int(announced[1])) if announced else None

    def is_junk(self) -> bool:
        """Whether the folder is the account's \\Junk (RFC 6154)."""
        with self.speaking("folder"):
            listed = self.client.list_folders("", self.endpoint.folder)
        return any(
            name == self.endpoint.folder and any(flag.lower() == b"\\junk" for flag in flags)
            for flags, _, name in listed
        )

    def close(self, *, politely: bool = True) -> None:
        """Leave; `politely` with LOGOUT, which a connection that failed is spared."""
        with _quietly():
            if politely:
                self.client.allow(_GOODBYE_SECONDS)
                self.client.socket().settimeout(_GOODBYE_SECONDS)
                self.client.logout()
                return
        with _quietly():
            self.client.shutdown()


_GOODBYE_SECONDS = 2.0
_READS = {"connect": 2, "starttls": 2, "login": 2, "folder": 2, "read": 10, "remove": 2}
"""How many times `read_seconds` a whole exchange may take: 10 minutes for a batch of mail by default, 2 for the rest."""


@contextmanager
def _quietly() -> Iterator[None]:
    """Closing has nothing left to lose: whatever the other side does then is no error of ours."""
    try:
        yield
    except (IMAPClient.Error, OSError, ValueError):
        return


def connect(endpoint: Endpoint, *, connect_seconds: float = 15, read_seconds: float = 60) -> Session:
    """A session that is logged in.

    Raises AuthenticationFailed, ServerRefused, TransientError, Throttled, InvalidInput for a server out of reach, and OperatorError
    for an unreadable ca_file.
    """
    context = tls_context(endpoint.ca_file) if endpoint.security != "plain" else None
    with speaking(endpoint.server, "connect"):
        client = TimedClient(
            endpoint.host,
            endpoint.port,
            context if endpoint.security == "tls" else None,
            reach=endpoint.reach,
            connect_seconds=connect_seconds,
            read_seconds=read_seconds,
            greeting_seconds=connect_seconds + _READS["connect"] * read_seconds,
        )
    session = Session(endpoint, client, read_seconds)
    try:
        if endpoint.security == "starttls":
            _start_tls(session, context)
        _log_in(session)
    except BaseException:
        session.close(politely=False)
        raise
    return session


def _start_tls(session: Session, context: ssl.SSLContext | None) -> None:
    """No TLS, no session (RFC 8314). What was said in plain text before is forgotten."""
    server = session.endpoint.server
    with session.speaking("connect"):
        offered = session.client.has_capability("STARTTLS")
    if not offered:
        raise ServerRefused(
            f"{server} does not offer STARTTLS",
            fix='Use security "tls" on port 993; plain text is never fallen back to',
        )
    with session.speaking("starttls"):
        session.client.starttls(context)


def _log_in(session: Session) -> None:
    with session.speaking("login"):
        capabilities = frozenset(session.client.capabilities())
    _LOGINS[session.endpoint.auth](session, capabilities)


def _automatic(session: Session, capabilities: frozenset[bytes]) -> None:
    (_plain if b"AUTH=PLAIN" in capabilities else _login)(session, capabilities)


def _login(session: Session, capabilities: frozenset[bytes]) -> None:
    endpoint = session.endpoint
    if b"LOGINDISABLED" in capabilities:
        raise ServerRefused(
            f"{endpoint.server} takes no password on this connection",
            fix='Use security "tls", "starttls" or another auth',
        )
    if not (_ATOM.fullmatch(endpoint.username) and endpoint.secret.isascii()):
        if b"AUTH=PLAIN" not in capabilities:
            raise InvalidInput(
                f"{endpoint.server} offers only LOGIN, which can't carry this username or password",
                fix="Use an ASCII username without spaces and an ASCII password",
            )
        return _plain(session, capabilities)
    with session.speaking("login"):
        session.client.login(endpoint.username, endpoint.secret)


def _plain(session: Session, _: frozenset[bytes]) -> None:
    """RFC 4616, which carries UTF-8."""
    with session.speaking("login"):
        session.client.plain_login(session.endpoint.username, session.endpoint.secret)


def _xoauth2(session: Session, capabilities: frozenset[bytes]) -> None:
    endpoint = session.endpoint
    if b"AUTH=XOAUTH2" not in capabilities:
        raise ServerRefused(
            f"{endpoint.server} does not offer XOAUTH2", fix='Use auth "plain" or "login" with a password'
        )
    # A refusal comes as a challenge that wants an empty answer before the tagged NO.
    answers = iter((f"user={endpoint.username}\1auth=Bearer {endpoint.secret}\1\1",))
    with session.speaking("login"):
        session.client.sasl_login("XOAUTH2", lambda _challenge: next(answers, ""))


_LOGINS: dict[str, Callable[[Session, frozenset[bytes]], None]] = {
    "auto": _automatic,
    "login": _login,
    "plain": _plain,
    "xoauth2": _xoauth2,
}


def tls_context(ca_file: str) -> ssl.SSLContext:
    """The context for one set of authorities, shared by all connections: loading the system's takes 20 ms.

    Raises OperatorError when `ca_file` can't be read.
    """
    try:
        changed_at = Path(ca_file).stat().st_mtime_ns if ca_file else 0
        return _loaded_context(ca_file, changed_at)
    except (OSError, ssl.SSLError) as exc:
        raise OperatorError(f"ca_file {ca_file!r} can't be read ({exc})", fix="Name a readable PEM file") from exc


@lru_cache(maxsize=16)
def _loaded_context(ca_file: str, changed_at: int) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file or None)
