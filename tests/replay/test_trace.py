"""The life of a mail tells of replays: which changed what of it, when, and whether that still stands."""

from __future__ import annotations

from inboxops.core.replay import Group
from inboxops.core.trace import steps, wanted
from tests.replay.conftest import Replays
from tests.replay.test_replay import older


def told(desk: Replays, what: str) -> list[str]:
    (found,) = desk.world.traces.find(wanted(what), tenant_id=desk.tenant_id, limit=20)
    return [step.what for step in steps(found) if step.where == "replay"]


def test_a_replay_and_its_undo_are_told_of_the_mail_they_changed_alone(desk: Replays) -> None:
    older(desk)
    assert told(desk, "<one@customer.example>") == []
    row = desk.apply(Group.VERDICT)
    name = f"replay {row['id']}"
    changed = f"{name}, asked for by Ann, changed verdict; until then bulk by bulk.list (rules 2025.9)"
    assert told(desk, "<one@customer.example>") == [changed]
    assert told(desk, "<two@customer.example>") == []
    desk.undo(row["id"])
    assert told(desk, "<one@customer.example>") == [
        changed,
        f"{name} was taken back: verdict as before",
    ]


def test_what_a_replay_could_not_take_back_says_why(desk: Replays) -> None:
    older(desk)
    row = desk.apply(Group.VERDICT)
    desk.change("UPDATE messages SET verdict = 'spam' WHERE inbox_id = %s AND subject = 'One'", desk.box.inbox_id)
    desk.undo(row["id"])
    (only,) = told(desk, "<one@customer.example>")
    assert only.endswith("(rules 2025.9); not taken back: something was changed or answered since")
