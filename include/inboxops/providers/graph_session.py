"""The calls of Microsoft Graph that reading and sending need, with tokens, patience and pinned links taken care of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from inboxops.errors import AuthenticationFailed, ServerRefused, Throttled, TransientError
from inboxops.ports import Account
from inboxops.providers.graph_errors import MessageUnreadable, is_gone, translated
from inboxops.providers.https import hand_over, refused, speaking, trust
from inboxops.providers.patience import Patience

API_URL = "https://graph.microsoft.com"
CALLS_AT_ONCE = 4  # more of one mailbox are answered 429 (Outlook service limits)
MOST_PAGES = 20_000
"""Of one listing. Servers have been seen that hand out the same next link for ever."""

_IDS = 'IdType="ImmutableId"'
_HEAD_BYTES = 256 * 1024


class GraphSession:
    """One mailbox. Safe for several threads."""

    def __init__(self, account: Account, *, timeout_seconds: float, patience: Patience) -> None:
        if account.tokens is None:
            raise AuthenticationFailed("the inbox has no credentials of Microsoft", fix="Connect it again")
        self._tokens, self._patience = account.tokens, patience
        self.api_url = str(account.connection.get("api_url", API_URL)).rstrip("/")
        self.server = self.api_url.partition("://")[2]
        mailbox = str(account.connection.get("mailbox", ""))
        self.owner = f"/v1.0/users/{quote(mailbox)}" if mailbox else "/v1.0/me"
        self._token = ""
        self._http = httpx.Client(
            verify=trust(str(account.connection.get("ca_file", ""))),
            timeout=timeout_seconds,
            limits=httpx.Limits(max_connections=CALLS_AT_ONCE, max_keepalive_connections=CALLS_AT_ONCE),
        )

    def close(self) -> None:
        self._http.close()

    def get(
        self, what: str, path: str, query: Mapping[str, str] | None = None, *, page: int = 0, patient: bool = True
    ) -> tuple[dict[str, Any], datetime]:
        """The JSON of a path below the mailbox or of a link that Graph gave, and the server's clock. page: entries wanted."""
        headers = {"Prefer": f"{_IDS}, odata.maxpagesize={page}" if page else _IDS}
        with self._answered(what, "GET", self._url(path), patient=patient, params=query, headers=headers) as response:
            response.read()
            try:
                answer = response.json()
            except ValueError as exc:
                raise TransientError(f"{self.server} answers {what} with what is no JSON") from exc
            return answer, _clock(response)

    def pages(self, what: str, path: str, query: Mapping[str, str], *, page: int) -> Iterator[list[dict[str, Any]]]:
        """The values of a listing, page by page."""
        link, parameters = path, dict(query) or None
        for _ in range(MOST_PAGES):
            answer, _ = self.get(what, link, parameters, page=page)
            yield answer.get("value", [])
            if "@odata.nextLink" not in answer:
                return
            link, parameters = str(answer["@odata.nextLink"]), None
        raise ServerRefused(f"{self.server} gives no end to its pages ({what})")

    def content(self, message_id: str, *, most_bytes: int) -> tuple[bytes | None, int] | None:
        """The MIME of a message and its size in bytes; no MIME when it is larger than wanted, None when it was deleted.

        Raises MessageUnreadable.
        """
        path = self._url(f"/messages/{quote(message_id)}/$value")
        with self._answered("$value", "GET", path, headers={"Prefer": _IDS}, gone=404) as response:
            if response.status_code == 404:
                return None
            chunks: list[bytes] = []
            size_bytes = 0
            with speaking(self.server, "$value"):
                for chunk in response.iter_bytes():
                    size_bytes += len(chunk)
                    if size_bytes <= most_bytes:
                        chunks.append(chunk)
                    else:
                        chunks.clear()  # read on only to know how large it is
            if not size_bytes:
                raise MessageUnreadable(f"{self.server} lists the message but delivers nothing of it")
            return (b"".join(chunks), size_bytes) if size_bytes <= most_bytes else (None, size_bytes)

    def head(self, message_id: str) -> bytes:
        """The header section of a message; nothing of it when it was deleted, or can't be read."""
        head = b""
        path = self._url(f"/messages/{quote(message_id)}/$value")
        with (
            suppress(MessageUnreadable),
            self._answered("$value", "GET", path, headers={"Prefer": _IDS}, gone=404) as response,
        ):
            with speaking(self.server, "$value"):
                for chunk in response.iter_bytes():
                    head += chunk
                    if b"\r\n\r\n" in head or len(head) > _HEAD_BYTES:
                        break
            return b"" if response.status_code == 404 else head.partition(b"\r\n\r\n")[0]
        return b""

    def folder_of(self, message_id: str) -> str:
        """The id of the folder that a message is in, "" when it was deleted."""
        url = self._url(f"/messages/{quote(message_id)}")
        query = {"$select": "parentFolderId"}
        with self._answered("message", "GET", url, headers={"Prefer": _IDS}, gone=404, params=query) as response:
            response.read()
            return "" if response.status_code == 404 else str(response.json()["parentFolderId"])

    def move(self, message_id: str, folder: str) -> bool:
        """Move a message to a folder; False when it was deleted. Raises NotAllowed where the consent covers reading alone."""
        url, wanted = self._url(f"/messages/{quote(message_id)}/move"), {"destinationId": folder}
        with self._answered("move", "POST", url, headers={"Prefer": _IDS}, gone=404, json=wanted) as response:
            return response.status_code != 404

    def send(self, path: str, body: bytes, *, content_type: str, commit: Callable[[], None]) -> str:
        """The request after which a message may have left: what Graph said of it. Raises as `ports.Sender.send`.

        Microsoft asks for the request-id when somebody wants to know what became of a request ("Best practices for working with
        Microsoft Graph").
        """
        response = hand_over(
            self._http,
            self._tokens,
            self._url(path),
            body,
            headers={"Prefer": _IDS, "Content-Type": content_type},
            server=self.server,
            commit=commit,
        )
        if not response.is_success:
            raise refused(translated(response, self.server, "send"))
        return f"Microsoft took it with {response.status_code}, request-id {response.headers.get('request-id', 'not told')}"

    def upload(self, url: str, piece: bytes, *, at: int, of: int) -> None:
        """A piece of a file, `at` so many bytes of `of`, to the address of an upload session, which is no secret of ours: the
        address itself is the permission, and the token must not go there."""
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Range": f"bytes {at}-{at + len(piece) - 1}/{of}",
        }
        with speaking(self.server, "upload"):
            response = self._http.put(url, content=piece, headers=headers)
        if response.status_code in (401, 404, 410):  # of the address, which ends after a while
            raise TransientError(f"{self.server} forgot an upload ({response.status_code})")
        if not response.is_success:
            raise translated(response, self.server, "upload")

    def call(self, what: str, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Any other request; raises for every answer that is none of 2xx."""
        headers = {"Prefer": _IDS, **arguments.pop("headers", {})}
        with self._answered(what, method, self._url(path), headers=headers, **arguments) as response:
            response.read()
            return response

    @contextmanager
    def _answered(
        self,
        what: str,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        patient: bool = True,
        gone: int = 0,
        **arguments: Any,
    ) -> Iterator[httpx.Response]:
        """A streamed answer of 2xx, or of `gone` where it is about what was asked for. A refused token is renewed once, throttling
        is waited for."""
        attempt, renewed = 0, False
        token = self._tokens.access_token().value
        while True:
            request = self._http.build_request(
                method, url, headers={**headers, "Authorization": f"Bearer {token}"}, **arguments
            )
            with speaking(self.server, what):
                response = self._http.send(request, stream=True)
            try:
                if response.is_success:
                    yield response
                    return
                with speaking(self.server, what):
                    response.read()
                if response.status_code == gone and is_gone(response):
                    yield response
                    return
            finally:
                response.close()
            if response.status_code == 401 and not renewed:
                token, renewed = self._tokens.access_token(refused=token).value, True
                continue
            error = translated(response, self.server, what)
            if not isinstance(error, Throttled) or not patient:
                raise error
            self._patience.bear(error, attempt)
            attempt += 1

    def _url(self, path: str) -> str:
        """A path below the mailbox, or a link that Graph gave."""
        return f"{self.api_url}{self.owner}{path}" if path.startswith("/") else self.pinned(path)

    def leads_here(self, link: str) -> bool:
        """Whether a link leads to the Graph that the token is for."""
        theirs, ours = urlsplit(link), urlsplit(self.api_url)
        return (theirs.scheme, theirs.netloc.lower()) == (ours.scheme, ours.netloc.lower())

    def pinned(self, link: str) -> str:
        """A link that a page holds. Raises ServerRefused when it leads elsewhere: the token must not go there."""
        if not self.leads_here(link):
            raise ServerRefused(
                f"{self.server} sent a link to another host ({urlsplit(link).hostname}): it is not followed"
            )
        return link


def _clock(response: httpx.Response) -> datetime:
    """The server's clock; ours where it does not say."""
    try:
        return datetime.strptime(response.headers["date"], "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    except (KeyError, ValueError):
        return datetime.now(UTC)
