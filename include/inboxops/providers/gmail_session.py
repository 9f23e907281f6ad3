"""The calls of the Gmail API that reading and sending need, with tokens, quota, patience and batching taken care of."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from secrets import token_hex
from typing import Any

import httplib2
import httpx
from google.oauth2.credentials import Credentials
from google_auth_httplib2 import AuthorizedHttp
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError
from googleapiclient.http import BatchHttpRequest

from inboxops.errors import AuthenticationFailed, Throttled, TransientError
from inboxops.ports import Account, TokenSource
from inboxops.providers.gmail_errors import speaking, translated
from inboxops.providers.https import hand_over, trust
from inboxops.providers.patience import Pace, Patience

API_URL = "https://gmail.googleapis.com"
CALLS_PER_BATCH = 50  # Google takes 100 and advises against more than 50, which trip its limits

# Quota units (Gmail API usage limits).
_UNITS = {"profile": 1, "history": 2, "list": 5, "get": 5, "trash": 5, "send": 100, "watch": 100, "stop": 50}
_MINIMAL = "id,threadId,labelIds,internalDate,sizeEstimate"  # not the snippet: it quotes the body


@dataclass(frozen=True, slots=True)
class Listed:
    """A message's facts without its content. `size_bytes` is Gmail's estimate."""

    id: str
    thread_id: str
    labels: frozenset[str]
    received_at: datetime
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Resources:
    """Parts of the client. Each is built anew whenever the one above it is asked for it, which takes 10 ms."""

    users: Any
    messages: Any
    history: Any


@cache
def _resources(api_url: str) -> _Resources:
    """The client built from its bundled discovery document. It holds no state: each call brings its own connection."""
    client = build(
        "gmail",
        "v1",
        http=httplib2.Http(),
        static_discovery=True,
        cache_discovery=False,
        client_options={"api_endpoint": api_url},
    )
    users = client.users()
    return _Resources(users, users.messages(), users.history())


class GmailSession:
    """One account. Not for several threads at once: httplib2 is not."""

    def __init__(self, account: Account, *, timeout_seconds: float, patience: Patience, pace: Pace) -> None:
        if account.tokens is None:
            raise AuthenticationFailed("the inbox has no credentials of Google", fix="Connect it again")
        self.api_url = str(account.connection.get("api_url", API_URL)).rstrip("/")
        self.server = self.api_url.partition("://")[2]
        self.resources = _resources(self.api_url)
        http = httplib2.Http(timeout=timeout_seconds, ca_certs=account.connection.get("ca_file") or None)
        http.follow_redirects = False  # Google's API sends nobody elsewhere; whoever stands in its place might
        self._http = AuthorizedHttp(_credentials(account.tokens), http=http)
        self._tokens, self._ca_file = account.tokens, str(account.connection.get("ca_file") or "")
        self._patience, self._pace = patience, pace

    def close(self) -> None:
        self._http.close()

    def profile(self) -> dict[str, Any]:
        return self.call("profile", self.resources.users.getProfile(userId="me"))

    def history(self, start: str, page_token: str | None = None, *, patient: bool = True) -> dict[str, Any]:
        """A page of what came in or out of the bin behind a history id. Raises CursorExpired for one that is forgotten."""
        request = self.resources.history.list(
            userId="me",
            startHistoryId=start,
            pageToken=page_token,
            maxResults=500,
            historyTypes=["messageAdded", "labelRemoved"],
            fields="history(id,messagesAdded(message(id,labelIds)),labelsRemoved(message(id,labelIds),labelIds)),"
            "historyId,nextPageToken",
        )
        return self.call("history", request, patient=patient)

    def ids(self, query: str, *, most: int | None = None) -> list[str]:
        """Ids that match, in spam too, newest first; with `most` only so many of the newest."""
        return list(self.each_id(query, most=most))

    def each_id(self, query: str, *, most: int | None = None) -> Iterator[str]:
        """As `ids`, page by page."""
        found, page_token = 0, None
        while most is None or found < most:
            size = 500 if most is None else min(500, most - found)
            request = self.resources.messages.list(
                userId="me",
                q=query,
                includeSpamTrash=True,
                maxResults=size,
                pageToken=page_token,
                fields="messages/id,nextPageToken",
            )
            page = self.call("list", request)
            ids = [message["id"] for message in page.get("messages", [])]
            yield from ids
            found, page_token = found + len(ids), page.get("nextPageToken")
            if page_token is None:
                return

    def listed(self, ids: Sequence[str]) -> dict[str, Listed]:
        """Facts by id. Who is missing was deleted meanwhile."""
        found = self._get(ids, format="minimal", fields=_MINIMAL)
        return {id_: _listed(resource) for id_, resource in found.items()}

    def raw(self, ids: Sequence[str]) -> dict[str, str]:
        """Whole messages by id, in base64url. The caller bounds how much that is."""
        return {id_: resource["raw"] for id_, resource in self._get(ids, format="raw", fields="id,raw").items()}

    def headers(self, ids: Sequence[str], *names: str) -> dict[str, dict[str, str]]:
        """The named headers of messages by id; their names are in lower case."""
        found = self._get(ids, format="metadata", metadataHeaders=list(names), fields="id,payload(headers)")
        return {
            id_: {one["name"].lower(): one["value"] for one in resource.get("payload", {}).get("headers", [])}
            for id_, resource in found.items()
        }

    def trash(self, id_: str) -> None:
        """Put a message into the bin. Raises NotAllowed where the consent covers reading alone."""
        self.call("trash", self.resources.messages.trash(userId="me", id=id_))

    def send(self, raw: bytes, thread_id: str | None, *, commit: Callable[[], None]) -> httpx.Response:
        """messages.send as an upload of the message beside its thread. The answer is below 500, and definite.

        Not by httplib2, which sends a request a second time when the connection ends before the answer.
        """
        boundary = token_hex(16)
        about = json.dumps({"threadId": thread_id} if thread_id else {})
        body = b"".join(
            (
                f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{about}\r\n".encode(),
                f"--{boundary}\r\nContent-Type: message/rfc822\r\n\r\n".encode(),
                raw,
                f"\r\n--{boundary}--\r\n".encode(),
            )
        )
        self._pace.spend(_UNITS["send"])
        with httpx.Client(verify=trust(self._ca_file)) as http:
            return hand_over(
                http,
                self._tokens,
                f"{self.api_url}/upload/gmail/v1/users/me/messages/send?uploadType=multipart",
                body,
                headers={"Content-Type": f"multipart/related; boundary={boundary}"},
                server=self.server,
                commit=commit,
            )

    def call(self, what: str, request: Any, *, patient: bool = True) -> dict[str, Any]:
        """One request: `what` names its price in quota units and its place in error messages."""
        attempt = 0
        while True:
            self._pace.spend(_UNITS[what])
            try:
                with speaking(self.server, what):
                    answer = request.execute(http=self._http)
                return {} if what == "stop" else self._of_google(answer, what)  # 204, No Content
            except Throttled as exc:
                if not patient:
                    raise
                self._patience.bear(exc, attempt)
            attempt += 1

    def _get(self, ids: Sequence[str], **parameters: Any) -> dict[str, dict[str, Any]]:
        """messages.get of all ids, in batch requests. Those that the server has no patience for are asked for again."""
        found: dict[str, dict[str, Any]] = {}
        for start in range(0, len(ids), CALLS_PER_BATCH):
            missing, attempt = list(ids[start : start + CALLS_PER_BATCH]), 0
            while missing:
                throttled: Throttled | None = None
                try:
                    answers = self._answers(missing, parameters)
                except Throttled as exc:  # the batch as a whole
                    answers, throttled = {}, exc
                found |= {id_: answer for id_, answer in answers.items() if not isinstance(answer, HttpError)}
                again = [] if throttled is None else missing
                for id_, answer in answers.items():
                    if not isinstance(answer, HttpError) or answer.resp.status == 404:
                        continue
                    error = translated(answer, self.server, "get")
                    if not isinstance(error, Throttled):
                        raise error from answer
                    throttled, again = error, [*again, id_]
                if throttled is not None:
                    self._patience.bear(throttled, attempt)
                missing, attempt = again, attempt + 1
        return found

    def _answers(self, ids: Sequence[str], parameters: dict[str, Any]) -> dict[str, dict[str, Any] | HttpError]:
        """What the server says to each id: one HTTP request."""
        answers: dict[str, dict[str, Any] | HttpError] = {}

        def take(id_: str, resource: dict[str, Any] | None, error: HttpError | None) -> None:
            answers[id_] = error if resource is None and error is not None else self._of_google(resource, "get")

        requests = {id_: self.resources.messages.get(userId="me", id=id_, **parameters) for id_ in ids}
        self._pace.spend(_UNITS["get"] * len(ids))
        with speaking(self.server, "get"):
            if len(ids) == 1:  # perhaps a large one: the parser of batches would hold it several times over
                try:
                    take(ids[0], requests[ids[0]].execute(http=self._http), None)
                except HttpError as exc:
                    take(ids[0], None, exc)
            else:
                batch = BatchHttpRequest(callback=take, batch_uri=f"{self.api_url}/batch/gmail/v1")
                for id_, request in requests.items():
                    batch.add(request, request_id=id_)
                try:
                    batch.execute(http=self._http)
                except KeyError as exc:  # the library's word for a call that none of the parts is an answer to
                    raise TransientError(f"{self.server} answers get with less than was asked for") from exc
        return answers

    def _of_google(self, answer: Any, what: str) -> dict[str, Any]:
        """The answer, if it is one: what is no JSON the library hands over as text. Whoever answered, it was not Google."""
        if not isinstance(answer, dict):
            raise TransientError(f"{self.server} answers {what} with what is no JSON object")
        return answer


def _listed(resource: dict[str, Any]) -> Listed:
    return Listed(
        id=resource["id"],
        thread_id=resource["threadId"],
        labels=frozenset(resource.get("labelIds", [])),
        received_at=datetime.fromtimestamp(int(resource["internalDate"]) / 1000, UTC),
        size_bytes=int(resource["sizeEstimate"]),
    )


def _credentials(tokens: TokenSource) -> Credentials:
    """google-auth's view of our tokens: it asks when it has none, before one expires, and when the API refused one."""

    def handler(request: Any, scopes: Any) -> tuple[str, datetime]:
        token = tokens.access_token(refused=credentials.token or "")
        return token.value, token.expires_at.replace(tzinfo=None)

    credentials = Credentials(token=None, refresh_handler=handler)
    return credentials
