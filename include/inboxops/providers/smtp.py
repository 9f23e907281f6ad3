"""Mail out over SMTP submission, for IMAP inboxes: handed over once, with the last word given only when it may be.

connection: smtp_host; smtp_port (465 for tls, 587 for starttls, 25 for plain); smtp_security: "tls" (default), "starttls" or
"plain", never one for another; smtp_auth: "auto" (default), "plain", "login", "xoauth2" or "none"; ca_file as for IMAP;
save_sent: whether we put copies into the Sent folder (default true; false where the server does so itself); sent_folder.
secrets: smtp_username and smtp_password where they are not those of IMAP.
"""

from __future__ import annotations

import base64
import re
import smtplib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime

from inboxops.core.model import Copy
from inboxops.core.reach import Reach
from inboxops.errors import (
    AuthenticationFailed,
    InboxOpsError,
    InvalidInput,
    MessageRefused,
    OutcomeUnknown,
    ServerRefused,
    Throttled,
    TransientError,
)
from inboxops.ports import Account, Envelope, RefusedRecipient, Sent, Trace
from inboxops.providers import imap_errors, imap_sent
from inboxops.providers.imap import ImapProvider
from inboxops.providers.imap_session import tls_context
from inboxops.providers.smtp_wire import TimedSmtp

DEFAULT_PORTS = {"tls": 465, "starttls": 587, "plain": 25}
_CHUNK = 65_536  # bytes written under one time-out
_GOODBYE_SECONDS = 5.0
_REPLIES = {"connect": 2, "starttls": 2, "login": 2, "send": 10}
"""How many times `reply_seconds` a whole exchange may take: 10 minutes for a message by default, 2 for the rest, as with IMAP."""

_FIX_CREDENTIALS = "Enter the credentials of the inbox again; some providers want an app password"
_LINE_START_DOT = re.compile(rb"^\.", re.MULTILINE)
_PATIENCE = {421, 450, 451, 452, 454}  # RFC 5321, 4.2.3 and RFC 4954, 6: come back later


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One account's submission server, checked."""

    host: str
    port: int
    security: str
    auth: str
    ca_file: str
    username: str
    secret: str = field(repr=False)
    reach: Reach | None = None

    @classmethod
    def of(cls, account: Account) -> Endpoint:
        """Raises InvalidInput, naming the field."""
        connection, secrets = account.connection, account.secrets
        host = str(connection.get("smtp_host") or "").strip()
        if not host:
            raise InvalidInput("smtp_host is missing", fix="Name the server that takes this inbox's outgoing mail")
        security = str(connection.get("smtp_security") or "tls")
        auth = str(connection.get("smtp_auth") or ("xoauth2" if connection.get("auth") == "xoauth2" else "auto"))
        for name, value, known in (("smtp_security", security, DEFAULT_PORTS), ("smtp_auth", auth, _LOGINS)):
            if value not in known:
                raise InvalidInput(f"{name} {value!r} is unknown", fix=f"Known: {', '.join(known)}")
        port = connection.get("smtp_port") or DEFAULT_PORTS[security]
        if not str(port).isdecimal() or not 0 < int(port) < 65536:
            raise InvalidInput(f"smtp_port {port!r} is no TCP port", fix="Usual ones: 465 for TLS, 587 for STARTTLS")
        secret_name = "access_token" if auth == "xoauth2" else "password"
        secret = secrets.get(f"smtp_{secret_name}") or secrets.get(secret_name, "")
        if auth != "none" and not secret:
            raise InvalidInput(f"{secret_name} is missing", fix="Enter the credentials of the inbox")
        return cls(
            host=host,
            port=int(port),
            security=security,
            auth=auth,
            ca_file=str(connection.get("ca_file") or ""),
            username=secrets.get("smtp_username") or secrets.get("username") or account.email_address,
            secret=secret,
            reach=account.reach,
        )

    @property
    def server(self) -> str:
        return f"{self.host}:{self.port}"


class SmtpSender:
    """`ports.Sender` for IMAP inboxes. Times are seconds: for connecting, for each reply, for the reply behind DATA.

    A whole exchange takes a few of them at most, however slowly the server drips.
    """

    def __init__(self, *, connect_seconds: float = 15, reply_seconds: float = 60, final_seconds: float = 300) -> None:
        self._connect_seconds = connect_seconds
        self._reply_seconds = reply_seconds
        self._final_seconds = final_seconds

    def send(
        self,
        account: Account,
        raw: bytes,
        envelope: Envelope,
        *,
        commit: Callable[[], None],
        thread_id: str | None = None,
    ) -> Sent:
        endpoint = Endpoint.of(account)
        smtp = self._open(endpoint, account.email_address.rpartition("@")[2])
        try:
            self._log_in(smtp, endpoint)
            with self._exchange(smtp, endpoint, "send"):
                refused = _hand_over_envelope(smtp, raw, envelope, account.email_address, endpoint.server)
                _hand_over_body(smtp, raw, endpoint.server)
            commit()
            answer = self._end(smtp, endpoint.server)
            with suppress(smtplib.SMTPException, OSError):  # it is taken: nothing said after that matters
                smtp.allow(_GOODBYE_SECONDS, pause=_GOODBYE_SECONDS)
                smtp.docmd("QUIT")
        finally:
            smtp.close()
        return Sent(refused=refused, answer=answer)

    def find_sent(self, account: Account, message_id: str, *, since: datetime) -> Trace:
        session = ImapProvider().session(account)
        try:
            found = imap_sent.holds(session, message_id, str(account.connection.get("sent_folder") or ""))
        finally:
            session.close()
        return Trace(True if found else None if _saves_copies(account) else found)

    def copies(self, account: Account, *, since: datetime) -> Iterator[Copy] | None:
        """None where we put no copies there: whether the server does is nobody's word."""
        return self._copies(account, since) if _saves_copies(account) else None

    def _copies(self, account: Account, since: datetime) -> Iterator[Copy]:
        session = ImapProvider().session(account)
        try:
            yield from imap_sent.copies(session, since, str(account.connection.get("sent_folder") or ""))
        finally:
            session.close()

    def keep_copy(self, account: Account, raw: bytes) -> None:
        if not _saves_copies(account):
            return
        session = ImapProvider().session(account)
        try:
            imap_sent.append(session, raw, str(account.connection.get("sent_folder") or ""))
        finally:
            session.close()

    def check(self, account: Account) -> str:
        """Log in and leave: the server's name. Raises what `send` raises before the envelope."""
        endpoint = Endpoint.of(account)
        smtp = self._open(endpoint, account.email_address.rpartition("@")[2])
        try:
            self._log_in(smtp, endpoint)
        finally:
            smtp.close()
        return endpoint.server

    def _open(self, endpoint: Endpoint, domain: str) -> TimedSmtp:
        context = tls_context(endpoint.ca_file) if endpoint.security != "plain" else None
        with _speaking(endpoint.server, "connect"):
            smtp = TimedSmtp(
                endpoint.host,
                endpoint.port,
                domain or "localhost",
                context if endpoint.security == "tls" else None,
                reach=endpoint.reach,
                connect_seconds=self._connect_seconds,
                greeting_seconds=self._connect_seconds + _REPLIES["connect"] * self._reply_seconds,
            )
        try:
            with self._exchange(smtp, endpoint, "connect"):
                smtp.ehlo_or_helo_if_needed()
            if endpoint.security == "starttls":
                _check_starttls(smtp, endpoint)
                with self._exchange(smtp, endpoint, "starttls"):  # smtplib forgets what was said before (RFC 3207, 4.2)
                    smtp.starttls(context=context)
                    smtp.ehlo_or_helo_if_needed()
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _log_in(self, smtp: TimedSmtp, endpoint: Endpoint) -> None:
        with self._exchange(smtp, endpoint, "login"):
            _LOGINS[endpoint.auth](smtp, endpoint)

    @contextmanager
    def _exchange(self, smtp: TimedSmtp, endpoint: Endpoint, step: str) -> Iterator[None]:
        """It has to be over in a few times `reply_seconds`, and what goes wrong becomes our error."""
        smtp.allow(_REPLIES[step] * self._reply_seconds, pause=self._reply_seconds)
        with _speaking(endpoint.server, step):
            yield

    def _end(self, smtp: TimedSmtp, server: str) -> str:
        """The one line that makes the message the server's. Only a reply, which is returned, tells what became of it."""
        try:
            smtp.allow(self._final_seconds, pause=self._final_seconds)
            smtp.send(b".\r\n")
            code, reply = smtp.getreply()
        except (smtplib.SMTPException, OSError) as exc:
            raise OutcomeUnknown(f"{server} was lost before it said whether it took the message: {exc}") from exc
        if code < 200 or code >= 600:
            raise OutcomeUnknown(f"{server} answered the message with what is no SMTP reply")
        if code >= 300:
            raise _answer(code, reply, server, "send")
        return f"{code} {_words(reply)}"


def _check_starttls(smtp: smtplib.SMTP, endpoint: Endpoint) -> None:
    """No TLS, no session."""
    if not smtp.has_extn("starttls"):
        raise ServerRefused(
            f"{endpoint.server} does not offer STARTTLS",
            fix='Use smtp_security "tls" on port 465; plain text is never fallen back to',
        )


def _hand_over_envelope(
    smtp: smtplib.SMTP, raw: bytes, envelope: Envelope, own: str, server: str
) -> tuple[RefusedRecipient, ...]:
    """MAIL and RCPT. Returns whom the server did not take; raises when it took nobody, or less than all for now.

    own: the inbox's address, for servers that take nobody but whoever logged in as the sender (RFC 6409, 6.1), and so no null
    reverse-path: what bounces comes back to the mailbox then, as with Gmail and Graph.
    """
    options = ""
    needs_utf8 = not all(map(str.isascii, (envelope.sender, *envelope.recipients))) or not raw.isascii()
    if needs_utf8 and not smtp.has_extn("smtputf8"):
        raise MessageRefused(f"{server} takes no addresses outside ASCII (it offers no SMTPUTF8)")
    if needs_utf8:
        options = " SMTPUTF8 BODY=8BITMIME"
        smtp.command_encoding = "utf-8"
    most = smtp.esmtp_features.get("size", "").split(" ")[0]
    if most.isdecimal() and 0 < int(most) < len(raw):
        raise MessageRefused(
            f"the message has {len(raw)} bytes and {server} takes {most} at most", fix="Send less in it"
        )
    code, reply = smtp.docmd("MAIL", f"FROM:<{envelope.sender}>{options}")
    if code >= 500 and not envelope.sender:
        code, reply = smtp.docmd("MAIL", f"FROM:<{own}>{options}")
    if code != 250:
        raise _answer(code, reply, server, "send")
    refused = []
    for address in envelope.recipients:
        code, reply = smtp.docmd("RCPT", f"TO:<{address}>")
        if code == 421:
            raise _answer(code, reply, server, "send")
        if code not in (250, 251):
            refused.append(RefusedRecipient(address, code, _words(reply)))
    soft = [one for one in refused if one.code < 500]
    is_nobody = len(refused) == len(envelope.recipients)
    if is_nobody or (soft and envelope.is_patient):
        said = "; ".join(f"{one.address}: {one.code} {one.reply}" for one in (soft or refused)[:5])
        whom = "no recipient" if is_nobody else "not all recipients yet"
        raise (TransientError if soft else MessageRefused)(f"{server} takes {whom}: {said}")
    return tuple(refused)


def _hand_over_body(smtp: smtplib.SMTP, raw: bytes, server: str) -> None:
    """DATA and all of the message but the line that ends it (RFC 5321, 4.1.1.4): until then the server must forget it."""
    code, reply = smtp.docmd("DATA")
    if code != 354:
        raise _answer(code, reply, server, "send")
    stuffed = _LINE_START_DOT.sub(b"..", raw)  # RFC 5321, 4.5.2
    if not stuffed.endswith(b"\r\n"):
        stuffed += b"\r\n"
    for at in range(0, len(stuffed), _CHUNK):
        smtp.send(stuffed[at : at + _CHUNK])


def _log_in_plain(smtp: smtplib.SMTP, endpoint: Endpoint) -> None:
    answer = f"\0{endpoint.username}\0{endpoint.secret}"
    _expect_login(*smtp.docmd("AUTH", f"PLAIN {_base64(answer)}"))


def _log_in_login(smtp: smtplib.SMTP, endpoint: Endpoint) -> None:
    code, reply = smtp.docmd("AUTH", "LOGIN")
    for word in (endpoint.username, endpoint.secret):
        if code == 334:
            code, reply = smtp.docmd(_base64(word))
    _expect_login(code, reply)


def _log_in_xoauth2(smtp: smtplib.SMTP, endpoint: Endpoint) -> None:
    answer = f"user={endpoint.username}\1auth=Bearer {endpoint.secret}\1\1"
    code, reply = smtp.docmd("AUTH", f"XOAUTH2 {_base64(answer)}")
    if code == 334:  # the reason as JSON; the server says no after an empty line
        code, reply = smtp.docmd("")
    _expect_login(code, reply)


def _log_in_best(smtp: smtplib.SMTP, endpoint: Endpoint) -> None:
    offered = smtp.esmtp_features.get("auth", "").upper().split()
    (_log_in_plain if "PLAIN" in offered or "LOGIN" not in offered else _log_in_login)(smtp, endpoint)


def _log_in_not(smtp: smtplib.SMTP, endpoint: Endpoint) -> None:
    """A relay that knows us by our address."""


_LOGINS: Mapping[str, Callable[[smtplib.SMTP, Endpoint], None]] = {
    "auto": _log_in_best,
    "plain": _log_in_plain,
    "login": _log_in_login,
    "xoauth2": _log_in_xoauth2,
    "none": _log_in_not,
}


def _expect_login(code: int, reply: bytes) -> None:
    if code != 235:
        raise smtplib.SMTPAuthenticationError(code, reply)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8")).decode("ascii")


def _saves_copies(account: Account) -> bool:
    return bool(account.connection.get("save_sent", True))


@contextmanager
def _speaking(server: str, step: str) -> Iterator[None]:
    """Whatever goes wrong in the conversation becomes ours here."""
    try:
        yield
    except (smtplib.SMTPException, OSError, ValueError) as exc:
        raise _translated(exc, server, step) from exc


def _translated(exc: Exception, server: str, step: str) -> InboxOpsError:
    if isinstance(exc, smtplib.SMTPResponseException):
        said = exc.smtp_error
        return _answer(exc.smtp_code, said if isinstance(said, bytes) else str(said).encode(), server, step)
    if isinstance(exc, smtplib.SMTPServerDisconnected):
        return TransientError(f"the connection with {server} broke ({step}): {exc}")
    if isinstance(exc, smtplib.SMTPException):
        return TransientError(f"{server} answered what is not SMTP: {exc}")
    if isinstance(exc, ConnectionRefusedError):
        port = server.rpartition(":")[2]
        return TransientError(
            f"nothing listens there: {server}", fix=f"Check smtp_host and smtp_port ({port}), and firewalls"
        )
    if isinstance(exc, OSError):
        return imap_errors.translated(exc, server, "connect")
    return InvalidInput(f"what was to be said to {server} holds a character that SMTP can't carry")


def _answer(code: int, reply: bytes, server: str, step: str) -> InboxOpsError:
    """Only a 5xx reply is for good (RFC 5321, 4.2.1). Throttling is no authentication failure."""
    said = f"{server} says: {code} {_words(reply)}"
    if code in _PATIENCE:
        return Throttled(said)
    if 500 <= code < 600:
        # RFC 4954, 4 and 6, RFC 3207, 4: no such mechanism, use TLS first, log in first.
        if step in ("connect", "starttls") or code in (530, 538) or (step == "login" and code < 530):
            return ServerRefused(said, fix="Check smtp_port, smtp_security and smtp_auth")
        if step != "login":
            return MessageRefused(said)
        # Servers whose password server is away, or who are asked too often, say so behind the same 535.
        if imap_errors.asks_for_patience(said):
            return Throttled(said)
        if imap_errors.passes_by(said):
            return TransientError(said)
        return AuthenticationFailed(said, fix=_FIX_CREDENTIALS)
    return TransientError(said)


def _words(reply: bytes) -> str:
    return " ".join(reply.decode("utf-8", "replace").split())[:300].rstrip(".")
