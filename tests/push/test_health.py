"""A channel that lets mail pass is found out by the polls, and heals by itself."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from inboxops.composition import intake, pushing, upkeep
from inboxops.core.inbox import Inbox
from inboxops.core.push import SLACK, SUSPECT_AFTER, Bucket, Channel, Health
from tests.cli.test_inbox_commands import Shell
from tests.push.conftest import Office
from tests.stories.conftest import mail

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ALIVE = {"registered_at": NOW - 24 * HOUR, "expires_at": NOW + 24 * HOUR}


def channel(**facts: object) -> Channel:
    return Channel(1, "gmail", **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "health"),
    [
        ({}, Health.POLLING),
        ({"registered_at": NOW - HOUR, "expires_at": NOW}, Health.POLLING),
        (ALIVE, Health.PROBING),
        ({**ALIVE, "last_push_at": NOW - 48 * HOUR}, Health.PROBING),
        ({**ALIVE, "last_push_at": NOW - HOUR}, Health.PUSH),
        ({**ALIVE, "last_push_at": NOW - HOUR, "missed_in_row": SUSPECT_AFTER - 1}, Health.PUSH),
        ({**ALIVE, "last_push_at": NOW - HOUR, "missed_in_row": SUSPECT_AFTER}, Health.SUSPECT),
    ],
)
def test_health(facts: dict[str, object], health: Health) -> None:
    assert channel(**facts).health(NOW) is health


@pytest.mark.parametrize(
    ("facts", "arrived_at", "missed"),
    [
        (ALIVE, NOW - HOUR, True),
        ({**ALIVE, "last_push_at": NOW - 2 * HOUR}, NOW - HOUR, True),
        ({**ALIVE, "last_push_at": NOW - HOUR}, NOW - HOUR, False),
        ({**ALIVE, "last_push_at": NOW - HOUR}, NOW - HOUR + SLACK, False),  # clocks differ
        ({**ALIVE, "registered_at": NOW - HOUR}, NOW - 2 * HOUR, False),  # it came before there was a channel
        ({}, NOW - HOUR, False),
        ({**ALIVE, "expires_at": NOW - HOUR}, NOW - 2 * HOUR, False),
    ],
)
def test_which_mail_a_push_should_have_told_of(facts: dict[str, object], arrived_at: datetime, missed: bool) -> None:
    assert channel(**facts).missed(arrived_at, NOW) is missed


def test_a_bucket_gives_what_flowed_in_and_no_more_than_it_holds() -> None:
    bucket = Bucket(per_second=0.5, burst=2)
    assert [bucket.wait(100.0) for _ in range(3)] == [0, 0, 2]
    assert bucket.wait(101.0) == 1
    assert bucket.wait(102.0) == 0
    assert not bucket.is_full(104.0)
    assert bucket.is_full(106.0)


def poll(office: Office, inbox: Inbox, *, minutes_ago: float) -> None:
    """A poll that finds one mail, which arrived a while ago."""
    when = datetime.now(UTC) - timedelta(minutes=minutes_ago)
    office.gmail.stand_in.deliver(inbox.email_address, mail("Hello"), when=when)
    assert intake.fetch_by_clock(office.world, inbox.id).stored == 1
    intake.file(office.world, inbox.id)


@pytest.fixture
def inbox(office: Office) -> Inbox:
    """Watched since yesterday, and read once."""
    inbox = office.watched("gmail")
    intake.fetch(office.world, inbox.id)
    office.run("UPDATE inboxes SET push_registered_at = now() - interval '1 day' WHERE id = %s", inbox.id)
    office.run("UPDATE outbox SET done_at = now() WHERE name = %s", str(inbox.id))
    return inbox


def suspicions(office: Office, inbox: Inbox) -> int:
    [(count,)] = office.query(
        "SELECT count(*) FROM outbox WHERE name = 'inbox.push_suspect' AND payload->>'inbox_id' = %s", str(inbox.id)
    )
    return int(count)


def test_three_polls_in_a_row_make_a_channel_suspect_once_and_have_it_made_anew(office: Office, inbox: Inbox) -> None:
    for missed in range(1, SUSPECT_AFTER):
        poll(office, inbox, minutes_ago=3)
        assert office.channel(inbox).missed_in_row == missed
        assert office.open_errands(inbox, "register") == 0
    poll(office, inbox, minutes_ago=3)
    assert office.channel(inbox).health(datetime.now(UTC)) is Health.SUSPECT
    assert suspicions(office, inbox) == office.open_errands(inbox, "register") == 1
    poll(office, inbox, minutes_ago=3)
    assert suspicions(office, inbox) == 1
    missed_at = office.channel(inbox).missed_at
    assert missed_at is not None
    assert timedelta(minutes=2) < datetime.now(UTC) - missed_at < timedelta(minutes=10)
    upkeep.drain(office.world)
    assert office.airflow.runs_for(inbox.id) == ["register_gmail_watch"]
    assert pushing.register(office.world, inbox.id).made
    assert office.channel(inbox).health(datetime.now(UTC)) is Health.PROBING


def test_a_push_ends_the_row(office: Office, inbox: Inbox) -> None:
    for _ in range(SUSPECT_AFTER - 1):
        poll(office, inbox, minutes_ago=3)
    assert office.push_gmail(office.pubsub.envelope(inbox.email_address, 7)).status_code == 204
    assert office.channel(inbox).missed_in_row == 0
    poll(office, inbox, minutes_ago=3)  # told of by that push, which came later
    assert office.channel(inbox).missed_in_row == 0
    assert office.channel(inbox).health(datetime.now(UTC)) is Health.PUSH


def test_mail_whose_push_may_still_be_on_the_way_says_nothing(office: Office, inbox: Inbox) -> None:
    poll(office, inbox, minutes_ago=0)
    assert office.channel(inbox).missed_in_row == 0


def test_mail_that_a_woken_run_finds_says_nothing(office: Office, inbox: Inbox) -> None:
    office.gmail.stand_in.deliver(inbox.email_address, mail("Hello"), when=datetime.now(UTC) - timedelta(minutes=3))
    assert intake.fetch_woken(office.world, inbox.id).stored == 1
    assert office.channel(inbox).missed_in_row == 0


def test_imported_mail_says_nothing(office: Office) -> None:
    inbox = office.watched("gmail")
    office.run("UPDATE inboxes SET push_registered_at = now() - interval '1 day' WHERE id = %s", inbox.id)
    office.gmail.stand_in.deliver(inbox.email_address, mail("Old"), when=datetime.now(UTC) - timedelta(hours=2))
    assert intake.fetch_by_clock(office.world, inbox.id).stored == 1
    assert office.channel(inbox).missed_in_row == 0


def test_a_person_sees_how_push_stands(office: Office, inbox: Inbox, tmp_path: Path) -> None:
    shell = Shell(office.settings, tmp_path)
    office.push_gmail(office.pubsub.envelope(inbox.email_address, 7))
    listed = shell("inbox", "push", inbox.name, "--tenant", office.tenant, "--json")
    assert listed.returncode == 0, listed.stderr
    facts = json.loads(listed.stdout)
    assert facts["push"] == "push"
    assert facts["last push"]
    assert facts["next renewal"] < facts["ends"]
    shown = shell("inbox", "show", inbox.name, "--tenant", office.tenant)
    assert shown.returncode == 0, shown.stderr
    assert "next renewal" in shown.stdout
