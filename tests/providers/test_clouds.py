"""What the API providers owe beyond the contract: few requests, tokens that come and go, patience, and logs that tell nothing."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import urlsplit

import pytest

from inboxops.core.model import Batch, Cursor
from inboxops.errors import (
    AuthenticationFailed,
    MailboxNotFound,
    NotAllowed,
    OperatorError,
    ServerRefused,
    Throttled,
    TransientError,
)
from inboxops.ports import FetchLimits
from inboxops.providers import prober
from inboxops_local.standins.http import Fault
from tests.providers.cloud_kits import CloudKit, GmailKit, GmailServer, GraphKit, GraphServer, OneToken
from tests.providers.test_contract import LIMITS, has_news, keys, left, mail, messages, read, subjects, synced

READS = {"gmail": r"/messages|/batch", "microsoft": r"\$value"}


@pytest.fixture(params=["gmail", "microsoft"])
def cloud(request: pytest.FixtureRequest) -> Iterator[GmailKit | GraphKit]:
    kit: GmailKit | GraphKit = request.getfixturevalue("gmail" if request.param == "gmail" else "graph")
    yield kit


def kind(kit: CloudKit) -> str:
    return kit.connection_type


# -- requests


def test_a_look_at_an_unchanged_mailbox_is_one_request(cloud: GmailKit) -> None:
    cloud.deliver(mail("old"))
    cursor = synced(cloud)
    cloud.requests()
    assert not has_news(cloud, cursor)
    assert len(cloud.requests()) == 1


def test_the_prober_of_the_triggerer_sees_what_the_mailbox_sees(cloud: GmailKit) -> None:
    cursor = synced(cloud)
    probe = prober(kind(cloud))
    assert not probe.has_news(cloud.account, cursor)
    cloud.deliver(mail("new"))
    assert probe.has_news(cloud.account, cursor)
    probe.forget(cloud.account.inbox_id)
    probe.close()


def test_a_thousand_messages_cost_at_most_a_request_each_and_the_pages(cloud: GmailKit) -> None:
    cursor = synced(cloud)
    for number in range(1000):
        cloud.deliver(mail(f"m{number:04d}"))
    cloud.requests()
    assert len(messages(read(cloud, cursor))) == 1000
    requests = cloud.requests()
    reads = [line for line in requests if re.search(READS[kind(cloud)], line) and "delta" not in line]
    assert len(reads) <= (60 if kind(cloud) == "gmail" else 1000)  # Gmail reads 50 in one request
    assert len(requests) - len(reads) <= 25


def test_a_first_sync_of_a_large_mailbox_reads_only_what_is_imported(cloud: GmailKit) -> None:
    now = datetime.now(UTC)
    for number in range(300):
        cloud.deliver(mail(f"m{number:03d}"), when=now - timedelta(hours=1, seconds=300 - number))
    cloud.requests()
    batches = read(cloud, Cursor(), FetchLimits(first_sync_messages=20))
    assert subjects(batches) == [f"m{number:03d}" for number in range(280, 300)]
    assert len(cloud.requests()) <= 30


# -- tokens


def test_an_expired_access_token_is_renewed_and_nothing_is_lost(cloud: GmailKit) -> None:
    cursor = synced(cloud)
    for number in range(6):
        cloud.deliver(mail(f"m{number}"))
    with cloud.provider.open(cloud.account) as mailbox:
        batches = mailbox.batches(cursor, FetchLimits(batch_messages=2))
        taken = [next(batches)]
        cloud.expire_token()
        taken.extend(batches)
    assert subjects(taken) == [f"m{number}" for number in range(6)]
    assert cloud.store.saves == 1


def test_the_rotated_refresh_token_is_the_one_that_is_used_next(cloud: GmailKit) -> None:
    for _ in range(3):
        cloud.expire_token()
        assert has_news(cloud, Cursor()) or synced(cloud)
        synced(cloud)
    assert cloud.store.saves == 3


@pytest.mark.parametrize("trouble", [429, 500, 503])
def test_a_sign_in_server_in_trouble_disconnects_nobody(cloud: GmailKit, trouble: int) -> None:
    cursor = synced(cloud)
    cloud.expire_token()
    cloud.fail(Fault("^POST .*token", status=trouble, headers={"Retry-After": "600"}, times=10))
    with pytest.raises(TransientError) as caught:
        read(cloud, cursor)
    assert caught.value.retry_after == 600


def test_a_client_that_is_not_known_any_more_is_the_operators_business(cloud: GmailKit) -> None:
    cursor = synced(cloud)
    cloud.expire_token()
    cloud.fail(Fault("^POST .*token", status=401, body='{"error": "invalid_client"}'))
    with pytest.raises(OperatorError, match="CLIENT_SECRET"):
        read(cloud, cursor)


def test_a_token_that_is_refused_even_when_new_is_an_authentication_failure(cloud: GmailKit) -> None:
    cursor = synced(cloud)
    cloud.fail(Fault("^GET /(v1.0|gmail)", status=401, body='{"error": {"code": 401, "message": "no"}}', times=5))
    with pytest.raises(AuthenticationFailed, match="credentials"):
        read(cloud, cursor)


# -- patience


@pytest.mark.parametrize("as_date", [False, True])
def test_a_short_throttling_is_waited_for(cloud: GmailKit, as_date: bool) -> None:
    cursor = synced(cloud)
    cloud.deliver(mail("patience"))
    wait = format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True) if as_date else "1"
    cloud.fail(Fault(READS[kind(cloud)], status=429, headers={"Retry-After": wait}))
    assert subjects(read(cloud, cursor)) == ["patience"]


def test_a_probe_does_not_wait(cloud: GmailKit) -> None:
    cursor = synced(cloud)
    cloud.fail(Fault("delta|history", status=429, headers={"Retry-After": "2"}))
    with pytest.raises(Throttled) as caught:
        has_news(cloud, cursor)
    assert caught.value.retry_after == 2
    assert not has_news(cloud, cursor)


def test_a_server_error_in_the_middle_is_transient_and_the_next_run_goes_on(cloud: GmailKit) -> None:
    cursor = synced(cloud)
    for number in range(9):
        cloud.deliver(mail(f"m{number}"))
    limits = FetchLimits(batch_messages=3)
    cloud.fail(Fault(r"format=raw|\$value", status=500, after=3, times=20))
    taken: list[Batch] = []
    with pytest.raises(TransientError), cloud.provider.open(cloud.account) as mailbox:
        taken += mailbox.batches(cursor, limits)
    cloud.heal()
    assert subjects([*taken, *read(cloud, taken[-1].cursor, limits)]) == [f"m{n}" for n in range(9)]


# -- what is written down


def test_no_token_and_no_mail_is_logged_even_at_debug(cloud: GmailKit, caplog: pytest.LogCaptureFixture) -> None:
    cursor = synced(cloud)
    secret = "the body that nobody may read"
    cloud.deliver(mail("quiet") + secret.encode())
    cloud.deliver(mail("loud", 300_000))
    cloud.expire_token()
    with caplog.at_level(logging.DEBUG):
        for name in logging.root.manager.loggerDict:
            logging.getLogger(name).setLevel(logging.NOTSET)
        batches = read(cloud, cursor, FetchLimits(message_bytes=100_000))
        cloud.revoke()
        with pytest.raises(AuthenticationFailed):
            read(cloud, cursor)
    assert len(messages(batches)) == 2
    stored = cloud.store.sealed
    assert stored is not None
    assert cloud.account.tokens is not None
    tokens = re.findall(r"[A-Za-z0-9_-]{43}", stored.decode())
    assert len(tokens) >= 2
    assert caplog.text
    assert secret not in caplog.text
    assert not [token for token in tokens if token in caplog.text]


def test_errors_and_accounts_do_not_show_tokens(cloud: GmailKit) -> None:
    assert cloud.account.tokens is not None
    token = cloud.account.tokens.access_token()
    assert token.value not in repr(token) + repr(cloud.account)


# -- Gmail


def test_drafts_chats_and_what_was_sent_to_others_are_not_read(gmail: GmailKit, gmail_server: GmailServer) -> None:
    cursor = synced(gmail)
    for subject, labels in (
        ("draft", ("DRAFT",)),
        ("chat", ("CHAT",)),
        ("sent", ("SENT",)),
        ("to myself", ("SENT", "INBOX")),
        ("filed by a filter", ("Label_7",)),
    ):
        gmail_server.stand_in.deliver(gmail.address, mail(subject), labels=labels)
    assert subjects(read(gmail, cursor)) == ["filed by a filter", "to myself"]


def test_reading_mail_elsewhere_is_no_news(gmail: GmailKit, gmail_server: GmailServer) -> None:
    gmail.deliver(mail("seen"))
    cursor = synced(gmail)
    mailbox = gmail_server.stand_in.mailbox(gmail.address)
    for message in mailbox.find("seen"):
        mailbox.relabel(message.id, add=["STARRED"], remove=["UNREAD"])
    assert not has_news(gmail, cursor)


def test_a_call_that_is_throttled_within_a_batch_is_made_again(gmail: GmailKit) -> None:
    cursor = synced(gmail)
    for number in range(10):
        gmail.deliver(mail(f"m{number}"))
    body = '{"error": {"code": 403, "errors": [{"reason": "userRateLimitExceeded"}], "message": "slow down"}}'
    gmail.fail(Fault("/messages/.*raw", status=403, body=body, times=3))
    assert len(subjects(read(gmail, cursor))) == 10


def test_how_long_gmail_wants_to_be_left_alone_may_stand_in_its_message(gmail: GmailKit) -> None:
    """Where it comes to a user's limits it sends no Retry-After, and asks for a quarter of an hour or so."""
    cursor = synced(gmail)
    until = f"{datetime.now(UTC) + timedelta(minutes=15):%Y-%m-%dT%H:%M:%S}.247Z"
    message = f"User-rate limit exceeded.  Retry after {until}"
    body = f'{{"error": {{"code": 429, "errors": [{{"reason": "rateLimitExceeded"}}], "message": "{message}"}}}}'
    gmail.fail(Fault("history", status=429, body=body))
    with pytest.raises(Throttled) as caught:
        read(gmail, cursor)
    assert caught.value.retry_after == pytest.approx(900, abs=30)


def a_batch_without(part: str) -> Fault:
    """An answer to a batch in which somebody left a call out, or put a page of his own in its place."""
    parts = ['HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"id": "1"}', part]
    body = "".join(
        f"--b\r\nContent-Type: application/http\r\nContent-ID: <response-x + {number}>\r\n\r\n{text}\r\n"
        for number, text in enumerate(parts)
        if text
    )
    return Fault("/batch", status=200, body=f"{body}--b--", headers={"Content-Type": "multipart/mixed; boundary=b"})


@pytest.mark.parametrize(
    "fault",
    [
        Fault("history", status=200, body="<html>Sign in to the network</html>"),
        a_batch_without(""),
        a_batch_without("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>Sign in</html>"),
    ],
    ids=["no JSON", "a part is missing", "a part is no JSON"],
)
def test_an_answer_that_is_not_of_google_is_asked_for_again(gmail: GmailKit, fault: Fault) -> None:
    cursor = synced(gmail)
    for subject in ("one", "two"):
        gmail.deliver(mail(subject))
    gmail.fail(fault)
    with pytest.raises(TransientError, match=r"answers \w+ with"):
        read(gmail, cursor)
    assert subjects(read(gmail, cursor)) == ["one", "two"]


def test_a_consent_that_is_too_small_needs_a_person(gmail: GmailKit) -> None:
    body = '{"error": {"code": 403, "errors": [{"reason": "insufficientPermissions"}], "message": "too little"}}'
    gmail.fail(Fault("profile", status=403, body=body))
    with pytest.raises(AuthenticationFailed, match="grant all"):
        read(gmail, Cursor())


def test_an_api_that_is_not_enabled_is_the_operators_business(gmail: GmailKit) -> None:
    body = '{"error": {"code": 403, "errors": [{"reason": "accessNotConfigured"}], "message": "not enabled"}}'
    gmail.fail(Fault("profile", status=403, body=body))
    with pytest.raises(ServerRefused, match="Enable the Gmail API"):
        read(gmail, Cursor())


# -- Microsoft


def test_every_request_asks_for_immutable_ids_and_a_moved_message_keeps_its_key(graph: GraphKit) -> None:
    cursor = synced(graph)
    graph.deliver(mail("moved"))
    [before] = messages(read(graph, cursor))
    graph.move_away("moved")
    graph.move_back("moved")
    [after] = messages(read(graph, cursor))
    assert before.key == after.key


def test_no_more_than_four_calls_run_at_once(graph: GraphKit, graph_server: GraphServer) -> None:
    cursor = synced(graph)
    for number in range(60):
        graph.deliver(mail(f"m{number:02d}", 20_000))
    graph_server.stand_in.most_seen_at_once = 0
    assert len(messages(read(graph, cursor))) == 60
    assert graph_server.stand_in.most_seen_at_once <= 4


@pytest.mark.parametrize("apart", [timedelta(seconds=1), timedelta()], ids=["one a second", "all in one"])
def test_a_message_that_goes_while_a_folder_is_listed_leaves_no_other_out(graph: GraphKit, apart: timedelta) -> None:
    """Graph's next links of messages count: `$skip` ("Paging Microsoft Graph data in your app")."""
    now = datetime.now(UTC)
    for number in range(1010):
        graph.deliver(mail(f"m{number:04d}"), when=now - timedelta(hours=1) - number * apart)
    with graph.provider.open(graph.account) as mailbox:
        listed = mailbox.listing(now - timedelta(hours=2), now)
        found = [next(listed)]
        graph.delete("m0000" if apart else "m1009")
        found += listed
    assert len(found) == len({one.key for one in found}) == 1010


@pytest.mark.parametrize("link", ["@odata.nextLink", "@odata.deltaLink"])
def test_a_link_to_another_host_is_not_followed(graph: GraphKit, link: str) -> None:
    graph.fail(Fault("delta", status=200, body=f'{{"value": [], "{link}": "https://evil.example/v1.0/delta"}}'))
    with pytest.raises(ServerRefused, match=r"evil\.example"):
        read(graph, Cursor())


def test_pages_without_an_end_are_given_up(graph: GraphKit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inboxops.providers.graph.MOST_PAGES", 20)
    here = f"https://{urlsplit(graph.account.connection['api_url']).netloc}/v1.0/me/mailFolders/inbox/messages/delta"
    graph.fail(Fault("delta", status=200, body=f'{{"value": [], "@odata.nextLink": "{here}"}}', times=100))
    with pytest.raises(ServerRefused, match="no end"):
        read(graph, Cursor())


@pytest.mark.parametrize("code", ["syncStateNotFound", "resyncRequired", "SyncStateInvalid"])
def test_a_lost_sync_state_leads_to_a_rescan_under_any_of_its_names(graph: GraphKit, code: str) -> None:
    graph.deliver(mail("known"))
    cursor = synced(graph)
    graph.fail(Fault("deltatoken", status=400, body=f'{{"error": {{"code": "{code}", "message": "gone"}}}}'))
    batches = read(graph, cursor)
    assert subjects(batches) == ["known"]
    assert "1 messages" in batches[0].note


def test_a_batch_that_ends_within_a_page_goes_on_there(graph: GraphKit) -> None:
    cursor = synced(graph)
    for number in range(7):
        graph.deliver(mail(f"m{number}", 40_000))
    limits = FetchLimits(batch_bytes=100_000)
    with graph.provider.open(graph.account) as mailbox:
        first = next(iter(mailbox.batches(cursor, limits)))
    assert subjects([first, *read(graph, first.cursor, limits)]) == [f"m{number}" for number in range(7)]


def test_a_message_that_exchange_makes_no_mime_of_is_listed_as_refused_and_stops_nothing(
    graph: GraphKit, graph_server: GraphServer
) -> None:
    cursor = synced(graph)
    for subject in ("before", "opaque", "after"):
        graph.deliver(mail(subject))
    [opaque] = graph_server.stand_in.mailbox(graph.address).with_subject("opaque")
    opaque.converts = False
    batches = read(graph, cursor)
    [refused] = [message for message in messages(batches) if message.raw is None]
    assert (refused.key, "MIME content conversion failed" in refused.refusal) == (opaque.immutable_id, True)
    assert len(messages(batches)) == 3
    assert not has_news(graph, batches[-1].cursor)


def test_an_empty_answer_is_not_taken_for_the_message(graph: GraphKit) -> None:
    cursor = synced(graph)
    graph.deliver(mail("empty"))
    graph.fail(Fault(r"\$value", status=200))
    [message] = messages(read(graph, cursor))
    assert (message.raw, "delivers nothing" in message.refusal) == (None, True)


@pytest.mark.parametrize(
    "body", ['{"error": {"code": "MailboxNotEnabledForRESTAPI", "message": "no"}}', "<html>404</html>"]
)
def test_mail_is_not_taken_for_deleted_when_it_is_the_mailbox_that_is_not_found(graph: GraphKit, body: str) -> None:
    """Graph says 404 also where a licence was taken away meanwhile ("Resolve authorization errors", the Outlook API's codes)."""
    cursor = synced(graph)
    graph.deliver(mail("kept"))
    graph.fail(Fault(r"\$value", status=404, body=body))
    with pytest.raises(MailboxNotFound, match="licence"):
        read(graph, cursor)
    assert subjects(read(graph, cursor)) == ["kept"]


def test_flags_set_elsewhere_are_no_news(graph: GraphKit, graph_server: GraphServer) -> None:
    graph.deliver(mail("seen"))
    cursor = synced(graph)
    mailbox = graph_server.stand_in.mailbox(graph.address)
    for message in mailbox.with_subject("seen"):
        mailbox.set_read(message, is_read=True)
    assert not has_news(graph, cursor)


def test_a_shared_mailbox_is_read_with_the_account_of_who_may(graph: GraphKit, graph_server: GraphServer) -> None:
    shared = f"shared-{graph.address}"
    graph_server.stand_in.deliver(shared, mail("for all of us"))
    graph_server.stand_in.share(shared, with_=graph.address)
    connection = {**graph.account.connection, "mailbox": shared}
    assert subjects(read(graph, Cursor(), LIMITS, replace(graph.account, connection=connection))) == ["for all of us"]


def test_without_the_right_to_change_mail_nothing_is_removed_and_the_inbox_stays_connected(cloud: GmailKit) -> None:
    _, known = keys(cloud, "one")
    account = cloud.account
    if isinstance(cloud, GraphKit):
        token = cloud.stand_in.authority.grant(cloud.address, ["Mail.Read"])["access_token"]
        account = replace(account, tokens=OneToken(token))
    said = r"Mail\.ReadWrite" if isinstance(cloud, GraphKit) else r"INBOXOPS_GOOGLE_MAY_MODIFY=true.*gmail\.modify"
    with pytest.raises(NotAllowed, match=said), cloud.provider.open(account) as mailbox:
        mailbox.remove(known["one"])
    assert left(cloud) == set(known.values())
    assert not cloud.in_trash("one")
