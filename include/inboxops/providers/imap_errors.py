"""What a failed IMAP conversation means: here imapclient's, ssl's and socket's exceptions become ours."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from imapclient.exceptions import IMAPClientAbortError, IMAPClientError

from inboxops.errors import (
    AuthenticationFailed,
    InboxOpsError,
    MailboxNotFound,
    NotAllowed,
    ServerRefused,
    Throttled,
    TransientError,
)

_RESPONSE_CODE = re.compile(r"\[([A-Z][A-Z0-9-]*)(?: [^]]*)?\]")
_CREDENTIALS_FIX = "Enter the credentials of the inbox again; some providers want an app password"
RIGHTS_FIX = "Give this account the right to delete there (RFC 4314), or let it stay"
_FOLDER_FIX = "Check the folder's name and that this account may open it"

# RFC 5530 section 3, RFC 9051 section 7.1, and what Gmail (WEBALERT, OVERQUOTA for bandwidth) and Yahoo (THROTTLED)
# add.
_REFUSED_CREDENTIALS = {"AUTHENTICATIONFAILED", "AUTHORIZATIONFAILED", "EXPIRED", "WEBALERT"}
_REFUSED_AT_LOGIN = _REFUSED_CREDENTIALS | {"CONTACTADMIN", "NOPERM"}
_NO_SUCH_FOLDER = {"NONEXISTENT", "NOPERM", "CANNOT", "TRYCREATE"}
_PATIENCE = {"LIMIT", "THROTTLED", "OVERQUOTA"}
_PASSES_BY = {"UNAVAILABLE", "SERVERBUG", "INUSE"}

# Servers that send no code, or one that says too little (ALERT, UNAVAILABLE), tell it in words.
_PATIENCE_WORDS = re.compile(
    r"too many|maximum number of (?:\w+ )?connections|simultaneous|connection limit|rate.?limit|throttl|bandwidth"
    r"|slow down",
    re.IGNORECASE,
)
_PASSES_BY_WORDS = re.compile(
    r"temporar|again later|unavailable|not connected|internal (?:server )?error|server error|busy|time[d -]?out"
    r"|shutting down|maintenance|backend|generic failure",  # the last one is SASL_FAIL: no word about the password
    re.IGNORECASE,
)
_NOT_TLS = {
    "WRONG_VERSION_NUMBER",
    "UNKNOWN_PROTOCOL",
    "HTTP_REQUEST",
    "RECORD_LAYER_FAILURE",
    "PACKET_LENGTH_TOO_LONG",
}

# X509_V_ERR_* of OpenSSL's x509_vfy.h.
_CERTIFICATE_EXPIRED = {10}
_CERTIFICATE_NOT_YET_VALID = {9}
_CERTIFICATE_OTHER_NAME = {62, 64}


def response_code(text: str) -> str:
    """The first response code in a server's line, e.g. `AUTHENTICATIONFAILED`, or an empty text."""
    found = _RESPONSE_CODE.search(text)
    return found.group(1) if found else ""


def passes_by(text: str) -> bool:
    """Whether the server says that it is in trouble itself, by code or, where it sends none, in words."""
    return response_code(text) in _PASSES_BY or bool(_PASSES_BY_WORDS.search(text))


def asks_for_patience(text: str) -> bool:
    """Whether the server wants to be asked less often, by code or in words."""
    return response_code(text) in _PATIENCE or bool(_PATIENCE_WORDS.search(text))


@contextmanager
def speaking(server: str, step: str) -> Iterator[None]:
    """Translate whatever goes wrong in one exchange with `server` ("host:port").

    step: "connect", "starttls", "login", "folder", "read" or "remove". ValueError, LookupError and TypeError are how the client
    library trips over an answer that is no IMAP, so the body is one call of it and nothing of ours.
    """
    try:
        yield
    except (IMAPClientError, OSError, ValueError, LookupError, TypeError) as exc:
        raise translated(exc, server, step) from exc


def translated(exc: Exception, server: str, step: str) -> InboxOpsError:
    """Our error for a vendor's."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return _certificate(exc, server)
    if isinstance(exc, ssl.SSLError):
        return _tls(exc, server)
    if isinstance(exc, OSError):
        return _network(exc, server, step)
    if isinstance(exc, IMAPClientError):
        # imapclient turns a connection lost during login into LoginError: only the context still knows.
        lost = isinstance(exc, IMAPClientAbortError) or isinstance(exc.__context__, IMAPClientAbortError)
        return _answer(_words(exc), server, step, lost=lost)
    return TransientError(f"{server} answered what is not IMAP: {_clip(str(exc))}")


def _certificate(exc: ssl.SSLCertVerificationError, server: str) -> ServerRefused:
    code = exc.verify_code
    if code in _CERTIFICATE_EXPIRED:
        return ServerRefused(f"the TLS certificate of {server} has expired", fix="Renew it on the mail server")
    if code in _CERTIFICATE_NOT_YET_VALID:
        return ServerRefused(
            f"the TLS certificate of {server} is not valid yet",
            fix="Check the clocks of this machine and of the server",
        )
    if code in _CERTIFICATE_OTHER_NAME:
        return ServerRefused(
            f"the TLS certificate of {server} is for another host name",
            fix="Connect with the name that stands in the certificate",
        )
    return ServerRefused(
        f"the TLS certificate of {server} can't be trusted ({exc.verify_message})",
        fix="Set ca_file to the authority that signed it, or install a certificate of a public one",
    )


def _tls(exc: ssl.SSLError, server: str) -> InboxOpsError:
    if isinstance(exc, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return TransientError(f"{server} closed the connection during TLS", fix="Tried again later")
    if exc.reason in _NOT_TLS:
        return ServerRefused(
            f"{server} answers in plain text where TLS was expected",
            fix='Use the TLS port (usually 993), or security "starttls" on this one',
        )
    return ServerRefused(
        f"no TLS connection with {server}: {exc.reason or exc}", fix="The server must offer TLS 1.2 or newer"
    )


def _network(exc: OSError, server: str, step: str) -> TransientError:
    host, _, port = server.rpartition(":")
    if isinstance(exc, socket.gaierror):
        return TransientError(
            f"the host name {host!r} is unknown", fix="Check the spelling, and the DNS of this machine"
        )
    if isinstance(exc, ConnectionRefusedError):
        return TransientError(
            f"nothing listens on port {port} of {host}",
            fix="Check the port (993 for TLS, 143 for STARTTLS) and firewalls",
        )
    if isinstance(exc, TimeoutError):
        hint = "Check host, port and security: a TLS port stays silent without TLS" if step == "connect" else ""
        return TransientError(f"{server} did not answer in time ({step})", fix=hint)
    return TransientError(f"the connection with {server} broke ({step}): {exc.strerror or exc}")


def _answer(text: str, server: str, step: str, *, lost: bool) -> InboxOpsError:
    if lost and "socket error" in text:  # imaplib's words for an end of file
        return TransientError(f"{server} closed the connection ({step})")
    code = response_code(text)
    said = f"{server} says: {_clip(text)}"
    if code in _REFUSED_CREDENTIALS or (step == "login" and code in _REFUSED_AT_LOGIN):
        return AuthenticationFailed(said, fix=_CREDENTIALS_FIX)
    if code == "PRIVACYREQUIRED":
        return ServerRefused(said, fix='Use security "tls" or "starttls"')
    if asks_for_patience(text):
        return Throttled(said)
    if step == "folder" and code in _NO_SUCH_FOLDER:
        return MailboxNotFound(said, fix=_FOLDER_FIX)
    if lost or passes_by(text):
        return TransientError(said)
    if step == "login" and " error: BAD" in text:  # imaplib's mark of a BAD, which is never about credentials
        return TransientError(said)
    return _WITHOUT_A_HINT.get(step, TransientError)(said)


# A plain NO or BAD: what the step itself makes likely.
_WITHOUT_A_HINT: dict[str, Callable[[str], InboxOpsError]] = {
    "starttls": lambda said: ServerRefused(said, fix='Use security "tls"; plain text is never fallen back to'),
    "login": lambda said: AuthenticationFailed(said, fix=_CREDENTIALS_FIX),
    "folder": lambda said: MailboxNotFound(said, fix=_FOLDER_FIX),
    "remove": lambda said: NotAllowed(said, fix=RIGHTS_FIX),
}


def _words(exc: Exception) -> str:
    """The server's own words: imaplib hands them over as bytes in the exception's argument, or their repr in a text."""
    argument = exc.args[0] if exc.args else ""
    text = argument.decode("utf-8", "replace") if isinstance(argument, bytes) else str(argument)
    return re.sub(r"^b(['\"])(.*)\1$", r"\2", text, flags=re.DOTALL)


def _clip(text: str) -> str:
    return " ".join(text.split())[:300].rstrip(".")
