"""Events leave beside the work that commits them."""

from __future__ import annotations

import threading

import pytest

from inboxops.stories.publish import alongside


def test_a_bus_that_hangs_is_waited_for_twice_at_most_however_much_is_committed_meanwhile() -> None:
    hanging, begun = threading.Event(), threading.Event()
    tries = []

    def publish() -> None:
        tries.append(len(tries))
        begun.set()
        assert hanging.wait(30)

    with alongside(publish) as committed:
        committed()
        assert begun.wait(30)
        for _ in range(20):
            committed()
        hanging.set()
    assert len(tries) == 2, "the try under way, and one that sees all that was committed behind its beginning"


def test_what_goes_wrong_beside_the_work_is_told_when_it_is_over() -> None:
    def publish() -> None:
        raise RuntimeError("no bus at all")

    with pytest.raises(RuntimeError, match="no bus at all"), alongside(publish) as committed:
        committed()
