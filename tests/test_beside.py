"""Work beside: one more process, whose failure is none of the one that forked it, and which ends with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from typing import Any

import psutil
import pytest

from inboxops.composition.beside import Beside, Calls
from inboxops.composition.forks import Begin, spread
from inboxops.errors import TransientError
from inboxops_lab.testing.processes import wait_until

SECONDS = 20


def counting(calls: Calls) -> Iterator[int]:
    """One result for each call that was heard alone."""
    number = 0
    while calls.wait():
        number += 1
        yield number


def children() -> set[psutil.Process]:
    return set(psutil.Process().children())


def test_it_works_when_it_is_called_and_what_it_did_comes_back() -> None:
    before = children()
    with Beside(counting) as beside:
        beside.call()
        assert len(children() - before) == 1
        results, why = beside.end(seconds=SECONDS)
    assert results in ([], [1]), "it may hear the end before it came to what it was called for"
    assert why == ""
    assert children() == before


def test_without_a_call_there_is_no_process() -> None:
    before = children()
    with Beside(counting) as beside:
        assert children() == before
        assert beside.end(seconds=SECONDS) == ([], "")


def test_what_one_did_before_it_was_killed_is_known_and_how_it_ended() -> None:
    def killed(calls: Calls) -> Iterator[int]:
        calls.wait()
        yield 1
        os.kill(os.getpid(), signal.SIGKILL)

    before = children()
    with Beside(killed) as beside:
        beside.call()
        wait_until("it ends", lambda: not any(map(alive, children() - before)))
        beside.call()  # to nobody
        assert beside.end(seconds=SECONDS) == ([1], "signal 9")


def test_an_error_is_told_and_raised_nowhere() -> None:
    def away(calls: Calls) -> Iterator[int]:
        calls.wait()
        yield 1
        raise TransientError("the database is away")

    before = children()
    with Beside(away) as beside:
        beside.call()
        wait_until("it ends", lambda: not any(map(alive, children() - before)))
        assert beside.end(seconds=SECONDS) == ([1], "the database is away")


def test_one_that_does_not_end_is_killed() -> None:
    def stuck(calls: Calls) -> Iterator[int]:
        time.sleep(600)
        yield 1

    before = children()
    with Beside(stuck) as beside:
        beside.call()
        assert beside.end(seconds=0.1) == ([], "it did not end within 0 s")
        assert children() == before


def test_a_block_that_is_left_by_an_error_leaves_no_process() -> None:
    before = children()
    with pytest.raises(TransientError), Beside(counting) as beside:
        beside.call()
        raise TransientError("reading failed")
    assert children() == before


def test_it_and_the_readers_end_with_the_process_that_forked_them_also_when_that_is_killed() -> None:
    """None of them holds another one's pipe open, not even a reader that came after it, in the place of one that died."""
    fork = multiprocessing.get_context("fork")
    pids: Any = fork.SimpleQueue()

    def waits(calls: Calls) -> Iterator[int]:
        calls.wait()
        yield os.getpid()
        calls.wait()

    def dies_once(chunk: Sequence[int], begin: Begin) -> int:
        begin(0)
        if chunk == [2]:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0

    def chunks() -> Iterator[list[int]]:
        yield from ([number] for number in range(8))
        pids.put([child.pid for child in children()])
        time.sleep(600)

    def task() -> None:
        with Beside(waits) as beside:
            for _ in spread(lambda: dies_once, chunks(), processes=2):
                beside.call()

    process = fork.Process(target=task, daemon=True)
    process.start()
    forked = [psutil.Process(pid) for pid in pids.get()]
    assert len(forked) == 3
    process.kill()
    process.join()
    wait_until("all three are gone", lambda: not any(map(alive, forked)))


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
