"""Admins are told once that something began to be wrong and once that it is over, by the ways that they chose."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from email import message_from_bytes
from email.policy import default

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from inboxops.composition import upkeep
from inboxops.composition.world import World
from inboxops.core.notices import KINDS, Delivery
from inboxops.core.reach import Reach
from inboxops.errors import AuthenticationFailed, Conflict, InboxOpsError, InvalidInput, NotFound, OperatorError
from inboxops.events import webhook
from inboxops.outward.http import Bounds
from inboxops_lab.testing.mailserver import MailServer
from tests.intruders.liar import lying
from tests.receiver import Receiver, list_our_own_host
from tests.sending.conftest import Desk, set_up
from tests.sending.smtpserver import Submission
from tests.stories.conftest import mail


@pytest.fixture
def desk(world: World, tenant: str, mail_server: MailServer) -> Iterator[Desk]:
    with set_up(world, tenant, mail_server) as desk:
        yield desk


def watch(desk: Desk, receiver: Receiver, *kinds: str) -> str:
    """The webhook's secret."""
    return upkeep.tell(desk.world, desk.tenant_id, mail="", url=receiver.url, kinds=kinds or list(KINDS))[1]


def disconnect(desk: Desk) -> None:
    desk.world.inboxes.disconnect(desk.box.inbox, AuthenticationFailed("the server refuses the password"))


def reconnect(desk: Desk) -> None:
    sealed = desk.world.inboxes.credentials(desk.box.inbox_id)
    assert sealed is not None
    desk.world.inboxes.reconnect(desk.box.inbox_id, desk.box.inbox.connection, sealed)


def let_pause_end(desk: Desk) -> None:
    """What waiting does after a failed delivery."""
    desk.box.query(
        "UPDATE outbox SET available_at = now() WHERE tenant_id = %s AND kind = 'notice' RETURNING 1", desk.tenant_id
    )


def test_an_inbox_that_disconnects_is_told_once_and_so_is_its_return(desk: Desk, receiver: Receiver) -> None:
    watch(desk, receiver)
    disconnect(desk)
    for _ in range(3):
        upkeep.notify(desk.world)
    assert receiver.told == [("inbox_disconnected", False)]
    (notice,) = json.loads(receiver.taken[0][1])["data"]["notices"]
    assert notice["detail"] == "the server refuses the password"
    assert notice["fix"] == "Connect it again: `inboxops inbox reconnect support`."
    reconnect(desk)
    for _ in range(3):
        upkeep.notify(desk.world)
    assert receiver.told == [("inbox_disconnected", False), ("inbox_disconnected", True)]


def test_a_failed_answer_is_over_when_it_was_sent(desk: Desk, receiver: Receiver) -> None:
    watch(desk, receiver)
    accepted = desk.reply(desk.ticket())
    desk.submission.answer = "550 no"
    with pytest.raises(InboxOpsError):
        desk.send(accepted)
    upkeep.notify(desk.world)
    desk.submission.answer = ""
    desk.world.outbound.retry(desk.tenant_id, accepted.message_id)
    upkeep.notify(desk.world)
    assert receiver.told == [("reply_failed", False)], "it is only being tried again"
    desk.send(accepted, attempt=1)
    upkeep.notify(desk.world)
    assert receiver.told == [("reply_failed", False), ("reply_failed", True)]


def test_a_bounce_and_parked_mail_are_told_together(desk: Desk, receiver: Receiver) -> None:
    watch(desk, receiver)
    accepted = desk.reply(desk.ticket())
    desk.send(accepted)
    desk.box.query("UPDATE messages SET bounce_received_at = now() WHERE id = %s RETURNING 1", accepted.message_id)
    desk.box.query(
        "UPDATE inbound SET state = 'parked', reason = 'reading it failed' WHERE inbox_id = %s RETURNING 1",
        desk.box.inbox_id,
    )
    upkeep.notify(desk.world)
    assert (len(receiver.taken), receiver.told) == (1, [("mail_parked", False), ("reply_bounced", False)])
    desk.box.query("UPDATE inbound SET state = 'persisted' WHERE inbox_id = %s RETURNING 1", desk.box.inbox_id)
    upkeep.notify(desk.world)
    upkeep.notify(desk.world)
    assert receiver.told[2:] == [("mail_parked", True)]


def test_what_was_wrong_before_anybody_wanted_to_know_is_no_news(desk: Desk, receiver: Receiver) -> None:
    accepted = desk.reply(desk.ticket())
    desk.box.query("UPDATE messages SET send_status = 'failed' WHERE id = %s RETURNING 1", accepted.message_id)
    watch(desk, receiver)
    upkeep.notify(desk.world)
    assert receiver.told == []


def test_a_tenant_chooses_what_it_is_told(desk: Desk, receiver: Receiver) -> None:
    watch(desk, receiver, "mail_parked")
    disconnect(desk)
    upkeep.notify(desk.world)
    assert receiver.told == []


def test_the_webhook_is_signed_so_that_a_library_checks_it(desk: Desk, receiver: Receiver) -> None:
    secret = watch(desk, receiver)
    disconnect(desk)
    upkeep.notify(desk.world)
    headers, body = receiver.taken[0]
    assert Webhook(secret).verify(body, headers)["type"] == "inboxops.notices"
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body + b" ", headers)
    old = headers | {"webhook-timestamp": str(int(headers["webhook-timestamp"]) - 600)}
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body, old)
    kept = desk.box.query("SELECT secret_encrypted FROM notify_channels WHERE tenant_id = %s", desk.tenant_id)
    assert secret.encode() not in bytes(kept[0][0])  # type: ignore[arg-type]


def test_a_webhook_that_is_down_gets_the_same_delivery_later(desk: Desk, receiver: Receiver) -> None:
    watch(desk, receiver)
    receiver.status = 503
    disconnect(desk)
    upkeep.notify(desk.world)
    upkeep.notify(desk.world)
    assert len(receiver.taken) == 1, "the next try waits"
    receiver.status = 200
    let_pause_end(desk)
    upkeep.notify(desk.world)
    first, second = (headers["webhook-id"] for headers, _ in receiver.taken)
    assert first == second
    assert desk.world.notices.channels(desk.box.inbox.tenant)[0]["last_error"] is None


def test_a_receiver_that_drips_holds_up_no_other(
    desk: Desk, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "BOUNDS", Bounds(seconds=60, body=0))
    ended = threading.Event()
    with lying(None, talk=lambda line: ended.wait(60)) as silent:
        urls = [f"http://127.0.0.1:{silent.port}/{number}" for number in range(3)]
        silents = [upkeep.tell(desk.world, desk.tenant_id, mail="", url=url, kinds=list(KINDS))[0] for url in urls]
        watch(desk, receiver)
        disconnect(desk)
        with ThreadPoolExecutor(1) as thread:
            done = thread.submit(upkeep.notify, desk.world)
            deadline = time.monotonic() + 30
            while not (receiver.told and silent.callers == 3):
                assert time.monotonic() < deadline, "it waits for those that say nothing"
                time.sleep(0.02)
            assert not done.done()
            ended.set()
            silent.stop()
            assert done.result().kept >= 3
    for channel in silents:
        desk.world.notices.remove_channel(channel)


def test_a_channel_that_breaks_in_a_way_nobody_foresaw_keeps_nothing_from_the_others(
    desk: Desk, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    upkeep.tell(desk.world, desk.tenant_id, mail="", url=f"{receiver.url}/broken", kinds=list(KINDS))
    watch(desk, receiver)
    disconnect(desk)
    post = webhook.post

    def breaks(reach: Reach, delivery: Delivery) -> None:
        if delivery.target.endswith("/broken"):
            raise ValueError("nobody foresaw this")
        post(reach, delivery)

    monkeypatch.setattr(webhook, "post", breaks)
    assert upkeep.notify(desk.world).kept >= 1
    assert receiver.told == [("inbox_disconnected", False)]
    let_pause_end(desk)
    upkeep.notify(desk.world)
    assert receiver.told == [("inbox_disconnected", False)], "what was taken is not told again"
    (broken,) = [one for one in desk.world.notices.channels(desk.box.inbox.tenant) if "/broken" in one["target"]]
    assert "nobody foresaw this" in broken["last_error"]


def test_a_channel_is_told_in_order_and_nothing_overtakes_what_it_did_not_take(desk: Desk, receiver: Receiver) -> None:
    watch(desk, receiver)
    receiver.status = 503
    disconnect(desk)
    desk.world.notices.look()
    reconnect(desk)
    upkeep.notify(desk.world)
    assert receiver.told == [("inbox_disconnected", False)], "its end waits behind it"
    receiver.status = 200
    let_pause_end(desk)
    upkeep.notify(desk.world)
    assert receiver.told[1:] == [("inbox_disconnected", False), ("inbox_disconnected", True)]


def test_a_webhook_in_our_own_network_is_for_the_operator_to_list(desk: Desk) -> None:
    receiver = Receiver()
    assert desk.world.settings.private_hosts == ""
    with pytest.raises(InvalidInput, match="INBOXOPS_PRIVATE_HOSTS"):
        watch(desk, receiver)
    list_our_own_host(desk.world)
    watch(desk, receiver)
    desk.world.settings = desk.world.settings.model_copy(update={"private_hosts": ""})
    disconnect(desk)
    upkeep.notify(desk.world)
    assert receiver.taken == []
    (channel,) = desk.world.notices.channels(desk.box.inbox.tenant)
    assert "no public address" in channel["last_error"]
    desk.world.notices.remove_channel(channel["id"])
    receiver.stop()


def test_a_notice_goes_by_mail_through_the_relay(desk: Desk) -> None:
    relay = Submission(users={"relay": "p@ss word"})
    desk.world.settings = desk.world.settings.model_copy(
        update={
            "notify_smtp_url": SecretStr(f"smtp://relay:p%40ss%20word@127.0.0.1:{relay.port}"),
            "notify_from": "inboxops@ops.example",
        }
    )
    upkeep.tell(desk.world, desk.tenant_id, mail="admin@acme.example", url="", kinds=list(KINDS))
    accepted = desk.reply(desk.ticket())
    desk.box.query(
        "UPDATE messages SET send_status = 'failed', send_error = '554 no' WHERE id = %s RETURNING 1",
        accepted.message_id,
    )
    disconnect(desk)
    upkeep.notify(desk.world)
    relay.stop()
    (taken,) = relay.taken
    assert (taken.sender, taken.recipients) == ("inboxops@ops.example", ["admin@acme.example"])
    message = message_from_bytes(taken.raw, policy=default)
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Subject"] == f"[InboxOps] {desk.box.inbox.email_address.capitalize()} is disconnected (and 1 more)"
    text = message.get_content()
    assert "the server refuses the password" in text
    assert f"/tickets/{accepted.ticket_id}" in text


def test_nobody_is_told_by_mail_without_a_relay(desk: Desk) -> None:
    with pytest.raises(OperatorError, match="INBOXOPS_NOTIFY_SMTP_URL"):
        upkeep.tell(desk.world, desk.tenant_id, mail="admin@acme.example", url="", kinds=["mail_parked"])


def test_a_channel_is_checked_listed_and_removed(desk: Desk, receiver: Receiver) -> None:
    world = desk.world
    watch(desk, receiver)
    with pytest.raises(Conflict, match="already"):
        watch(desk, receiver)
    with pytest.raises(InvalidInput, match="Known: inbox_disconnected"):
        watch(desk, receiver, "nonsense")
    with pytest.raises(InvalidInput, match="https://"):
        upkeep.tell(world, desk.tenant_id, mail="", url="ftp://x", kinds=["mail_parked"])
    (channel,) = world.notices.channels(desk.box.inbox.tenant)
    disconnect(desk)
    world.notices.look()
    world.notices.remove_channel(channel["id"])
    upkeep.notify(world)
    assert receiver.taken == [], "what waited for it was dropped"
    assert world.notices.channels(desk.box.inbox.tenant) == []


def test_drain_tells_too(desk: Desk, receiver: Receiver) -> None:
    watch(desk, receiver)
    desk.box.deliver(mail("One mail"))
    disconnect(desk)
    assert upkeep.drain(desk.world).notices_delivered >= 1
    assert receiver.told == [("inbox_disconnected", False)]


def test_a_webhook_goes_on_when_the_keys_of_credentials_are_rotated(desk: Desk, receiver: Receiver) -> None:
    """Its secret is sealed with them, too."""
    secret = watch(desk, receiver)
    known, new = desk.world.settings, Fernet.generate_key().decode()
    both = known.model_copy(update={"credential_keys": SecretStr(f"{new},{known.credential_keys.get_secret_value()}")})
    alone = known.model_copy(update={"credential_keys": SecretStr(new)})
    here = desk.box.inbox_id
    before = desk.world.vault.open(desk.world.inboxes.credentials(here) or b"")
    for settings in (both, alone):
        with closing(World(settings)) as world:
            if settings is both:
                upkeep.reseal(world)
            assert world.vault.open(world.inboxes.credentials(here) or b"") == before
            (disconnect if settings is both else reconnect)(desk)
            upkeep.notify(world)
            headers, body = receiver.taken[-1][:2]
            Webhook(secret).verify(body, headers)
    assert len(receiver.taken) == 2
    with closing(
        World(
            known.model_copy(update={"credential_keys": SecretStr(f"{known.credential_keys.get_secret_value()},{new}")})
        )
    ) as world:
        upkeep.reseal(world)  # others share this database


def test_a_token_that_is_renewed_meanwhile_is_not_lost(desk: Desk) -> None:
    """Sealing anew waits for who holds the credentials: what it saves would meet other bytes, and be dropped."""
    world, here = desk.world, desk.box.inbox_id
    began, done = threading.Event(), threading.Event()

    def reseal() -> None:
        began.set()
        with closing(World(world.settings)) as other:
            upkeep.reseal(other)
        done.set()

    with world.credentials.held(here) as held:
        held.read()
        sealing = threading.Thread(target=reseal)
        sealing.start()
        assert began.wait(60)
        assert not done.wait(1)
        held.save(world.vault.seal({"refresh_token": "renewed"}))
    sealing.join(30)
    assert world.vault.open(world.inboxes.credentials(here) or b"") == {"refresh_token": "renewed"}


def test_a_receiver_changes_over_to_a_new_secret_when_it_can(desk: Desk, receiver: Receiver) -> None:
    old = watch(desk, receiver)
    (channel,) = desk.world.notices.channels(desk.box.inbox.tenant)

    def told_with(secret: str) -> bool:
        disconnect(desk)
        upkeep.notify(desk.world)
        reconnect(desk)
        upkeep.notify(desk.world)
        headers, body = receiver.taken[-1][:2]
        try:
            Webhook(secret).verify(body, headers)
        except WebhookVerificationError:
            return False
        return True

    new = upkeep.renew_secret(desk.world, channel["id"], keep_old=True)
    assert told_with(old)
    assert told_with(new)
    newest = upkeep.renew_secret(desk.world, channel["id"], keep_old=True)
    assert (told_with(old), told_with(new), told_with(newest)) == (False, True, True)
    last = upkeep.renew_secret(desk.world, channel["id"], keep_old=False)
    assert (told_with(newest), told_with(last)) == (False, True)
    with pytest.raises(NotFound, match="no webhook"):
        upkeep.renew_secret(desk.world, channel["id"] + 10_000, keep_old=True)
