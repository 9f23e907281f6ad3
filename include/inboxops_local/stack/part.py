"""What a part of the local stack is: a server, or a job that has to end before others may begin."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from inboxops.errors import OperatorError

Check = Callable[[], Awaitable[bool]]


class PartFailed(OperatorError):
    """A part did not start. The message names the cause, `fix` the log file."""


@dataclass(frozen=True, slots=True)
class Part:
    """One process of the stack.

    needs: names of the parts that must be ready before this one starts.
    ready: asked again and again until it says yes; None makes this a job, which is ready once it has ended with 0.
    hang_patience: seconds after its start in which it is not asked.
    nursery: folder of the nursery that forks it (stack/nursery.py), with what stands behind `-m`; None: `argv` is executed.
    made_of: changes with what it reads of the secrets in the home's file; then, or with its environment, it starts anew when
    secrets are renewed.
    ports: TCP ports on 127.0.0.1 that it will listen on; the first one is shown.
    answers: asked every few seconds of a part that is ready: whether it says anything at all; one that is silent for long is
    started anew.
    hangs: asked likewise, for what an answer does not show: why it has to be started anew, "" while it is well.
    deadline: seconds until it must be ready, None: as long as its process lives; grace: seconds it gets between `stop_signal` and
    SIGKILL.
    user: (uid, gid) to run as; None keeps ours.
    leftovers: files it leaves outside the home, removed after it has stopped.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    needs: tuple[str, ...] = ()
    made_of: str = field(default="", repr=False)
    ready: Check | None = None
    answers: Check | None = None
    hangs: Callable[[], Awaitable[str]] | None = None
    hang_patience: float = 90.0
    ports: tuple[int, ...] = ()
    deadline: float | None = 60.0
    stop_signal: signal.Signals = signal.SIGTERM
    grace: float = 10.0
    user: tuple[int, int] | None = None
    cwd: Path | None = None
    nursery: Path | None = None
    leftovers: tuple[Path, ...] = ()

    def differs(self, other: Part) -> bool:
        """Whether a process of the one is none of the other."""
        return (self.argv, dict(self.env), self.made_of) != (other.argv, dict(other.env), other.made_of)

    @property
    def is_job(self) -> bool:
        return self.ready is None
