"""A Gmail and a Microsoft 365 inbox for the demonstration: their mail, and the consent that nobody has to click."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import format_datetime
from urllib.parse import parse_qsl, urlsplit

import httpx

from inboxops.composition import connecting
from inboxops.composition.connecting import SIGN_INS
from inboxops.composition.world import World
from inboxops.core.inbox import Inbox
from inboxops.errors import TransientError
from inboxops.oauth.clients import endpoint, settings_of
from inboxops.oauth.http import reaching, trust

SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Account:
    """A demonstration account. name: of its inbox. kind: its connection_type."""

    kind: str
    name: str
    address: str
    display_name: str


ACCOUNTS = (
    Account("gmail", "gmail", "help@demo-gmail.example", "Help on Gmail"),
    Account("microsoft", "microsoft", "service@demo-365.example", "Service on Microsoft 365"),
)


def connect(world: World, *, tenant: str, born: datetime, servers: Mapping[str, Mapping[str, str]]) -> list[Inbox]:
    """Fill the stand-ins' mailboxes and connect them to the tenant, again when they were restarted and forgot us.

    born: the moment the mail is dated from; the same moment gives the same mail. servers: connection_type -> the settings that
    take its stand-in for the real one (`standins.client`); they are kept with the inbox alone.
    Raises TransientError when a stand-in is away.
    """
    return [_connected(world, account, tenant, born, servers[account.kind]) for account in ACCOUNTS]


def _connected(world: World, account: Account, tenant: str, born: datetime, server: Mapping[str, str]) -> Inbox:
    endpoints = {name.removeprefix("INBOXOPS_").lower(): value for name, value in server.items()}
    where = endpoint(account.kind, settings_of(world.settings, {"endpoints": endpoints}))
    with (
        httpx.Client(base_url=where["api_url"], verify=trust(where["ca_file"]), timeout=SECONDS) as http,
        reaching(f"the stand-in for {account.kind}"),
    ):
        known = [
            _living_on(world, inbox, endpoints) for inbox in world.inboxes.all(tenant) if inbox.name == account.name
        ]
        if http.get("/_admin/messages", params={"to": account.address}).json()["count"] and known:
            return known[0]
        for raw, when, spam in _mail(account, born):
            place = {"labels": "SPAM"} if spam and account.kind == "gmail" else {}
            about = {"to": account.address, "when": when.isoformat(), **place}
            http.post("/_admin/messages", params=about, content=raw).raise_for_status()
        living_there = replace(world, settings=settings_of(world.settings, {"endpoints": endpoints}))
        inbox = consent(living_there, account, tenant, known[0] if known else None, http)
        return _living_on(world, inbox, endpoints)


def _living_on(world: World, inbox: Inbox, endpoints: Mapping[str, str]) -> Inbox:
    """The inbox with the servers that it alone lives on."""
    sealed = world.inboxes.credentials(inbox.id)
    if sealed is not None and inbox.connection.get("endpoints") != endpoints:
        world.inboxes.reconnect(inbox.id, {**inbox.connection, "endpoints": endpoints}, sealed)
    return world.inboxes.get(inbox.id)


def consent(world: World, account: Account, tenant: str, known: Inbox | None, http: httpx.Client) -> Inbox:
    """What a person does in a browser, without the browser."""
    sign_in = SIGN_INS[account.kind]
    link = connecting.link(
        world,
        account.kind,
        world.inboxes.tenant_id(tenant),
        inbox=known,
        name=account.name,
        display_name=account.display_name,
        mailbox=account.address,
        first_sync_days=8,
    )
    started = connecting.start(world, sign_in, dict(parse_qsl(urlsplit(link).query))["link"])
    page = http.get(started.url)
    if not page.is_redirect:
        raise TransientError(f"the stand-in for {account.kind} asks for a click: start it without --ask")
    answer = dict(parse_qsl(urlsplit(page.headers["location"]).query))
    done = connecting.finish(world, sign_in, connecting.session(world, started.session), answer)
    return world.inboxes.get(done.inbox_id)


def _mail(account: Account, now: datetime) -> Iterator[tuple[bytes, datetime, bool]]:
    """(message, arrival, whether it is spam), oldest first, within the last week."""
    mark, where = account.name, account.address.partition("@")[2]
    drafts = (
        (
            90,
            "Lea Brandt <lea@brandt.example>",
            "Password reset mail never arrives",
            "reset",
            "",
            "I asked three times.",
        ),
        (
            70,
            "Tom Okafor <tom@okafor.example>",
            "Wrong size delivered",
            "size",
            "",
            "I ordered M and got XL. Can I swap it?",
        ),
        (
            66,
            "Tom Okafor <tom@okafor.example>",
            "Re: Wrong size delivered",
            "size-2",
            "size",
            "Here is the order: 88-1203.",
        ),
        (40, "Win Big <offers@winbig.example>", "You have won", "won", "", "Click here to claim your prize."),
        (
            12,
            "Sana Haddad <sana@haddad.example>",
            "Invoice for May",
            "invoice",
            "",
            "Please send it to our new address.",
        ),
    )
    for hours, sender, subject, id_, answers, text in drafts:
        when = (now - timedelta(hours=hours)).replace(microsecond=0)
        head = [
            f"From: {sender}",
            f"To: {account.display_name} <{account.address}>",
            f"Subject: {subject}",
            f"Date: {format_datetime(when)}",
            f"Message-ID: <{id_}.{mark}@{where}>",
            "MIME-Version: 1.0",
            "Content-Type: text/plain; charset=utf-8",
        ]
        if answers:
            head += [f"In-Reply-To: <{answers}.{mark}@{where}>", f"References: <{answers}.{mark}@{where}>"]
        spam = id_ == "won"
        if spam:
            head.append("X-Spam-Flag: YES")
        yield ("\r\n".join([*head, "", text, ""])).encode(), when, spam
