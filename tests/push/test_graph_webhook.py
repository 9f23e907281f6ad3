"""Only whoever knows a subscription's secret wakes Microsoft inboxes: everything else is refused, and nothing follows."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from api.app import create_app
from api.limits import WEBHOOK_BYTES
from inboxops.core.push import NOTICES_AT_ONCE
from tests.e2e.conftest import eventually
from tests.push.conftest import Office

ECHO = "/api/webhooks/graph-push", "/api/webhooks/graph-lifecycle"


@pytest.mark.parametrize("path", ECHO)
def test_the_validation_token_comes_back_decoded_as_text_that_no_browser_runs(office: Office, path: str) -> None:
    token = "Validation: <script>alert(1)</script> + %20 & ü"
    answer = office.http.post(path, params={"validationToken": token})
    assert (answer.status_code, answer.text) == (200, token)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert office.http.post(path, params={"validationToken": "x" * 5000}).status_code == 400


def test_new_mail_wakes_its_inbox(office: Office) -> None:
    inbox, other = office.watched("microsoft"), office.watched("microsoft")
    office.woken(inbox)  # once because the subscription is new
    office.woken(other)
    office.graph.stand_in.deliver(inbox.email_address, b"Subject: hello\r\n\r\nHello\r\n")
    office.woken(inbox, times=2)
    assert office.wakes(other) == 1
    assert office.channel(inbox).last_push_at is not None
    assert office.channel(other).last_push_at is None


FORGERIES: dict[str, dict[str, Any]] = {
    "wrong clientState": {"clientState": "guessed"},
    "empty clientState": {"clientState": ""},
    "no clientState": {"clientState": None},
    "clientState is no text": {"clientState": 7},
    "clientState with a surrogate": {"clientState": "\ud800"},
    "unknown subscription": {"subscriptionId": "00000000-0000-0000-0000-000000000000"},
}


@pytest.mark.parametrize("lifecycle", [False, True], ids=["mail", "lifecycle"])
@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_notification_is_refused_and_nothing_is_woken(office: Office, forgery: str, lifecycle: bool) -> None:
    inbox = office.watched("microsoft")
    office.woken(inbox)
    event = {"lifecycleEvent": "subscriptionRemoved"} if lifecycle else {}
    answer = office.push_graph(office.notice(inbox, **FORGERIES[forgery], **event), lifecycle=lifecycle)
    assert answer.status_code == 403
    assert (office.errands(inbox), office.errands(inbox, "register"), office.wakes(inbox)) == (0, 0, 1)
    assert office.channel(inbox).last_push_at is None


def test_one_inbox_s_secret_opens_no_other_inbox(office: Office) -> None:
    mine, theirs = office.watched("microsoft"), office.watched("microsoft")
    secret = office.notice(mine)["clientState"]
    assert office.push_graph(office.notice(theirs, clientState=secret)).status_code == 403
    assert office.errands(theirs) == 0


def test_a_forged_one_among_genuine_ones_is_left_out(office: Office) -> None:
    mine, theirs = office.watched("microsoft"), office.watched("microsoft")
    answer = office.push_graph(office.notice(mine), office.notice(theirs, clientState="guessed"))
    assert answer.status_code == 202
    office.woken(mine, times=2)
    assert office.errands(theirs) == 0


def test_many_notifications_of_one_inbox_are_one_wake_up(office: Office) -> None:
    inbox = office.watched("microsoft")
    office.woken(inbox)
    assert office.push_graph(*[office.notice(inbox)] * 300).status_code == 202
    office.woken(inbox, times=2)
    assert office.errands(inbox) == 1


@pytest.mark.parametrize(
    ("event", "wakes", "dags"),
    [
        ("missed", True, []),
        ("reauthorizationRequired", False, ["create_graph_subscription"]),
        ("subscriptionRemoved", True, ["create_graph_subscription"]),
        ("somethingNew", False, []),
    ],
)
def test_what_happens_to_a_subscription_has_its_action(
    office: Office, event: str, wakes: bool, dags: list[str]
) -> None:
    inbox = office.watched("microsoft")
    office.woken(inbox)
    answer = office.push_graph(office.notice(inbox, lifecycleEvent=event, changeType=None), lifecycle=True)
    assert answer.status_code == 202
    assert office.errands(inbox) == int(wakes)
    office.woken(inbox, times=1 + wakes)
    eventually("the run is started", lambda: office.airflow.runs_for(inbox.id) == dags)
    assert office.channel(inbox).last_push_at is None  # it says nothing of how notifications of mail get through


UNREADABLE: dict[str, bytes] = {
    "no JSON": b'{"value":',
    "nothing": b"",
    "no object": b"[]",
    "no value": b"{}",
    "an empty list": b'{"value": []}',
    "no list": b'{"value": "x"}',
    "no objects": b'{"value": [1]}',
    "no subscription": b'{"value": [{"clientState": "x"}]}',
    "NUL": b'{"value": [{"subscriptionId": "a\\u0000b", "clientState": "x"}]}',
    "too many": json.dumps({"value": [{"subscriptionId": "a"}] * (NOTICES_AT_ONCE + 1)}).encode(),
}


@pytest.mark.parametrize("what", UNREADABLE)
@pytest.mark.parametrize("path", ECHO)
def test_what_can_not_be_read_is_refused(office: Office, what: str, path: str) -> None:
    answer = office.http.post(path, content=UNREADABLE[what], headers={"Content-Type": "application/json"})
    assert answer.status_code == 400


@pytest.mark.parametrize("path", ECHO)
def test_only_json_of_a_bounded_size_is_taken(office: Office, path: str) -> None:
    json_type = {"Content-Type": "application/json"}
    assert office.http.post(path, content=b"{}", headers={"Content-Type": "text/xml"}).status_code == 415
    assert office.http.post(path, content=b"{}").status_code == 415
    assert office.http.post(path, content=b" " * (WEBHOOK_BYTES + 1), headers=json_type).status_code == 413
    assert office.http.get(path).status_code == 405


def test_calls_from_one_address_are_limited(office: Office) -> None:
    settings = office.settings.model_copy(update={"webhook_limit_per_second": 0.01})
    with TestClient(create_app(settings)) as fresh:
        answers = [fresh.post(ECHO[0], json={"value": []}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [400, 429, 429]
    assert int(answers[-1].headers["Retry-After"]) > 1


def test_what_could_not_be_stored_is_answered_so_that_it_comes_again(office: Office) -> None:
    inbox = office.watched("microsoft")
    nowhere = SecretStr("postgresql://inboxops_api:x@127.0.0.1:1/nothing")
    with TestClient(create_app(office.settings.model_copy(update={"api_database_url": nowhere}))) as fresh:
        answer = fresh.post(ECHO[0], json={"value": [office.notice(inbox)]})
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers


def test_the_apis_role_reads_no_secrets_around_the_functions(office: Office) -> None:
    inbox = office.watched("microsoft")
    url = office.settings.api_database_url
    assert url is not None
    with psycopg.connect(url.get_secret_value()) as connection:
        assert connection.execute("SELECT id FROM inboxes").fetchall() == []
        assert connection.execute("SELECT * FROM outbox").fetchall() == []
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM push_receipts")
        connection.rollback()
        id_ = office.world.push.subscription_id(inbox.id)
        found = connection.execute("SELECT inbox_id FROM graph_listeners(ARRAY[%s])", (id_,)).fetchall()
        assert found == [(inbox.id,)]
        assert connection.execute("SELECT * FROM graph_listeners(ARRAY['%'])").fetchall() == []
    sealed = office.query("SELECT graph_client_state_hash FROM inboxes WHERE id = %s", inbox.id)
    assert office.notice(inbox)["clientState"].encode() not in bytes(sealed[0][0])
