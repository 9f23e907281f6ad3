"""A run that is killed at any point and run again leaves what one that was not killed leaves."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from inboxops.composition import mail_rules, replaying
from inboxops.composition.world import World
from inboxops.core.mail_rules.wire import read_rule
from inboxops.core.replay import Group
from inboxops.settings import Settings
from inboxops_lab.testing.mailserver import MailServer
from tests.crash.process import Processes
from tests.replay.conftest import Replays
from tests.sending.conftest import set_up
from tests.stories.conftest import mail

POINTS = {
    "behind objects.put": (1, "a file is stored, no row names it"),
    "before commit of add_outbox": (2, "a slice is written, not committed"),
    "behind commit of add_outbox": (1, "a slice is done, its progress not noted"),
    "behind commit of replay_went_on": (1, "a page is done"),
    "behind commit of add_replay_change": (1, "spam is in front of the stages, not filed"),
    "behind commit of save_classified": (1, "it is judged again, not filed"),
    "behind bus.publish": (1, "events are heard, and not known to be"),
    "before commit of replay_ended": (1, "all is done, the row does not say so"),
}
"""Boundary -> at which crossing, and what is true there."""

UNDONE = "behind commit of add_outbox"
"""Where a run that takes all of it back is killed, at the second crossing: a slice is taken back."""

UNNAMED = {
    "behind objects.get",
    "behind commit of outbox_done",
    "behind commit of replay_previewed",
    "behind commit of replay_ended",
}
"""Boundaries that leave nothing behind that a named one does not: they only read, repeat a named one's, or end it all."""


@pytest.fixture(scope="module")
def processes() -> Iterator[Processes]:
    made = Processes()
    yield made
    made.stop()


Picture = dict[str, list[tuple[object, ...]]]


def older(desk: Replays) -> None:
    """Ten mails that are otherwise today: texts, a file, customers, one that refers to another, and what is spam no more."""
    boundary = 'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"'
    file = "--b\r\n\r\nSee there.\r\n--b\r\nContent-Type: application/pdf; name=a.pdf\r\n\r\nthe file\r\n--b--"
    desk.box.deliver(
        *(mail(f"Mail {n}", id=f"mail{n}") for n in range(6)),
        mail("A file", id="file", more=boundary, body=file),
        mail("Re: Mail 0", id="re", answers="mail0"),
        *(mail(f"Offer {n}", id=f"offer{n}", sender="eve@partner.example", more="X-Spam-Flag: YES") for n in range(2)),
    )
    desk.box.run()
    box = desk.box.inbox_id
    customer = '{"name": "", "address": "x@y.example", "rule": "old", "claimed": false}'
    desk.change("UPDATE messages SET body_text = 'older', customer = %s::jsonb WHERE inbox_id = %s", customer, box)
    desk.change("UPDATE tickets SET requester_address = 'x@y.example', requester_rule = 'old' WHERE inbox_id = %s", box)
    desk.change("UPDATE attachments SET file_name = 'older' WHERE tenant_id = %s", desk.tenant_id)
    partner = [{"on": "sender", "op": "contains", "values": ["@partner.example"]}]
    rule = {
        "name": "partner",
        "enabled": True,
        "conditions": partner,
        "actions": {"never_spam": True, "tags": ["partner"]},
    }
    mail_rules.put(desk.world, desk.tenant_id, (read_rule(rule),), by="Ann")


def picture(desk: Replays) -> Picture:
    """What a person sees of the inbox, without ids and keys."""
    box = desk.box.inbox_id
    return {
        "messages": desk.box.query(
            "SELECT m.subject, verdict, rule, body_text, customer, m.direction, type, ticket_number,"
            " (SELECT array_agg(file_name) FROM attachments a WHERE a.message_id = m.id) FROM messages m"
            " JOIN tickets t ON t.id = m.ticket_id WHERE m.inbox_id = %s ORDER BY m.subject", box),
        "tickets": desk.box.query(
            "SELECT ticket_number, subject, status, requester_address, requester_rule, tags FROM tickets WHERE inbox_id = %s"
            " ORDER BY ticket_number", box),
        "mails": desk.box.query(
            "SELECT subject, state, reason, verdict, rule FROM inbound WHERE inbox_id = %s ORDER BY subject", box),
        "references": desk.box.query("SELECT reference_id FROM message_references WHERE inbox_id = %s ORDER BY 1", box),
    }  # fmt: skip


def settings(desk: Replays) -> dict[str, Any]:
    known = desk.world.settings
    return {name: value.get_secret_value() if hasattr(value, "get_secret_value") else value for name, value in known}


@pytest.fixture(scope="module")
def in_one_go(services: Settings, mail_server: MailServer) -> Iterator[Picture]:
    """What a run leaves that nobody kills."""
    world, tenant = World(services), f"t{uuid.uuid4().hex[:12]}"
    world.inboxes.add_tenant(tenant, "Test Ltd")
    with set_up(world, tenant, mail_server) as made:
        desk = Replays(made.box, made.submission)
        older(desk)
        desk.apply()
        yield picture(desk)
    world.close()


@pytest.mark.parametrize("point", POINTS)
def test_a_run_that_was_killed_is_ended_by_the_next(
    desk: Replays, processes: Processes, in_one_go: Picture, point: str
) -> None:
    older(desk)
    before = picture(desk)
    replay_id = desk.preview()["id"]
    desk.world.replays.want(desk.tenant_id, replay_id, "applying", when=("previewed",), groups=[str(g) for g in Group])
    order = {"what": "replay_mail", "settings": settings(desk), "replay_id": replay_id}
    killed = processes.run(point=f"replay_mail: {point}", nth=POINTS[point][0], **order)
    assert killed.was_killed, killed.error or "it came there"
    assert desk.world.replays.one(replay_id)["state"] == "applying"
    ended = processes.run(**order)
    assert not ended.error, ended.error
    done = desk.world.replays.one(replay_id)
    assert (done["state"], {group: one["changed"] for group, one in done["done"].items()}) == (
        "applied",
        {"verdict": 2, "customer": 8, "attachments": 1, "text": 8},
    )
    assert picture(desk) == in_one_go
    assert desk.groups() == {}
    desk.world.replays.want(desk.tenant_id, replay_id, "undoing", when=("applied",))
    undoing = processes.run(point=f"replay_mail: {UNDONE}", nth=2, **order)
    assert undoing.was_killed
    replaying.run(desk.world, replay_id)
    taken_back = picture(desk)
    assert desk.world.replays.one(replay_id)["state"] == "undone"
    own = [row for row in taken_back["messages"] if not str(row[0]).startswith("Offer")]
    assert own == before["messages"]
    assert [row for row in taken_back["tickets"] if row[0] in {one[0] for one in before["tickets"]}] == before[
        "tickets"
    ]
    assert {row[2] for row in taken_back["tickets"] if str(row[1]).startswith("Offer")} == {"closed"}


def test_every_boundary_has_a_name_in_the_matrix(desk: Replays, processes: Processes) -> None:
    """What crosses a new one has to say what is true there, and is killed there from then on."""
    older(desk)
    replay_id = desk.world.replays.add(replaying.scope(desk.world, desk.tenant_id, days=30), by="Ann")
    order = {"what": "replay_mail", "settings": settings(desk), "replay_id": replay_id, "forked": False}
    crossed: set[str] = set()
    for wanted, came_to in (("", "previewed"), ("applying", "applied"), ("undoing", "undone")):
        if wanted:
            assert desk.world.replays.want(
                desk.tenant_id, replay_id, wanted, when=("previewed", "applied"), groups=list(Group)
            )
        ended = processes.run(**order)
        assert not ended.error, ended.error
        assert desk.world.replays.one(replay_id)["state"] == came_to
        crossed |= {name.removeprefix("replay_mail: ") for name in ended.crossed}
    assert {name for name in crossed if name.startswith("behind ")} - POINTS.keys() - UNNAMED == set()
    assert POINTS.keys() - crossed == set()
