"""From a signed link over the provider's consent page to an inbox that is read, and back out again."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from inboxops.composition import connecting, intake, mailboxes
from inboxops.core import connect_link
from inboxops.core.connect_link import ConnectLink
from inboxops.core.signing import SigningKey
from inboxops.errors import AuthenticationFailed, InvalidInput, TransientError
from inboxops_local.standins.http import Fault
from tests.connecting.conftest import Stage, answer_of
from tests.providers.test_contract import mail

COOKIE_BYTES = 4096  # RFC 6265, 6.1


def test_a_link_and_a_consent_make_an_inbox_that_is_read(stage: Stage) -> None:
    page = stage.browser().connect(stage.link(name="support"))
    assert page.status_code == 200
    assert stage.address in page.text
    inbox = stage.inbox()
    assert (inbox.name, inbox.email_address, inbox.connection_type) == ("support", stage.address, stage.kind)
    assert inbox.is_live
    assert inbox.trusted_servers == {"gmail": ("mx.google.com",), "microsoft": ("(none)",)}[stage.kind]
    assert inbox.connection["account_id"]
    stage.deliver(mail("first"))
    stage.run()
    assert stage.subjects() == ["first"]
    stage.deliver(mail("second"))
    assert intake.wants_fetch(stage.world, inbox.id)
    stage.run()
    assert stage.subjects() == ["first", "second"]


def test_credentials_are_sealed_and_shown_nowhere(stage: Stage) -> None:
    inbox = stage.connected()
    sealed = stage.world.inboxes.credentials(inbox.id)
    assert sealed is not None
    secrets = stage.world.vault.open(sealed)
    assert secrets
    shown = repr(inbox) + repr(mailboxes.account(stage.world, inbox))
    assert not [value for value in secrets.values() if value in shown]
    assert mailboxes.account(stage.world, inbox).secrets == {}


def test_the_request_carries_pkce_the_exact_redirect_and_a_session_cookie(stage: Stage) -> None:
    started = stage.browser().start(stage.link())
    asked = answer_of(started.headers["location"])
    assert asked["code_challenge_method"] == "S256"
    assert asked["redirect_uri"] == f"{stage.world.settings.api_url}/v1/oauth/{stage.sign_in}/callback"
    cookie = started.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert len(cookie) < COOKIE_BYTES
    assert asked["state"] not in cookie


def test_an_answer_without_the_session_that_asked_is_refused(stage: Stage) -> None:
    address = stage.browser().consent(stage.browser().start(stage.link()))
    page = stage.browser().back(address)
    assert page.status_code == 400
    assert stage.world.inboxes.all(stage.tenant) == []


def test_an_answer_to_another_session_is_refused(stage: Stage) -> None:
    attacker, victim = stage.browser(), stage.browser()
    address = attacker.consent(attacker.start(stage.link()))
    victim.start(stage.link())
    assert victim.back(address).status_code == 400
    assert stage.world.inboxes.all(stage.tenant) == []


def test_a_code_is_good_once(stage: Stage) -> None:
    browser = stage.browser()
    started = browser.start(stage.link())
    address = browser.consent(started)
    cookie = dict(browser.api.cookies)
    assert browser.back(address).status_code == 200
    browser.api.cookies.update(cookie)
    assert browser.back(address).status_code == 400


@pytest.mark.parametrize("change", ["tampered", "expired", "unsigned", "other"])
def test_a_link_that_is_not_ours_leads_nowhere(stage: Stage, change: str) -> None:
    key = stage.world.signing_key
    soon = int((datetime.now(UTC) + timedelta(minutes=5)).timestamp())
    link = ConnectLink(stage.kind, stage.tenant_id, soon)
    if change == "expired":
        link = ConnectLink(stage.kind, stage.tenant_id, soon - 1000)
    if change == "other":
        link = ConnectLink("imap", stage.tenant_id, soon)
    token = connect_link.sign(link, SigningKey(b"another key") if change == "unsigned" else key)
    token = f"x{token}" if change == "tampered" else token
    answer = stage.browser().start(f"/v1/oauth/{stage.sign_in}/start?link={token}")
    assert answer.status_code == 400
    assert "location" not in answer.headers


def test_a_person_who_says_no_leaves_nothing_behind(stage: Stage) -> None:
    browser = stage.browser()
    started = browser.start(stage.link())
    refused = browser.provider.get(started.headers["location"] + "&decision=deny").headers["location"]
    page = browser.back(refused)
    assert page.status_code == 400
    assert "access_denied" in page.text
    assert "Open the connect link again" in page.text
    assert stage.world.inboxes.all(stage.tenant) == []


def test_a_box_left_empty_on_the_consent_page_is_named(stage: Stage) -> None:
    send = "https://www.googleapis.com/auth/gmail.send" if stage.kind == "gmail" else "Mail.Send"
    stage.server.stand_in.authority.withheld = frozenset({send})
    try:
        page = stage.browser().connect(stage.link())
    finally:
        stage.server.stand_in.authority.withheld = frozenset()
    assert page.status_code == 400
    assert send in page.text
    assert stage.world.inboxes.all(stage.tenant) == []


def test_the_mailbox_has_to_be_the_one_that_was_asked_for(stage: Stage) -> None:
    stage.server.stand_in.mailbox(f"other-{stage.address}")
    browser = stage.browser()
    started = browser.start(stage.link())
    other = started.headers["location"] + f"&user=other-{stage.address}"
    page = browser.back(browser.provider.get(other).headers["location"])
    assert page.status_code == 400
    assert stage.world.inboxes.all(stage.tenant) == []


def test_a_mailbox_that_was_not_asked_for_is_not_connected_again_instead(stage: Stage) -> None:
    stage.connected()
    stage.server.stand_in.mailbox(f"other-{stage.address}")
    browser = stage.browser()
    known = browser.start(stage.link(mailbox=f"other-{stage.address}")).headers["location"] + f"&user={stage.address}"
    page = browser.back(browser.provider.get(known).headers["location"])
    assert page.status_code == 400
    assert f"sign in as other-{stage.address}" in page.text


def test_connecting_the_same_account_twice_is_one_inbox(stage: Stage) -> None:
    first = stage.connected()
    stage.browser().connect(stage.link(name="another"))
    assert stage.inbox().id == first.id


def test_a_consent_taken_back_disconnects_once_and_a_reconnect_goes_on_where_it_stopped(stage: Stage) -> None:
    inbox = stage.connected()
    stage.deliver(mail("before"))
    stage.run()
    cursor = stage.inbox().cursor
    stage.server.stand_in.authority.revoke_user(stage.address)
    with pytest.raises(AuthenticationFailed):
        intake.wants_fetch(stage.world, inbox.id)
    gone = stage.inbox()
    assert not gone.is_live
    assert gone.last_error
    assert intake.wants_fetch(stage.world, inbox.id) is False
    assert events(stage, "inbox.disconnected") == 1
    stage.deliver(mail("meanwhile"))
    page = stage.browser().connect(connecting.link(stage.world, stage.kind, stage.tenant_id, inbox=gone))
    assert "goes on where it stopped" in page.text
    assert stage.inbox().cursor == cursor
    assert stage.inbox().last_error is None
    stage.run()
    assert stage.subjects() == ["before", "meanwhile"]


def test_an_inbox_is_not_handed_to_another_account(stage: Stage) -> None:
    inbox = stage.connected()
    stage.server.stand_in.mailbox(f"other-{stage.address}")
    browser = stage.browser()
    link = connecting.link(stage.world, stage.kind, stage.tenant_id, inbox=inbox)
    other = browser.start(link).headers["location"] + f"&user=other-{stage.address}"
    assert browser.back(browser.provider.get(other).headers["location"]).status_code == 400
    assert stage.inbox().connection == inbox.connection


@pytest.mark.parametrize("again", [True, False], ids=["connected again", "connected as if new"])
def test_an_account_whose_address_was_changed_is_connected_again_as_the_inbox_that_it_is(
    stage: Stage, again: bool
) -> None:
    inbox = stage.connected()
    stage.run()
    renamed = f"renamed-{stage.address}"
    stage.server.stand_in.rename(stage.address, renamed)
    browser = stage.browser()
    link = stage.link(**({"inbox": inbox} if again else {"mailbox": renamed}))
    consent = browser.start(link).headers["location"] + f"&user={renamed}"
    page = browser.back(browser.provider.get(consent).headers["location"])
    assert "goes on where it stopped" in page.text
    stage.address = renamed
    stage.deliver(mail("to the new address"))
    stage.run()
    assert stage.subjects() == ["to the new address"]


def test_an_answer_that_comes_too_late_says_to_begin_again(stage: Stage) -> None:
    browser = stage.browser()
    address = browser.consent(browser.start(stage.link()))
    body = '{"error": "invalid_grant", "error_description": "The code has expired"}'
    stage.server.stand_in.fail(Fault("^POST .*token", status=400, body=body))
    page = browser.back(address)
    assert page.status_code == 400
    assert "Open the connect link again" in page.text
    assert "stored credentials" not in page.text


@pytest.mark.parametrize("status", [429, 500])
def test_a_provider_in_trouble_is_said_and_costs_nothing(stage: Stage, status: int) -> None:
    browser = stage.browser()
    address = browser.consent(browser.start(stage.link()))
    stage.server.stand_in.fail(Fault("^POST .*token", status=status))
    assert browser.back(address).status_code == 503


def test_disconnecting_takes_the_consent_back_and_forgets_it(stage: Stage) -> None:
    inbox = stage.connected()
    token = mailboxes.account(stage.world, inbox).tokens
    assert token is not None
    access = token.access_token().value
    done = connecting.disconnect(stage.world, inbox)
    assert done.revoked == (stage.kind == "gmail")
    assert stage.world.inboxes.credentials(inbox.id) is None
    assert not stage.inbox().is_live
    if stage.kind == "gmail":
        assert stage.server.stand_in.authority.user(access) is None
    with pytest.raises(AuthenticationFailed):
        mailboxes.account(stage.world, stage.inbox())


@pytest.mark.parametrize("trouble", ["certificate", "key"])
def test_whatever_is_wrong_a_mailbox_is_disconnected(stage: Stage, trouble: str) -> None:
    inbox = stage.connected()
    if trouble == "certificate":
        stage.world.settings.provider_ca_file = ""  # nobody vouches for the stand-in any more
    else:
        with stage.world.database.transaction() as t:
            t.connection.execute(
                "UPDATE inboxes SET credentials_encrypted = 'sealed with a lost key' WHERE id = %s", (inbox.id,)
            )
    done = connecting.disconnect(stage.world, inbox)
    assert not done.revoked
    assert done.why_not
    assert stage.world.inboxes.credentials(inbox.id) is None


def test_a_consent_that_another_tenant_lives_on_is_forgotten_only_here(stage: Stage) -> None:
    inbox = stage.connected()
    other = f"{stage.tenant}-2"
    stage.world.inboxes.add_tenant(other, "Other Ltd")
    theirs = replace(stage, tenant=other)
    theirs.connected()
    done = connecting.disconnect(stage.world, inbox)
    assert not done.revoked
    assert "another inbox" in done.why_not
    theirs.deliver(mail("still read"))
    theirs.run()
    assert theirs.subjects() == ["still read"]


def test_the_same_mail_reaches_both_tenants_that_connected_the_mailbox(stage: Stage) -> None:
    stage.connected()
    other = f"{stage.tenant}-2"
    stage.world.inboxes.add_tenant(other, "Other Ltd")
    theirs = replace(stage, tenant=other)
    theirs.connected()
    stage.deliver(mail("to both"))
    for each in (stage, theirs):
        each.run()
    assert stage.subjects() == theirs.subjects() == ["to both"]


# -- tokens in the database


@pytest.mark.parametrize("stage", ["gmail"], indirect=True)
def test_an_organisation_that_forbids_the_app_is_told_and_not_the_operator(stage: Stage) -> None:
    """ "Using OAuth 2.0 to Access Google APIs", Refresh token expiration: an admin has restricted the services asked for."""
    inbox = stage.connected()
    stage.server.stand_in.authority.expire_access_tokens(stage.address)
    body = '{"error": "admin_policy_enforced", "error_description": "Access blocked: your institution\'s admin"}'
    stage.server.stand_in.fail(Fault("^POST .*token", status=400, body=body, times=5))
    with pytest.raises(AuthenticationFailed, match="administrator"):
        intake.fetch(stage.world, inbox.id)
    assert not stage.inbox().is_live


def test_of_many_processes_one_renews_the_token(stage: Stage) -> None:
    inbox = stage.connected()
    authority = stage.server.stand_in.authority
    sources = [mailboxes.account(stage.world, inbox).tokens for _ in range(4)]
    stale = {source.access_token().value for source in sources if source}
    assert len(stale) == 1
    before = authority.refreshes
    tokens: list[str] = []
    at_once = threading.Barrier(len(sources))

    def renew(source: Any) -> None:
        at_once.wait()
        tokens.append(source.access_token(refused=next(iter(stale))).value)

    threads = [threading.Thread(target=renew, args=(source,)) for source in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert authority.refreshes == before + 1
    assert len(set(tokens)) == 1
    assert stale.isdisjoint(tokens)


def test_the_rotated_token_is_in_the_database_when_the_new_one_is_used(stage: Stage) -> None:
    inbox = stage.connected()
    stage.run()
    for _ in range(3):
        stage.server.stand_in.authority.expire_access_tokens(stage.address)
        assert not intake.wants_fetch(stage.world, inbox.id)
    source = mailboxes.account(stage.world, inbox).tokens
    assert source is not None
    assert stage.server.stand_in.authority.user(source.access_token().value) is not None


def test_a_refusal_counts_only_while_the_stored_token_is_the_refused_one(stage: Stage) -> None:
    """A person connects again while a renewal with the old consent is under way."""
    inbox = stage.connected()
    source = mailboxes.account(stage.world, inbox).tokens
    assert source is not None
    old = source.access_token().value
    stage.server.stand_in.authority.revoke_user(stage.address)
    stage.browser().connect(connecting.link(stage.world, stage.kind, stage.tenant_id, inbox=inbox))
    assert source.access_token(refused=old).value != old


def test_a_renewal_never_overwrites_a_consent_that_came_meanwhile(stage: Stage) -> None:
    inbox = stage.connected()
    newer = stage.world.vault.seal({"newer": "consent"})
    with stage.world.credentials.held(inbox.id) as held:
        assert held.read() is not None
        stage.world.inboxes.reconnect(inbox.id, inbox.connection, newer)
        held.save(b"an older one")
    assert stage.world.inboxes.credentials(inbox.id) == newer


def test_a_sign_in_server_that_is_away_disconnects_nobody(stage: Stage) -> None:
    inbox = stage.connected()
    stage.server.stand_in.authority.expire_access_tokens(stage.address)
    stage.server.stand_in.fail(Fault("^POST .*token", status=503, times=3))
    with pytest.raises(TransientError):
        intake.fetch(stage.world, inbox.id)
    assert stage.inbox().is_live
    assert "503" in (stage.inbox().last_error or ""), "it says what it waits for"
    stage.server.stand_in.heal()
    intake.fetch(stage.world, inbox.id)
    assert stage.inbox().last_error is None


def events(stage: Stage, name: str) -> int:
    with stage.world.database.transaction() as t:
        row = t.connection.execute(
            "SELECT count(*) FROM outbox o JOIN tenants n ON n.id = o.tenant_id WHERE n.slug = %s AND o.name = %s",
            (stage.tenant, name),
        ).fetchone()
        assert row is not None
        return int(row["count"])


def test_gmail_knows_no_shared_mailboxes_and_a_shared_one_has_to_be_named(stage: Stage) -> None:
    with pytest.raises(InvalidInput):
        stage.link(shared=True, mailbox="")
