"""Gmail and Microsoft 365 for the contract suite: the stand-ins, spoken to over TLS by the real client libraries."""

from __future__ import annotations

import ast
import base64
import itertools
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx

from inboxops.oauth.google import GoogleConsent
from inboxops.oauth.microsoft import MicrosoftConsent
from inboxops.oauth.tokens import StoredTokens
from inboxops.ports import AccessToken, Account, Consent, ConsentClient, Provider
from inboxops.providers.gmail import GmailProvider
from inboxops.providers.graph import GraphProvider
from inboxops_lab.testing.certificates import Authority
from inboxops_lab.testing.proxy import Proxy
from inboxops_local.standins.gmail import Gmail
from inboxops_local.standins.graph import Graph
from inboxops_local.standins.http import Fault, Serving

REDIRECT = "http://127.0.0.1:8081/v1/oauth/callback"
PATIENCE_SECONDS = 5.0
_numbers = itertools.count(1)


class GmailServer:
    """The stand-in for Google, listening with TLS."""

    def __init__(self, folder: Path) -> None:
        self.stand_in = Gmail()
        self.serving, self.ca_file = _served(self.stand_in, folder)

    def consent(self, *, may_modify: bool = False) -> GoogleConsent:
        url = self.serving.url
        return GoogleConsent(
            client_id=self.stand_in.authority.client_id,
            client_secret=self.stand_in.authority.client_secret,
            authorize_url=f"{url}/o/oauth2/v2/auth",
            token_url=f"{url}/token",
            revoke_url=f"{url}/revoke",
            api_url=url,
            ca_file=self.ca_file,
            may_modify=may_modify,
        )


class GraphServer:
    """The stand-in for Microsoft, listening with TLS."""

    def __init__(self, folder: Path) -> None:
        self.stand_in = Graph()
        self.serving, self.ca_file = _served(self.stand_in, folder)

    def consent(self) -> MicrosoftConsent:
        return MicrosoftConsent(
            client_id=self.stand_in.authority.client_id,
            client_secret=self.stand_in.authority.client_secret,
            authority=f"{self.serving.url}/organizations",
            graph_url=self.serving.url,
            ca_file=self.ca_file,
        )


def sent_by(server: GmailServer | GraphServer, address: str) -> list[bytes]:
    """What left an account, oldest first."""
    answer = httpx.get(
        f"{server.serving.url}/_admin/sent",
        params={"from": address},
        verify=ssl.create_default_context(cafile=server.ca_file),
    )
    return [base64.urlsafe_b64decode(message["raw"]) for message in answer.json()["messages"]]


def _served(stand_in: Gmail | Graph, folder: Path) -> tuple[Serving, str]:
    authority = Authority(folder)
    certificate = authority.issue()
    chain_file = folder / "chain.pem"
    chain_file.write_bytes(certificate.cert_file.read_bytes() + certificate.key_file.read_bytes())
    serving = Serving(stand_in, chain_file=chain_file, ca_file=authority.ca_file)
    return serving, str(authority.ca_file)


def consented(client: ConsentClient, address: str, ca_file: str, *, shared: bool = False) -> Consent:
    """What a person does in a browser, whose consent page answers at once."""
    request = client.request(REDIRECT, mailbox=address, shared=shared)
    page = httpx.get(request.url, verify=ssl.create_default_context(cafile=ca_file))
    answer = dict(parse_qsl(urlsplit(page.headers["location"]).query))
    assert answer["state"] == request.state
    return client.redeem(request.secrets, answer, REDIRECT, mailbox=address, shared=shared)


class PlainSeal:
    """Secrets as they are: what sealing does is tested elsewhere."""

    def seal(self, secrets: Mapping[str, str]) -> bytes:
        return repr(dict(secrets)).encode()

    def open(self, sealed: bytes) -> dict[str, str]:
        return dict(ast.literal_eval(sealed.decode()))


@dataclass
class OneInbox:
    """The credentials of one inbox, held in memory: a TokenStore without a database."""

    sealed: bytes | None
    saves: int = 0

    @contextmanager
    def held(self, inbox_id: int) -> Iterator[OneInbox]:
        yield self

    def read(self) -> bytes | None:
        return self.sealed

    def save(self, sealed: bytes) -> None:
        self.sealed = sealed
        self.saves += 1


@dataclass
class OneToken:
    """A TokenSource that never renews."""

    value: str

    def access_token(self, *, refused: str = "") -> AccessToken:
        return AccessToken(self.value, datetime.now(UTC) + timedelta(hours=1))


class CloudKit:
    """What both have in common: an address, a consent, tokens of it, and a proxy in front of the API."""

    connection_type: str
    provider: Provider
    stand_in: Gmail | Graph

    def __init__(self, server: GmailServer | GraphServer) -> None:
        self._server = server
        self._number = next(_numbers)
        self.address = f"user{self._number}@example.org"
        server.stand_in.mailbox(self.address)
        self._proxy = Proxy(server.serving.port)
        client = server.consent()
        consent = consented(client, self.address, server.ca_file)
        assert consent.email_address == self.address
        self.store = OneInbox(PlainSeal().seal(consent.secrets))
        self.account = Account(
            inbox_id=self._number,
            tenant_id=1,
            email_address=self.address,
            connection_type=self.connection_type,
            connection={
                **consent.connection,
                "api_url": f"https://localhost:{self._proxy.port}",
                "ca_file": server.ca_file,
            },
            secrets={},
            tokens=StoredTokens(self._number, consent.secrets, client=client, store=self.store, seal=PlainSeal()),
        )
        server.stand_in.heal()

    def as_served(self, raw: bytes) -> bytes:
        return raw

    def revoke(self) -> None:
        self._server.stand_in.authority.revoke_user(self.address)

    def expire_token(self) -> None:
        self._server.stand_in.authority.expire_access_tokens(self.address)

    @contextmanager
    def throttled(self) -> Iterator[Account]:
        self.fail(Fault("", status=429, headers={"Retry-After": "3600"}, times=1000))
        yield self.account
        self._server.stand_in.heal()

    def fail(self, fault: Fault) -> None:
        self._server.stand_in.fail(fault)

    def heal(self) -> None:
        self._server.stand_in.heal()

    def requests(self) -> list[str]:
        """Requests since the last look, those for tokens left out."""
        taken = [line for line in self._server.stand_in.requests if "/token" not in line and "well-known" not in line]
        self._server.stand_in.requests.clear()
        return taken

    def hand_out(self, token: str) -> None:
        """The account has this access token from now on."""
        self.account = replace(self.account, tokens=OneToken(token))

    def drop_connections(self) -> None:
        self._proxy.drop_all()

    def cut_off(self) -> None:
        """Nothing listens at the API's address any more."""
        self._proxy.stop()

    def close(self) -> None:
        self._server.stand_in.heal()
        self._proxy.stop()


class GmailKit(CloudKit):
    connection_type = "gmail"

    def __init__(self, server: GmailServer) -> None:
        super().__init__(server)
        self._gmail = server
        self.stand_in = server.stand_in
        self._mail = server.stand_in.mailbox(self.address)
        self.provider = GmailProvider(
            timeout_seconds=20, patience_seconds=PATIENCE_SECONDS, units_per_minute=100_000_000
        )
        self.junk_account = self.account

    def deliver(self, raw: bytes, *, when: datetime | None = None, junk: bool = False) -> None:
        labels = ("SPAM", "UNREAD") if junk else ("INBOX", "UNREAD")
        self._gmail.stand_in.deliver(self.address, raw, labels=labels, when=when)

    def delete(self, subject: str) -> None:
        for message in self._mail.find(subject):
            self._mail.delete(message.id)

    def move_away(self, subject: str) -> None:
        """Into the bin: it is the one place of an account that isn't read."""
        for message in self._mail.find(subject):
            self._mail.relabel(message.id, add=["TRASH"], remove=["INBOX"])

    def move_back(self, subject: str) -> None:
        for message in self._mail.find(subject):
            self._mail.relabel(message.id, add=["INBOX"], remove=["TRASH"])

    def allow_removing(self) -> Account:
        client = self._gmail.consent(may_modify=True)
        secrets = consented(client, self.address, self._gmail.ca_file).secrets
        return replace(self.account, tokens=OneToken(secrets["access_token"]))

    def in_trash(self, subject: str) -> bool:
        return any("TRASH" in message.labels for message in self._mail.find(subject))

    def unread(self) -> int:
        return sum("UNREAD" in message.labels for message in self._mail.messages.values())

    def expire_cursor(self) -> None:
        self._mail.forget_history()

    def drop_after(self, size_bytes: int | None) -> None:
        self._proxy.cut_after = size_bytes

    def another(self) -> GmailKit:
        return GmailKit(self._gmail)


class GraphKit(CloudKit):
    connection_type = "microsoft"

    def __init__(self, server: GraphServer) -> None:
        super().__init__(server)
        self._graph = server
        self.stand_in = server.stand_in
        self._mail = server.stand_in.mailbox(self.address)
        self.provider = GraphProvider(timeout_seconds=20, patience_seconds=PATIENCE_SECONDS)
        self.junk_account = replace(self.account, connection={**self.account.connection, "folder": "junkemail"})

    def deliver(self, raw: bytes, *, when: datetime | None = None, junk: bool = False) -> None:
        folder = "junkemail" if junk else "inbox"
        self._graph.stand_in.deliver(self.address, raw, folder=folder, when=when)

    def delete(self, subject: str) -> None:
        for message in self._mail.with_subject(subject):
            self._mail.delete(message)

    def move_away(self, subject: str) -> None:
        for message in self._mail.with_subject(subject):
            self._mail.move(message, "archive")

    def move_back(self, subject: str) -> None:
        for message in self._mail.with_subject(subject):
            self._mail.move(message, "inbox")

    def allow_removing(self) -> Account:
        return self.account

    def in_trash(self, subject: str) -> bool:
        trash = self._mail.folder("deleteditems")
        return any(message.folder == trash for message in self._mail.with_subject(subject))

    def unread(self) -> int:
        return sum(not message.is_read for message in self._mail.messages.values())

    def expire_cursor(self) -> None:
        self._mail.forget_changes()

    def drop_after(self, size_bytes: int | None) -> None:
        """Several connections share the work, so each carries less."""
        self._proxy.cut_after = None if size_bytes is None else size_bytes // 2

    def another(self) -> GraphKit:
        return GraphKit(self._graph)
