"""The stand-ins against clients that know nothing of them: googleapiclient, msal and O365 as they come from PyPI."""

from __future__ import annotations

import base64
import json
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httplib2
import httpx
import msal
import pytest
from google.auth.transport.requests import Request
from google.oauth2.credentials import Credentials
from google_auth_httplib2 import AuthorizedHttp
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError
from googleapiclient.http import MediaInMemoryUpload
from O365 import Account, MSGraphProtocol
from O365.utils import FileSystemTokenBackend

from inboxops.oauth.http import trust
from tests.providers.cloud_kits import REDIRECT, GmailServer, GraphServer, consented, sent_by
from tests.providers.test_contract import mail

SCOPES = ["https://www.googleapis.com/auth/gmail.readonly", "https://www.googleapis.com/auth/gmail.send"]


@pytest.fixture
def address() -> str:
    return f"{uuid.uuid4().hex[:12]}@example.org"


# -- Gmail


@pytest.fixture(autouse=True)
def no_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    """requests believes this variable before it believes a session's own `verify`."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


def gmail_client(server: GmailServer, address: str) -> tuple[object, Credentials]:
    authority = server.stand_in.authority
    granted = authority.grant(address, [*SCOPES, "openid"])
    credentials = Credentials(
        granted["access_token"],
        refresh_token=granted["refresh_token"],
        token_uri=f"{server.serving.url}/token",
        client_id=authority.client_id,
        client_secret=authority.client_secret,
    )
    http = AuthorizedHttp(credentials, http=httplib2.Http(ca_certs=server.ca_file))
    options = {"api_endpoint": server.serving.url}
    return build("gmail", "v1", http=http, static_discovery=True, client_options=options), credentials


def test_googleapiclient_reads_sends_watches_and_follows_the_history(gmail_server: GmailServer, address: str) -> None:
    gmail_server.stand_in.deliver(address, mail("hello"))
    client, _ = gmail_client(gmail_server, address)
    users = client.users()  # type: ignore[attr-defined]
    start = users.getProfile(userId="me").execute()["historyId"]
    [listed] = users.messages().list(userId="me", q="in:inbox").execute()["messages"]
    raw = users.messages().get(userId="me", id=listed["id"], format="raw").execute()["raw"]
    assert base64.urlsafe_b64decode(raw) == mail("hello")
    answer = b"To: a@example.com\r\nSubject: Re: hello\r\nMessage-ID: <answer@example.org>\r\n\r\nHi\r\n"
    body = {"raw": base64.urlsafe_b64encode(answer).decode(), "threadId": listed["threadId"]}
    sent = users.messages().send(userId="me", body=body).execute()
    assert sent["threadId"] == listed["threadId"]
    headers = (
        users.messages()
        .get(userId="me", id=sent["id"], format="metadata", metadataHeaders=["Message-ID"])
        .execute()["payload"]["headers"]
    )
    assert headers == [{"name": "Message-ID", "value": "<answer@example.org>"}]
    [record] = users.history().list(userId="me", startHistoryId=start).execute()["history"]
    assert record["messagesAdded"][0]["message"]["id"] == sent["id"]
    watch = users.watch(userId="me", body={"topicName": "projects/p/topics/t", "labelIds": ["INBOX"]}).execute()
    assert int(watch["expiration"]) > 0
    users.stop(userId="me").execute()


def test_a_sent_message_may_get_an_id_of_gmails_own(gmail_server: GmailServer, address: str) -> None:
    client, _ = gmail_client(gmail_server, address)
    gmail_server.stand_in.replaces_message_id = True
    raw = b"To: a@example.com\r\nSubject: x\r\nMessage-ID: <ours@example.org>\r\n\r\nHi\r\n"
    users = client.users()  # type: ignore[attr-defined]
    try:
        sent = users.messages().send(userId="me", body={"raw": base64.urlsafe_b64encode(raw).decode()}).execute()
    finally:
        gmail_server.stand_in.replaces_message_id = False
    found = base64.urlsafe_b64decode(users.messages().get(userId="me", id=sent["id"], format="raw").execute()["raw"])
    assert b"ours@example.org" not in found
    assert found.count(b"Message-ID:") == 1


def test_googleapiclient_uploads_a_message_into_a_thread(gmail_server: GmailServer, address: str) -> None:
    thread = gmail_server.stand_in.deliver(address, mail("hello")).thread_id
    client, _ = gmail_client(gmail_server, address)
    raw = b"To: a@example.com\r\nSubject: Re: hello\r\n\r\n" + b"x" * 6_000_000 + b"\r\n"
    media = MediaInMemoryUpload(raw, "message/rfc822", resumable=False)
    sent = client.users().messages().send(userId="me", body={"threadId": thread}, media_body=media).execute()  # type: ignore[attr-defined]
    assert sent["threadId"] == thread
    assert sent_by(gmail_server, address) == [raw]


def test_googleapiclient_batches(gmail_server: GmailServer, address: str) -> None:
    ids = [gmail_server.stand_in.deliver(address, mail(f"m{n}")).id for n in range(30)]
    client, _ = gmail_client(gmail_server, address)
    found: dict[str, object] = {}
    batch = client.new_batch_http_request(lambda id_, answer, error: found.update({id_: error or answer["id"]}))  # type: ignore[attr-defined]
    batch._batch_uri = f"{gmail_server.serving.url}/batch/gmail/v1"
    for id_ in [*ids, "nonsense"]:
        batch.add(client.users().messages().get(userId="me", id=id_), request_id=id_)  # type: ignore[attr-defined]
    batch.execute()
    assert isinstance(found.pop("nonsense"), HttpError)
    assert found == {id_: id_ for id_ in ids}


def test_google_auth_refreshes_and_an_expired_token_is_refused(gmail_server: GmailServer, address: str) -> None:
    client, credentials = gmail_client(gmail_server, address)
    gmail_server.stand_in.authority.expire_access_tokens(address)
    session = Request()
    session.session.verify = gmail_server.ca_file
    old = credentials.refresh_token
    credentials.refresh(session)
    assert credentials.refresh_token != old
    assert client.users().getProfile(userId="me").execute()["emailAddress"] == address  # type: ignore[attr-defined]
    again = httpx.post(
        f"{gmail_server.serving.url}/token",
        data={
            "grant_type": "refresh_token",
            "refresh_token": old,
            "client_id": gmail_server.stand_in.authority.client_id,
            "client_secret": gmail_server.stand_in.authority.client_secret,
        },
        verify=trust(gmail_server.ca_file),
    )
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


def test_a_code_is_worth_nothing_without_its_verifier(gmail_server: GmailServer, address: str) -> None:
    gmail_server.stand_in.mailbox(address)
    consent = gmail_server.consent()
    request = consent.request(REDIRECT, mailbox=address, shared=False)
    http = httpx.Client(verify=trust(gmail_server.ca_file))
    answer = dict(parse_qsl(urlsplit(http.get(request.url).headers["location"]).query))
    form = {
        "grant_type": "authorization_code",
        "code": answer["code"],
        "redirect_uri": REDIRECT,
        "client_id": gmail_server.stand_in.authority.client_id,
        "client_secret": gmail_server.stand_in.authority.client_secret,
        "code_verifier": "a guess",
    }
    refused = http.post(f"{gmail_server.serving.url}/token", data=form)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


def test_faults_and_mail_come_over_http_too(gmail_server: GmailServer, address: str) -> None:
    url = gmail_server.serving.url
    http = httpx.Client(verify=trust(gmail_server.ca_file), base_url=url)
    assert http.post("/_admin/messages", params={"to": address}, content=mail("posted")).status_code == 201
    client, _ = gmail_client(gmail_server, address)
    http.post("/_admin/faults", json={"match": "profile", "status": 503, "times": 1})
    profile = client.users().getProfile(userId="me")  # type: ignore[attr-defined]
    with pytest.raises(HttpError):
        profile.execute()
    assert profile.execute()["messagesTotal"] == 1
    http.delete("/_admin/requests")
    assert http.get("/_admin/requests").json() == []


# -- Microsoft


def o365(server: GraphServer, address: str, folder: Path) -> Account:
    server.stand_in.mailbox(address)
    (folder / "token.json").write_text(consented(server.consent(), address, server.ca_file).secrets["cache"])
    backend = FileSystemTokenBackend(folder, "token.json")

    class StandIn(MSGraphProtocol):
        _protocol_url = f"{server.serving.url}/"

    return Account(
        ("client", "secret"), username=address, protocol=StandIn(), token_backend=backend, verify_ssl=server.ca_file
    )


def test_o365_lists_reads_and_sends(graph_server: GraphServer, address: str, tmp_path: Path) -> None:
    for number in range(25):
        graph_server.stand_in.deliver(address, mail(f"m{number:02d}"))
    mailbox = o365(graph_server, address, tmp_path).mailbox()
    found = list(mailbox.inbox_folder().get_messages(limit=25, batch=10))
    assert sorted(message.subject for message in found) == [f"m{number:02d}" for number in range(25)]
    newest = next(message for message in found if message.subject == "m24")
    assert newest.get_mime_content() == mail("m24")
    draft = mailbox.new_message()
    draft.to.add("customer@example.com")
    draft.subject, draft.body = "Your question", "Our answer"
    assert draft.send(save_to_sent_folder=True)
    [sent] = list(mailbox.sent_folder().get_messages())
    assert sent.subject == "Your question"


def test_o365_fills_a_draft_with_a_large_file_and_sends_it(
    graph_server: GraphServer, address: str, tmp_path: Path
) -> None:
    file = tmp_path / "large.bin"
    file.write_bytes(bytes(range(256)) * 20_000)
    draft = o365(graph_server, address, tmp_path).mailbox().new_message()
    draft.to.add("customer@example.com")
    draft.subject, draft.body = "Your file", "Here it is"
    assert draft.save_draft()
    draft.attachments.add(str(file))
    assert draft.send()
    [sent] = sent_by(graph_server, address)
    [attached] = message_from_bytes(sent, policy=policy.default).iter_attachments()  # type: ignore[attr-defined]
    assert (attached.get_filename(), attached.get_content()) == ("large.bin", file.read_bytes())


def test_msal_signs_in_silently_and_gets_a_rotated_refresh_token(graph_server: GraphServer, address: str) -> None:
    authority = graph_server.stand_in.authority
    graph_server.stand_in.mailbox(address)
    application = msal.ConfidentialClientApplication(
        authority.client_id,
        authority.client_secret,
        authority=f"{graph_server.serving.url}/organizations",
        verify=graph_server.ca_file,
        instance_discovery=False,
    )
    flow = application.initiate_auth_code_flow(
        ["User.Read", "Mail.Read"], redirect_uri=REDIRECT, login_hint=address, response_mode="form_post"
    )
    page = httpx.get(flow["auth_uri"], verify=trust(graph_server.ca_file))
    answer = dict(parse_qsl(urlsplit(page.headers["location"]).query))
    first = application.acquire_token_by_auth_code_flow(flow, answer)
    assert first["id_token_claims"]["preferred_username"] == address
    account = application.get_accounts(address)[0]
    cached = application.acquire_token_silent(["Mail.Read"], account)
    assert cached["access_token"] == first["access_token"]
    renewed = application.acquire_token_silent(["Mail.Read"], account, force_refresh=True)
    assert renewed["access_token"] != first["access_token"]


class Listener:
    """A notification endpoint: echoes validation tokens, keeps what it is told."""

    def __init__(self) -> None:
        self.told = threading.Event()
        self.notices: list[dict[str, object]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                query = dict(parse_qsl(urlsplit(self.path).query))
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                content = query.get("validationToken", "").encode()
                self.send_response(200 if content else 202)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                if not content:
                    outer.notices += json.loads(body)["value"]
                    outer.told.set()

            def log_message(self, *_: object) -> None:
                """Nothing to say."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/notify"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.stop()


def test_a_subscription_is_validated_told_of_mail_renewed_and_deleted(
    graph_server: GraphServer, address: str, listener: Listener
) -> None:
    graph_server.stand_in.mailbox(address)
    token = graph_server.stand_in.authority.grant(address, ["Mail.Read"])["access_token"]
    http = httpx.Client(
        verify=trust(graph_server.ca_file),
        base_url=f"{graph_server.serving.url}/v1.0",
        headers={"Authorization": f"Bearer {token}", "Prefer": 'IdType="ImmutableId"'},
    )
    soon = _in_minutes(60)
    wanted = {
        "changeType": "created",
        "notificationUrl": listener.url,
        "resource": "me/mailFolders('inbox')/messages",
        "expirationDateTime": soon,
        "clientState": "secret",
    }
    made = http.post("/subscriptions", json=wanted)
    assert made.status_code == 201
    assert "clientState" not in made.json()
    message = graph_server.stand_in.deliver(address, mail("pushed"))
    assert listener.told.wait(60)
    [notice] = listener.notices
    assert notice["clientState"] == "secret"
    assert notice["resourceData"] == {"@odata.type": "#Microsoft.Graph.Message", "id": message.immutable_id}
    path = f"/subscriptions/{made.json()['id']}"
    assert http.patch(path, json={"expirationDateTime": _in_minutes(120)}).status_code == 200
    assert http.patch(path, json={"expirationDateTime": _in_minutes(5000)}).status_code == 400
    assert http.delete(path).status_code == 204
    assert http.patch(path, json={"expirationDateTime": _in_minutes(120)}).status_code == 404


def test_a_listener_that_echoes_nothing_gets_no_subscription(graph_server: GraphServer, address: str) -> None:
    graph_server.stand_in.mailbox(address)
    token = graph_server.stand_in.authority.grant(address, ["Mail.Read"])["access_token"]
    wanted = {
        "changeType": "created",
        "notificationUrl": f"{graph_server.serving.url}/v1.0/me",
        "resource": "me/messages",
        "expirationDateTime": _in_minutes(60),
    }
    refused = httpx.post(
        f"{graph_server.serving.url}/v1.0/subscriptions",
        json=wanted,
        headers={"Authorization": f"Bearer {token}"},
        verify=trust(graph_server.ca_file),
    )
    assert refused.json()["error"]["code"] == "ValidationError"


def test_the_usual_id_changes_with_a_move_and_the_immutable_one_does_not(
    graph_server: GraphServer, address: str
) -> None:
    mailbox = graph_server.stand_in.mailbox(address)
    message = graph_server.stand_in.deliver(address, mail("moved"))
    usual, immutable = message.id, message.immutable_id
    mailbox.move(message, "archive")
    assert mailbox.find(usual) is None
    assert mailbox.find(immutable) is message


def test_a_fifth_call_at_once_is_throttled(graph_server: GraphServer, address: str) -> None:
    graph_server.stand_in.mailbox(address)
    token = graph_server.stand_in.authority.grant(address, ["User.Read"])["access_token"]
    graph_server.stand_in.most_at_once = 0
    try:
        refused = httpx.get(
            f"{graph_server.serving.url}/v1.0/me",
            headers={"Authorization": f"Bearer {token}"},
            verify=trust(graph_server.ca_file),
        )
    finally:
        graph_server.stand_in.most_at_once = 4
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "1"


def _in_minutes(minutes: int) -> str:
    return (datetime.now(UTC) + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
