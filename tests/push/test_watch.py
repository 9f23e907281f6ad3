"""Channels are made, renewed, made anew and let go, at the stand-ins of Google and Microsoft."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from inboxops.composition import connecting, pushing, upkeep
from inboxops.composition.world import World
from inboxops.core.inbox import Inbox
from inboxops.core.push import RENEW_WITHIN, Health
from inboxops.errors import AuthenticationFailed, OperatorError, TransientError
from inboxops_local.standins.http import Fault
from tests.e2e.conftest import eventually
from tests.push.conftest import TOPIC, Office

KINDS = ["gmail", "microsoft"]
DAGS = {"gmail": "register_gmail_watch", "microsoft": "create_graph_subscription"}
EXPIRY = {"gmail": "gmail_watch_expires_at", "microsoft": "graph_subscription_expires_at"}
LIFETIME = {"gmail": timedelta(days=7), "microsoft": timedelta(minutes=4200)}


def ends_in(office: Office, inbox: Inbox, left: timedelta | None) -> None:
    """Have the stored channel end so much from now."""
    column = EXPIRY[inbox.connection_type]
    office.run(f"UPDATE inboxes SET {column} = now() + %s WHERE id = %s", left, inbox.id)


def health(office: Office, inbox: Inbox) -> Health:
    return office.channel(inbox).health(datetime.now(UTC))


def is_due(office: Office, inbox: Inbox) -> bool:
    return inbox.id in pushing.due(office.world, inbox.connection_type, limit=10_000)


@pytest.mark.parametrize("kind", KINDS)
def test_a_channel_is_made_and_the_inbox_read_because_nobody_told_of_what_came_before(
    office: Office, kind: str
) -> None:
    inbox = office.inbox(kind)
    assert health(office, inbox) is Health.POLLING
    assert is_due(office, inbox)
    assert pushing.register(office.world, inbox.id).made
    office.woken(inbox)
    channel = office.channel(inbox)
    assert channel.expires_at is not None
    assert abs(channel.expires_at - datetime.now(UTC) - LIFETIME[kind]) < timedelta(minutes=10)
    assert health(office, inbox) is Health.PROBING
    assert not is_due(office, inbox)


def test_gmail_is_asked_to_leave_out_what_is_not_read(office: Office) -> None:
    inbox = office.watched("gmail")
    watch = office.gmail.stand_in.mailbox(inbox.email_address).watch
    assert watch is not None
    assert (watch["topicName"], watch["labelFilterBehavior"]) == (TOPIC, "exclude")
    assert set(watch["labelIds"]) == {"DRAFT", "SENT", "CHAT"}


def test_graph_is_asked_for_the_folder_that_is_read_with_ids_that_last(office: Office) -> None:
    inbox = office.watched("microsoft")
    known = office.graph.stand_in.subscriptions.known[str(office.world.push.subscription_id(inbox.id))]
    assert known["resource"] == "/me/mailFolders('inbox')/messages"
    assert known["notificationUrl"].endswith("/api/webhooks/graph-push")
    assert known["lifecycleNotificationUrl"].endswith("/api/webhooks/graph-lifecycle")
    assert len(known["clientState"]) <= 128


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("left", "due"),
    [(None, True), (timedelta(hours=-1), True), (timedelta(hours=12), True), (timedelta(days=2), False)],
    ids=["never made", "ended", "ends soon", "lasts"],
)
def test_who_is_renewed(office: Office, kind: str, left: timedelta | None, due: bool) -> None:
    inbox = office.watched(kind)
    ends_in(office, inbox, left)
    assert is_due(office, inbox) is due


def test_two_renewals_of_subscriptions_may_be_missed() -> None:
    every = timedelta(hours=12)
    first_try_leaves = RENEW_WITHIN["microsoft"] - every  # at least
    assert first_try_leaves >= 2 * every
    assert LIFETIME["microsoft"] > RENEW_WITHIN["microsoft"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_renewal_prolongs_the_channel_and_leaves_its_health_alone(office: Office, kind: str) -> None:
    inbox = office.watched(kind)
    before, id_ = office.channel(inbox), office.world.push.subscription_id(inbox.id)
    ends_in(office, inbox, timedelta(hours=12))
    assert not pushing.register(office.world, inbox.id).made
    after = office.channel(inbox)
    assert after.expires_at is not None
    assert after.expires_at > datetime.now(UTC) + timedelta(days=2)
    assert after.registered_at == before.registered_at
    assert office.world.push.subscription_id(inbox.id) == id_


def test_a_subscription_that_graph_has_forgotten_is_made_anew_and_its_secret_with_it(office: Office) -> None:
    inbox = office.watched("microsoft")
    old = office.notice(inbox)
    known = office.graph.stand_in.subscriptions.known
    del known[old["subscriptionId"]]
    assert pushing.register(office.world, inbox.id).made
    new = office.notice(inbox)
    assert (new["subscriptionId"], new["clientState"]) != (old["subscriptionId"], old["clientState"])
    assert office.push_graph(old).status_code == 403
    assert office.push_graph(new).status_code == 202


def test_a_secret_of_microsofts_that_leaked_is_changed_by_making_the_channel_anew(office: Office) -> None:
    inbox = office.watched("microsoft")
    leaked = office.notice(inbox)
    assert pushing.register(office.world, inbox.id, anew=True).made
    assert office.push_graph(leaked).status_code == 403
    assert office.push_graph(office.notice(inbox)).status_code == 202


@pytest.mark.parametrize("kind", KINDS)
def test_a_suspect_channel_is_due_and_made_anew(office: Office, kind: str) -> None:
    inbox = office.watched(kind)
    before, id_ = office.channel(inbox), office.world.push.subscription_id(inbox.id)
    office.run("UPDATE inboxes SET push_missed_in_row = 3 WHERE id = %s", inbox.id)
    assert health(office, inbox) is Health.SUSPECT
    assert is_due(office, inbox)
    assert pushing.register(office.world, inbox.id).made
    after = office.channel(inbox)
    assert after.registered_at is not None
    assert before.registered_at is not None
    assert after.registered_at > before.registered_at
    assert health(office, inbox) is Health.PROBING
    if kind == "microsoft":
        assert id_ not in office.graph.stand_in.subscriptions.known
        assert office.world.push.subscription_id(inbox.id) != id_


@pytest.mark.parametrize("kind", KINDS)
def test_one_failure_is_noted_tried_again_and_stops_no_other(office: Office, kind: str) -> None:
    broken, sound = office.inbox(kind), office.inbox(kind)
    server = office.gmail if kind == "gmail" else office.graph
    server.stand_in.fail(Fault("POST .*(watch|subscriptions)", status=500))
    with pytest.raises(TransientError):
        pushing.register(office.world, broken.id)
    assert pushing.register(office.world, sound.id).made
    channel = office.channel(broken)
    assert channel.error is not None
    assert "500" in channel.error
    assert health(office, broken) is Health.POLLING
    assert is_due(office, broken)
    assert office.world.inboxes.get(broken.id).is_live  # it is still polled
    assert pushing.register(office.world, broken.id).made
    assert office.channel(broken).error is None


def test_a_topic_that_google_does_not_take_is_the_operators_business(office: Office) -> None:
    inbox = office.inbox("gmail")
    settings = office.settings.model_copy(update={"google_pubsub_topic": "mail"})
    world = World(settings)
    with pytest.raises(OperatorError, match="INBOXOPS_GOOGLE_PUBSUB_TOPIC"):
        pushing.register(world, inbox.id)
    assert office.world.inboxes.get(inbox.id).is_live
    world.close()


def test_another_topic_takes_over_from_the_one_that_was_set_before(office: Office) -> None:
    """Google keeps one topic for an account and a project: "call /stop then try again"."""
    inbox = office.watched("gmail")
    before = office.channel(inbox).registered_at
    other = "projects/acme/topics/other"
    world = World(office.settings.model_copy(update={"google_pubsub_topic": other}))
    assert pushing.register(world, inbox.id).made
    world.close()
    watch = office.gmail.stand_in.mailbox(inbox.email_address).watch
    assert watch is not None
    assert watch["topicName"] == other
    assert office.channel(inbox).registered_at != before


def test_a_shared_mailbox_of_microsoft_is_polled_and_nothing_fails(office: Office) -> None:
    inbox = office.inbox("microsoft")
    shared = f"shared-{inbox.email_address}"
    office.graph.stand_in.mailbox(shared)
    office.graph.stand_in.share(shared, with_=inbox.email_address)
    office.run(
        "UPDATE inboxes SET connection = connection || jsonb_build_object('mailbox', %s::text) WHERE id = %s",
        shared,
        inbox.id,
    )
    inbox = office.world.inboxes.get(inbox.id)
    assert "shared mailbox" in pushing.register(office.world, inbox.id).skipped
    assert (health(office, inbox), office.channel(inbox).error) == (Health.POLLING, None)
    assert office.world.inboxes.get(inbox.id).is_live


def test_a_url_that_does_not_echo_is_the_operators_business(office: Office) -> None:
    inbox = office.inbox("microsoft")
    url = office.settings.graph_push_notification_url.replace("graph-push", "nothing-here")
    world = World(office.settings.model_copy(update={"graph_push_notification_url": url}))
    with pytest.raises(OperatorError, match="INBOXOPS_GRAPH_PUSH_NOTIFICATION_URL"):
        pushing.register(world, inbox.id)
    world.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_consent_that_is_gone_disconnects_the_inbox_and_nothing_else_does(office: Office, kind: str) -> None:
    inbox = office.watched(kind)
    server = office.gmail if kind == "gmail" else office.graph
    server.stand_in.authority.revoke_user(inbox.email_address)
    server.stand_in.authority.expire_access_tokens(inbox.email_address)
    with pytest.raises(AuthenticationFailed):
        pushing.register(office.world, inbox.id)
    assert not office.world.inboxes.get(inbox.id).is_live
    assert not is_due(office, inbox)


@pytest.mark.parametrize("kind", KINDS)
def test_without_its_setting_nothing_is_registered(office: Office, kind: str) -> None:
    inbox = office.inbox(kind)
    unset = {"google_pubsub_topic": "", "graph_push_notification_url": ""}
    world = World(office.settings.model_copy(update=unset))
    assert not pushing.is_wanted(world, kind)
    assert pushing.due(world, kind, limit=10) == []
    assert "no push is set up" in pushing.register(world, inbox.id).skipped
    pushing.ask(world, inbox)
    assert office.errands(inbox, "register") == 0
    world.close()


@pytest.mark.parametrize("kind", KINDS)
def test_who_asks_for_push_gets_a_run_also_when_airflow_was_away(office: Office, kind: str) -> None:
    inbox = office.inbox(kind)
    office.airflow.away()
    pushing.ask(office.world, inbox)
    assert office.open_errands(inbox, "register") == 1
    office.airflow.heal()
    office.run("UPDATE outbox SET available_at = now() WHERE name = %s", str(inbox.id))
    assert upkeep.drain(office.world).registrations >= 1
    assert office.airflow.runs_for(inbox.id) == [DAGS[kind]]


@pytest.mark.parametrize("kind", KINDS)
def test_disconnecting_ends_the_channel_at_the_provider(office: Office, kind: str) -> None:
    inbox = office.watched(kind)
    id_ = office.world.push.subscription_id(inbox.id)
    connecting.disconnect(office.world, inbox)
    if kind == "gmail":
        assert office.gmail.stand_in.mailbox(inbox.email_address).watch is None
    else:
        assert id_ not in office.graph.stand_in.subscriptions.known
    channel = office.channel(inbox)
    assert (channel.registered_at, channel.expires_at) == (None, None)
    assert office.world.push.subscription_id(inbox.id) is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_provider_that_is_away_holds_up_no_disconnecting(office: Office, kind: str) -> None:
    inbox = office.watched(kind)
    server = office.gmail if kind == "gmail" else office.graph
    server.stand_in.fail(Fault("stop|DELETE", status=500, times=10))
    connecting.disconnect(office.world, inbox)
    assert not office.world.inboxes.get(inbox.id).is_live
    assert office.channel(inbox).expires_at is None


def test_a_watch_stays_while_another_inbox_lives_on_the_same_account(office: Office) -> None:
    other = f"o{uuid.uuid4().hex[:12]}"
    office.world.inboxes.add_tenant(other, "Other Ltd")
    mine = office.watched("gmail")
    office.watched("gmail", address=mine.email_address, tenant=other)
    connecting.disconnect(office.world, mine)
    mailbox = office.gmail.stand_in.mailbox(mine.email_address)
    assert mailbox.watch is not None
    assert office.channel(mine).expires_at is None


def test_gmail_wakes_its_inbox_from_end_to_end(office: Office) -> None:
    """The watch, Pub/Sub with Google's signature, the webhook, and Airflow."""
    inbox = office.watched("gmail")
    office.woken(inbox)
    office.pubsub.url = str(office.http.base_url).rstrip("/") + "/api/webhooks/gmail-push"
    try:
        office.gmail.stand_in.deliver(inbox.email_address, b"Subject: hello\r\n\r\nHello\r\n")
        eventually("the inbox is woken", lambda: office.wakes(inbox) == 2)
        assert health(office, inbox) is Health.PUSH
    finally:
        office.pubsub.url = ""
