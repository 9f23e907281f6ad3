"""A mailbox that comes slowly gives its place back after some minutes, and one that hangs leaves nothing unfiled and unsaid."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace

import pytest
from airflow.sdk.bases.operator import ExecutorSafeguard
from airflow.sdk.exceptions import AirflowTaskTimeout
from airflow.sdk.execution_time.timeout import timeout

from inboxops.composition import intake, resyncing
from inboxops.ports import FetchLimits
from inboxops_airflow import connections
from inboxops_airflow.operators import Fetch
from inboxops_lab.testing.processes import wait_until
from inboxops_local.standins.http import Serving
from tests.outages.conftest import Post
from tests.push.conftest import StandInAirflow
from tests.stories.test_resync import LAST_MONTH

KB = 1000
MAIL = "x" * 60 * KB
SUBJECTS = [f"Mail {number}" for number in range(8)]


@pytest.fixture
def slow(post: Post, monkeypatch: pytest.MonkeyPatch) -> Post:
    """A mailbox of eight mails, each a batch of its own."""
    monkeypatch.setattr(intake, "FetchLimits", partial(FetchLimits, batch_messages=1))
    monkeypatch.setattr(resyncing, "FetchLimits", partial(FetchLimits, batch_messages=1))
    for subject in SUBJECTS:
        post.deliver(subject, "\n".join(MAIL[at : at + 70] for at in range(0, len(MAIL), 70)))
    return post


@pytest.fixture
def minute_a_mail(slow: Post) -> Callable[[], float]:
    """The time that a link of 1 KB a second takes for what came over it."""
    return lambda: slow.proxy.passed / KB


def test_a_slow_mailbox_yields_after_some_minutes_and_is_woken_for_the_rest(
    slow: Post, minute_a_mail: Callable[[], float], airflow: Serving[StandInAirflow]
) -> None:
    runs = 0
    while (fetched := intake.fetch(slow.world, slow.box.inbox_id, clock=minute_a_mail)).more:
        runs += 1
        assert fetched.stored in (3, 4), "the batch that it is at is taken in"
        assert airflow.stand_in.wakes == [slow.box.inbox_id] * runs
        intake.file(slow.world, slow.box.inbox_id)
    assert runs == 2
    intake.file(slow.world, slow.box.inbox_id)
    slow.is_whole(*SUBJECTS)


def test_so_does_one_that_is_compared_with_its_rows(slow: Post, minute_a_mail: Callable[[], float]) -> None:
    slow.box.query("UPDATE inboxes SET imap_last_uid = %s WHERE id = %s RETURNING 1", len(SUBJECTS), slow.box.inbox_id)
    resyncing.wish(slow.world, slow.box.inbox_id, LAST_MONTH)
    stored = []
    while (fetched := intake.fetch(slow.world, slow.box.inbox_id, clock=minute_a_mail)).more:
        stored.append(fetched.stored)
        assert slow.box.inbox.resync_since == LAST_MONTH
    assert stored in ([3, 3], [4, 3], [3, 4])
    intake.file(slow.world, slow.box.inbox_id)
    slow.is_whole(*SUBJECTS)
    assert slow.box.inbox.resync_since is None


def test_a_fetch_that_airflow_cuts_off_says_so_and_what_came_is_filed_by_the_same_run(
    slow: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "world", lambda: slow.world)
    slow.proxy.holds_after = 5 * len(MAIL)

    def time_is_up() -> None:
        wait_until("some came", lambda: slow.box.states().get("stored", 0) >= 2, seconds=60)
        os.kill(os.getpid(), signal.SIGALRM)

    fetch = Fetch(task_id="fetch", inbox_id=slow.box.inbox_id)
    context = {"run_id": "scheduled__1", "ti": SimpleNamespace(try_number=1)}
    monkeypatch.setattr(ExecutorSafeguard, "test_mode", True, raising=False)
    with ThreadPoolExecutor(1) as alarm:
        with pytest.raises(AirflowTaskTimeout), timeout(120):
            rung = alarm.submit(time_is_up)
            fetch.execute_complete(context)
        rung.result()
    tickets = slow.box.tickets()
    assert len(tickets) >= 2
    assert set(slow.box.states()) == {"persisted"}
    assert "cut off" in str(slow.box.inbox.last_error)
    waking = (
        "SELECT count(*) FROM outbox WHERE kind = 'wake' AND name = %s AND done_at IS NULL AND available_at > now()"
    )
    assert slow.box.query(waking, str(slow.box.inbox_id)) == [(1,)]
    slow.proxy.holds_after = None
    slow.poll()
    slow.is_whole(*SUBJECTS)
