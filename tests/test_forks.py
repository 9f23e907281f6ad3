"""Work in forked processes: every item once, whatever dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from inboxops.composition.forks import Begin, Died, spread
from inboxops.errors import OperatorError, TransientError

CHUNKS = [list(range(start, start + 10)) for start in range(0, 100, 10)]


def doubling(chunk: Sequence[int], begin: Begin) -> list[int]:
    return [2 * item for item in chunk]


def test_every_item_comes_back_once() -> None:
    results = list(spread(lambda: doubling, CHUNKS, processes=3))
    assert sorted(item for result in results if isinstance(result, list) for item in result) == list(range(0, 200, 2))


def test_the_work_is_done_by_as_many_other_processes_as_asked_for() -> None:
    def who(chunk: Sequence[int], begin: Begin) -> int:
        return os.getpid()

    pids = {pid for pid in spread(lambda: who, CHUNKS, processes=2) if isinstance(pid, int)}
    assert len(pids) == 2
    assert os.getpid() not in pids


def test_a_process_that_dies_costs_the_item_it_died_on_and_no_other() -> None:
    def deadly(chunk: Sequence[int], begin: Begin) -> list[int]:
        for position, item in enumerate(chunk):
            begin(position)
            if item == 42:
                os.kill(os.getpid(), signal.SIGKILL)
        return list(chunk)

    results = list(spread(lambda: deadly, CHUNKS, processes=2))
    assert [result for result in results if isinstance(result, Died)] == [Died(42, "signal 9")]
    done = sorted(item for result in results if isinstance(result, list) for item in result)
    assert done == [item for item in range(100) if item != 42]


def test_many_deadly_items_are_all_told_apart_from_the_others() -> None:
    def deadly(chunk: Sequence[int], begin: Begin) -> list[int]:
        for position, item in enumerate(chunk):
            begin(position)
            if item % 12 == 5:
                os.kill(os.getpid(), signal.SIGKILL)
        return list(chunk)

    results = list(spread(lambda: deadly, CHUNKS, processes=2))
    assert sorted(result.item for result in results if isinstance(result, Died)) == list(range(5, 100, 12))
    done = sorted(item for result in results if isinstance(result, list) for item in result)
    assert done == [item for item in range(100) if item % 12 != 5]


def test_a_process_that_dies_before_it_begins_with_its_next_chunk_costs_nothing(tmp_path: Path) -> None:
    """Not the item that stood in the place where the chunk before it ended."""

    def killed(chunk: Sequence[int], begin: Begin) -> list[int]:
        first = tmp_path / "first"
        if chunk[0] == 90 and not first.exists():
            first.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        for position, _ in enumerate(chunk):
            begin(position)
        return list(chunk)

    chunks = [*CHUNKS[:-1], [90]]  # shorter than the place
    results = list(spread(lambda: killed, chunks, processes=1))
    assert sorted(item for result in results if isinstance(result, list) for item in result) == list(range(91))


def test_an_item_that_was_alone_in_its_chunk_is_tried_once_more(tmp_path: Path) -> None:
    def killed(chunk: Sequence[int], begin: Begin) -> list[int]:
        begin(0)
        first = tmp_path / "first"
        if not first.exists():
            first.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return list(chunk)

    assert list(spread(lambda: killed, [[7]], processes=1)) == [[7]]


def test_processes_that_die_before_any_item_are_no_items_fault() -> None:
    def prepare() -> None:
        os._exit(3)

    with pytest.raises(OperatorError, match="status 3"):
        list(spread(prepare, CHUNKS, processes=2))  # type: ignore[arg-type]


def test_what_the_work_raises_is_raised_here_and_leaves_no_process() -> None:
    def away(chunk: Sequence[int], begin: Begin) -> None:
        raise TransientError("the database is away", retry_after=3)

    before = set(psutil.Process().children())
    with pytest.raises(TransientError, match="away") as caught:
        list(spread(lambda: away, CHUNKS, processes=2))
    assert caught.value.retry_after == 3
    assert set(psutil.Process().children()) == before


def test_it_works_where_multiprocessing_may_not_as_in_a_celery_worker() -> None:
    fork = multiprocessing.get_context("fork")
    answers = fork.SimpleQueue()

    def daemon() -> None:
        answers.put(len(list(spread(lambda: doubling, CHUNKS, processes=2))))

    process = fork.Process(target=daemon, daemon=True)
    process.start()
    process.join(30)
    assert process.exitcode == 0
    assert answers.get() == len(CHUNKS)
