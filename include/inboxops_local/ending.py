"""How a command of ours ends when it is told to: once, and with nothing left behind."""

from __future__ import annotations

import signal
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, whoever ends processes, and a terminal that was closed."""


def end_in_order() -> None:
    """From now on each of `SIGNALS` unwinds the main thread, so that whatever it holds is let go. A second one interrupts nothing.

    The command ends with 128 and the signal's number, as a shell has it.
    """

    def unwind(number: int, frame: FrameType | None) -> None:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for each in SIGNALS:
        signal.signal(each, unwind)
