"""Canaries to many inboxes: one whose server hangs holds up no other, and one in a spam folder says so."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event

from inboxops.composition import canaries
from inboxops.composition.world import World
from inboxops.core.canary import mail
from inboxops.core.model import Address
from inboxops_lab.testing.mailserver import Dovecot
from inboxops_lab.testing.processes import wait_until
from tests.sending.conftest import Desk, desk
from tests.sending.smtpserver import SteppedSmtp
from tests.stories.conftest import connect
from tests.stories.test_canary import state, wish

__all__ = ["desk"]


def states(world: World, inbox_id: int) -> list[str]:
    return [row["state"] for row in world.canaries.listed(inbox_id=inbox_id, limit=10)]


def test_a_mail_server_that_hangs_holds_up_no_other_inbox(desk: Desk, world: World, tenant: str) -> None:
    """The inbox whose server hangs comes first."""
    hangs = Event()
    server = SteppedSmtp(lambda step: hangs.wait(60) and False)
    well = connect(world, tenant, desk.box.server, name="well")
    through = dict(desk.box.inbox.connection)
    sealed = world.vault.seal({"username": desk.box.user, "password": "secret password"})
    world.inboxes.reconnect(well.inbox_id, through, sealed)
    desk.through(server.port)
    wish(desk)
    world.canaries.wish(well.inbox_id, minutes=15, from_id=None)
    with ThreadPoolExecutor(1) as beside:
        run = beside.submit(canaries.send_due, world)
        try:
            wait_until("the other inbox has its canary", lambda: states(world, well.inbox_id) == ["on_its_way"])
            assert states(world, desk.box.inbox_id) == ["being_sent"]
        finally:
            hangs.set()
            server.stop()
        flown = run.result(timeout=120)
    assert states(world, desk.box.inbox_id) == ["not_sent"]
    assert flown.sent >= 1 and flown.not_sent >= 1


def test_one_that_a_filter_put_into_the_spam_folder_says_so_where_that_is_read(
    dovecot: Dovecot, desk: Desk, world: World
) -> None:
    """An IMAP inbox reads one folder: here it is the server's spam folder."""
    dovecot.create_folder(desk.box.user, "Junk")
    inbox = desk.box.inbox
    sealed = world.inboxes.credentials(inbox.id)
    assert sealed is not None
    world.inboxes.reconnect(inbox.id, {**inbox.connection, "folder": "Junk"}, sealed)
    wish(desk)
    made = world.canaries.add(inbox.id, even_if_not_due=True)
    assert made is not None and world.canaries.hand_over(made.id)
    world.canaries.sent(made.id)
    ours = Address("", inbox.email_address)
    dovecot.append(
        desk.box.user, mail(made, sender=ours, to=ours.address, signing_key=world.signing_key), folder="Junk"
    )
    desk.box.run()
    assert state(desk, made.id) == "spam"
