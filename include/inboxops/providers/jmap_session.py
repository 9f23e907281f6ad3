"""JMAP (RFC 8620): the session resource, method calls, blobs; with credentials, patience and errors taken care of."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import httpx

from inboxops.core.patience import retry_after
from inboxops.errors import (
    AuthenticationFailed,
    CursorExpired,
    InboxOpsError,
    InvalidInput,
    MailboxNotFound,
    OutcomeUnknown,
    ServerRefused,
    Throttled,
    TransientError,
)
from inboxops.outward.allowance import ANSWER_BYTES, MAIL_BYTES
from inboxops.outward.http import Bounded, Bounds
from inboxops.ports import Account
from inboxops.providers.https import posted, speaking, trust
from inboxops.providers.patience import Patience

CORE, MAIL, SUBMISSION = (f"urn:ietf:params:jmap:{name}" for name in ("core", "mail", "submission"))
PAGE = 500  # what every server has to give at once (RFC 8620, 2: maxObjectsInGet)
CALLS_AT_ONCE = 4  # what every server has to take (RFC 8620, 2: maxConcurrentRequests)
CHANGES_BYTES = 32 * 1024 * 1024  # of what moved while nobody looked: half a million messages
_READS = {"download": 10, "upload": 10}
"""How many times its time-out a whole exchange may take: 10 for mail, 2 for the rest, as with IMAP."""

_REDIRECTS = 3
_CHECK_URL = "Name the session resource itself with --url"

FAILED = {"serverFail", "serverPartialFail"}
_STATE_IS_LOST = {"cannotCalculateChanges", "tooManyChanges"}
_NO_MAILBOX = {"accountNotFound", "accountNotSupportedByMethod", "forbidden"}

Call = tuple[str, Mapping[str, Any]]


class ServerFailed(TransientError):
    """The server says that it failed in the middle of a method call."""


class JmapSession:
    """One account. Safe for several threads.

    `Account.connection`: `url` of the session resource, or `host` (and `port`) whose /.well-known/jmap leads to it (RFC 8620, 2.2);
    `auth` ("basic", the default, or "bearer"), `ca_file`. secrets: username and password, or access_token.
    """

    def __init__(self, account: Account, *, timeout_seconds: float, patience: Patience) -> None:
        connection = account.connection
        host, port = str(connection.get("host", "")), int(connection.get("port", 443))
        self._url = str(connection.get("url") or f"https://{host}:{port}/.well-known/jmap")
        if not _is_https(self._url):
            raise InvalidInput(f"{self._url!r} is no https:// URL", fix=_CHECK_URL)
        self.server = urlsplit(self._url).netloc
        self._authorization = _authorization(account)
        self._timeout_seconds = timeout_seconds
        self._patience = patience
        self._resource: dict[str, Any] | None = None
        authorities = trust(str(connection.get("ca_file", "")))
        bounds = Bounds(timeout_seconds)
        self._http = httpx.Client(
            transport=Bounded(authorities, account.reach, bounds, connections=CALLS_AT_ONCE), timeout=timeout_seconds
        )

    def close(self) -> None:
        self._http.close()

    @property
    def resource(self) -> dict[str, Any]:
        """The session object (RFC 8620, 2), asked for once."""
        if self._resource is None:
            self._resource = self._discover()
        return self._resource

    @property
    def account_id(self) -> str:
        """Raises MailboxNotFound for a login without mail."""
        try:
            return str(self.resource["primaryAccounts"][MAIL])
        except (LookupError, TypeError) as exc:
            raise MailboxNotFound(
                f"{self.server} has no mail account for this login", fix="Is JMAP for mail turned on for it?"
            ) from exc

    def limit(self, name: str, *, at_least: int) -> int:
        """A limit of the server (RFC 8620, 2), and what to take for it where the server does not say."""
        value = self.resource.get("capabilities", {}).get(CORE, {}).get(name)
        return value if isinstance(value, int) and value > 0 else at_least

    def call(
        self, what: str, *calls: Call, patient: bool = True, most_bytes: int = ANSWER_BYTES
    ) -> list[dict[str, Any]]:
        """One request of several method calls; the arguments of their answers. Raises for the first that failed."""
        response = self._asked(
            what, "POST", self.api_url, content=self._request(calls), patient=patient, most_bytes=most_bytes
        )
        return self._answers(response, what)

    def queried(
        self,
        what: str,
        wanted: Mapping[str, Any],
        sort: Sequence[Mapping[str, Any]],
        properties: Sequence[str],
        *,
        most: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        """The e-mails that a filter lets through, in their order, page by page; with `most` only so many of the first.

        A page begins with the last e-mail of the one before it. Where it does not, some went meanwhile and the rest moved up, and
        the place is looked for further up (RFC 8620, 5.5, of positions in a query that changes).
        """
        seen, position, back = set[str](), 0, 1
        while most is None or len(seen) < most:
            query = {
                "filter": wanted,
                "sort": sort,
                "position": position,
                "limit": PAGE if most is None else min(PAGE, most - len(seen) + bool(seen)),
            }
            ids = {"resultOf": "0", "name": "Email/query", "path": "/ids"}
            page, about = self.call(
                what, ("Email/query", query), ("Email/get", {"#ids": ids, "properties": list(properties)})
            )
            here = [str(id_) for id_ in page["ids"]]
            if position and (not here or here[0] not in seen):
                position, back = max(0, position - back), back * 2
                continue
            fresh = [id_ for id_ in here if id_ not in seen]
            if not fresh and len(here) < 2:
                return
            seen.update(fresh)
            position, back = position + max(len(here) - 1, 1), 1
            known = {str(one["id"]): one for one in about["list"]}
            yield from (known[id_] for id_ in fresh if id_ in known)

    def submit(self, *calls: Call, commit: Callable[[], None]) -> list[dict[str, Any]]:
        """As `call`, for what may make a message leave: once. Raises what `https.posted` does, too.

        A server that says that it failed leaves open how far it came: behind it stands another that may have the message.
        """
        headers = {"Content-Type": "application/json", "Authorization": self._authorization}
        url, body = self.api_url, self._request(calls)
        commit()
        response = posted(self._http, url, body, headers, self.server)
        if not response.is_success:
            raise self._translated(response, "send")
        try:
            return self._answers(response, "send")
        except ServerFailed as exc:
            raise OutcomeUnknown(str(exc.args[0])) from exc

    def download(self, blob_id: str) -> bytes | None:
        """None for a blob that is gone, or of which nothing comes."""
        url = self._template("downloadUrl", {"blobId": blob_id, "name": "mail.eml", "type": "message/rfc822"})
        response = self._asked("download", "GET", url, gone=404, most_bytes=MAIL_BYTES)
        return None if response.status_code == 404 else response.content or None

    def upload(self, content: bytes) -> str:
        """The id of the new blob."""
        response = self._asked(
            "upload",
            "POST",
            self._template("uploadUrl", {}),
            content=content,
            headers={"Content-Type": "message/rfc822"},
        )
        return str(_json(response, self.server, "upload")["blobId"])

    @property
    def api_url(self) -> str:
        return self._absolute(str(self.resource.get("apiUrl", "")))

    def _request(self, calls: Sequence[Call]) -> bytes:
        mine = {"accountId": self.account_id}
        methods = [[name, {**mine, **arguments}, str(number)] for number, (name, arguments) in enumerate(calls)]
        using = [
            CORE,
            MAIL,
            *([SUBMISSION] if any(not name.startswith(("Email/", "Mailbox/")) for name, _ in calls) else []),
        ]
        return json.dumps({"using": using, "methodCalls": methods}).encode()

    def _answers(self, response: httpx.Response, what: str) -> list[dict[str, Any]]:
        answers = _json(response, self.server, what).get("methodResponses", [])
        for name, arguments, _ in answers:
            if name == "error":
                raise self._method_failed(arguments, what)
        return [arguments for _, arguments, _ in answers]

    def _method_failed(self, error: Mapping[str, Any], what: str) -> InboxOpsError:
        """RFC 8620, 3.6.2."""
        kind = str(error.get("type", ""))
        said = f"{self.server} answers {what} with {kind} {error.get('description') or ''}"[:400].strip()
        if kind in _STATE_IS_LOST:
            return CursorExpired(said)
        if kind in FAILED:
            return ServerFailed(said)
        if kind == "serverUnavailable":
            return TransientError(said)
        if kind in _NO_MAILBOX:
            return MailboxNotFound(said, fix="Check that the account has this mailbox and that the login may open it")
        if kind == "rateLimit":
            return Throttled(said)
        return ServerRefused(said)

    def _discover(self) -> dict[str, Any]:
        url = self._url
        for _ in range(_REDIRECTS):
            response = self._asked("session", "GET", url, moved=True)
            if not response.is_redirect:
                self._url = url  # what the session's relative URLs are relative to
                return _json(response, self.server, "session")
            url = _joined(url, response.headers.get("location", ""))
            if not _is_https(url) or urlsplit(url).netloc != urlsplit(self._url).netloc:
                raise ServerRefused(f"{self.server} leads to {url}: the login is not shown there", fix=_CHECK_URL)
        raise ServerRefused(f"{self.server} leads from one place to the next", fix=_CHECK_URL)

    def _absolute(self, url: str) -> str:
        """A URL of the session object, which may lead to another host (RFC 8620, 2), but never past TLS."""
        whole = _joined(self._url, url)
        if not url or not _is_https(whole):
            raise ServerRefused(f"{self.server} names {url!r} for its API, which is no https:// URL")
        return whole

    def _template(self, name: str, values: Mapping[str, str]) -> str:
        """RFC 6570, level 1."""
        url = str(self.resource.get(name, ""))
        for key, value in {"accountId": self.account_id, **values}.items():
            url = url.replace(f"{{{key}}}", quote(value, safe=""))
        return self._absolute(url)

    def _asked(
        self,
        what: str,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        patient: bool = True,
        gone: int = 0,
        moved: bool = False,
        content: bytes | None = None,
        most_bytes: int = ANSWER_BYTES,
    ) -> httpx.Response:
        """An answer of 2xx (or `gone`, or a redirect where `moved`), of so many bytes. Throttling is waited for."""
        attempt = 0
        plain = {"Content-Type": "application/json"} if content is not None else {}
        sent = {**plain, **(headers or {}), "Authorization": self._authorization}
        bounds = Bounds(_READS.get(what, 2) * self._timeout_seconds, most_bytes)
        while True:
            with speaking(self.server, what):
                response = self._http.request(method, url, content=content, headers=sent, extensions={"bounds": bounds})
            if response.is_success or response.status_code == gone or (moved and response.is_redirect):
                return response
            error = self._translated(response, what)
            if not isinstance(error, Throttled) or not patient:
                raise error
            self._patience.bear(error, attempt)
            attempt += 1

    def _translated(self, response: httpx.Response, what: str) -> InboxOpsError:
        """Our error for an answer that is none of 2xx (RFC 8620, 3.6.1)."""
        status, problem = response.status_code, _problem(response)
        said = f"{self.server} answers {status} to {what}: {problem}"[:400].strip(" :")
        wait = retry_after(response.headers.get("retry-after"), now=datetime.now(UTC))
        if status == 401:
            return AuthenticationFailed(f"the server refuses the credentials: {said}", fix="Connect the inbox again")
        if (
            status == 429
            or problem.startswith("urn:ietf:params:jmap:error:limit")
            or (status == 503 and wait is not None)
        ):
            return Throttled(said, retry_after=wait)
        if status >= 500 or status == 408:
            return TransientError(said)
        if status in (403, 404):
            return MailboxNotFound(said, fix=f"Is this a JMAP server, and may this login use it? {_CHECK_URL}")
        return ServerRefused(said)


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an address that is none, a port that is no number
        return False


def _joined(base: str, url: str) -> str:
    """As a browser joins them; what can't be joined as it is."""
    try:
        return urljoin(base, url)
    except ValueError:
        return url


def _authorization(account: Account) -> str:
    secrets = account.secrets
    if account.connection.get("auth", "basic") == "bearer":
        if not secrets.get("access_token"):
            raise AuthenticationFailed("the inbox has no access token", fix="Connect it again")
        return f"Bearer {secrets['access_token']}"
    login = f"{secrets.get('username') or account.email_address}:{secrets.get('password', '')}"
    return "Basic " + base64.b64encode(login.encode()).decode()


def _json(response: httpx.Response, server: str, what: str) -> dict[str, Any]:
    try:
        answer = response.json()
    except (ValueError, RecursionError) as exc:
        raise ServerRefused(f"{server} answers {what} with what is no JSON", fix="Is this a JMAP server?") from exc
    if not isinstance(answer, dict):
        raise ServerRefused(f"{server} answers {what} with no object", fix="Is this a JMAP server?")
    return answer


def _problem(response: httpx.Response) -> str:
    """Problem details (RFC 7807), which JMAP uses."""
    try:
        problem = response.json()
        return f"{problem.get('type', '')} {problem.get('limit') or problem.get('detail') or ''}".strip()
    except (ValueError, AttributeError, RecursionError):
        return ""
