"""Every client of ours that speaks to a server of somebody else's, as one call."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inboxops.core.notices import Delivery
from inboxops.core.reach import Reach
from inboxops.events import webhook
from inboxops.oauth import http as oauth_http
from inboxops.oauth.push_tokens import PushTokens
from inboxops.ports import AccessToken, Account, Envelope
from inboxops.providers import provider, sender
from inboxops.settings import Settings
from inboxops.storage import s3
from tests.intruders.conftest import SECRET

PASSWORD = f"password of {SECRET}"


class Tokens:
    def access_token(self, *, refused: str = "") -> AccessToken:
        return AccessToken(PASSWORD, datetime(2100, 1, 1, tzinfo=UTC))


def account(kind: str, port: int, ca_file: Path | str, **more: Any) -> Account:
    url = f"https://localhost:{port}"
    connection = {"host": "localhost", "port": port, "ca_file": str(ca_file), "api_url": url, "url": url, **more}
    connection |= {"smtp_host": "localhost", "smtp_port": port, "smtp_security": more.get("security", "tls")}
    tokens = Tokens() if kind in ("gmail", "microsoft") else None
    return Account(1, 1, "a@acme.example", kind, connection, {"username": "a", "password": PASSWORD}, tokens=tokens)  # type: ignore[arg-type]


Client = Callable[[int, "Path | str"], object]


def look_at(given: Account) -> object:
    with provider(given.connection_type).open(given) as mailbox:
        return mailbox.info()


def look(kind: str) -> Client:
    return lambda port, ca_file: look_at(account(kind, port, ca_file))


def submit(kind: str) -> Client:
    def send(port: int, ca_file: Path | str) -> object:
        raw, envelope = b"Message-ID: <a@b.example>\r\n\r\nx", Envelope("a@b.example", ("c@d.example",))
        given = account(kind, port, ca_file)
        return sender(kind).send(given, raw, envelope, commit=lambda: None, thread_id=None)

    return send


def google_keys(port: int, ca_file: Path | str) -> object:
    url = f"https://localhost:{port}/certs"
    tokens = PushTokens(audience="a", service_account="b", certs_url=url, ca_file=str(ca_file))
    head = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ"
    return tokens.check(f"{head}.e30.AAAA")


def sign_in(port: int, ca_file: Path | str) -> object:
    with oauth_http.client(str(ca_file)) as http, oauth_http.reaching("Google"):
        return http.post(f"https://localhost:{port}/token", data={"client_secret": PASSWORD})


CLIENTS: dict[str, Client] = {
    **{
        name: look(kind)
        for name, kind in {"IMAP": "imap", "JMAP": "jmap", "Gmail": "gmail", "Graph": "microsoft"}.items()
    },
    "SMTP": submit("imap"),
    **{
        f"{name}, sending": submit(kind)
        for name, kind in {"JMAP": "jmap", "Gmail": "gmail", "Graph": "microsoft"}.items()
    },
    "Google's keys": google_keys,
    "signing in": sign_in,
}


def notice(url: str) -> Delivery:
    return Delivery(1, "acme", "webhook", url, datetime.now(UTC), (), webhook.new_secret())


def tell(port: int, ca_file: Path | str) -> object:
    """Trusts what SSL_CERT_FILE names."""
    webhook.post(Reach.of("localhost"), notice(f"https://localhost:{port}/"))
    return None


def object_store(port: int, ca_file: Path | str) -> object:
    """Trusts what AWS_CA_BUNDLE names."""
    needless = {"database_url": "x", "redis_url": "x", "credential_keys": "x", "signing_key": "x"}
    known = {"s3_endpoint": f"https://localhost:{port}", "s3_access_key": "a", "s3_secret_key": PASSWORD}
    client = s3.client(Settings.model_validate(needless | known))
    client.meta.config.retries = {"total_max_attempts": 1}
    return s3.S3Store(client, "inboxops").get("1/a")
