"""`inboxops bench logs`: what a task's lines about single mails cost, by the same backlog with them and without, in turn."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from inboxops.errors import OperatorError
from inboxops_lab.bench.place import Place, place
from inboxops_lab.bench.stages import staged
from inboxops_local.demo.draft import Mail

USER = "backlog"
ADDRESS = f"{USER}@bench.example"


@dataclass(frozen=True, slots=True)
class Logged:
    """CPU-seconds of the stages, and of what stands for Airflow's supervisor, over all rounds.

    ratio: all of them with lines to those without; ratios: of each round. Runs differ by more than lines cost, so those of the last
    log, `lines` in `bytes`, are written again many times over: `line_cpu_seconds` each, `share` of a round without them.
    """

    messages: int
    rounds: int
    cpu_seconds_with: float
    cpu_seconds_without: float
    supervisor_cpu_seconds: float
    ratio: float
    ratios: list[float]
    lines: int
    bytes: int
    line_cpu_seconds: float
    share: float


def logs(mails: Iterable[Mail], count: int, *, rounds: int, say: Callable[[str], None]) -> Logged:
    """mails: `count` of them. Raises OperatorError without Dovecot, or when a message is missing at the end."""
    told: list[float] = []
    mute: list[float] = []
    supervisor, text = 0.0, b""
    with place("--only=services") as here:
        here.add_user(USER)
        say(f"writing {count} messages into the mailbox")
        for mail in mails:
            here.dovecot.append(USER, mail.raw, when=mail.received)
        _take(here, "warm", count, "--mute")  # Dovecot's index, PostgreSQL's caches
        for number in range(rounds):
            for loud in (number % 2 == 0, number % 2 == 1):  # what comes second finds a larger database
                say(f"round {number + 1} of {rounds}, {'with' if loud else 'without'} lines")
                if not loud:
                    mute.append(sum(_take(here, f"mute-{number}", count, "--mute").values()))
                    continue
                log = here.home / f"round-{number}.log"
                used = _take(here, f"told-{number}", count, "--log", str(log))
                told.append(sum(used.values()))
                supervisor += used["supervisor"]
                text = log.read_bytes()
        line = _line(here, log)
    return Logged(
        messages=count,
        rounds=rounds,
        cpu_seconds_with=round(sum(told), 2),
        cpu_seconds_without=round(sum(mute), 2),
        supervisor_cpu_seconds=round(supervisor, 3),
        ratio=round(sum(told) / sum(mute), 4),
        ratios=[round(one / other, 3) for one, other in zip(told, mute, strict=True)],
        lines=text.count(b"\n"),
        bytes=len(text),
        line_cpu_seconds=round(line, 7),
        share=round(text.count(b"\n") * line / (sum(mute) / rounds), 4),
    )


def _line(here: Place, log: Path) -> float:
    command = [sys.executable, "-m", "inboxops_lab.bench.tasklog", str(log)]
    environment = {**here.environment(), "AIRFLOW_HOME": str(here.home / "airflow")}
    return float(subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout)


def _take(here: Place, name: str, count: int, *options: str) -> dict[str, float]:
    """CPU-seconds by stage of an inbox that takes in the whole mailbox."""
    inbox_id = here.add_inbox(name, USER, first_sync_messages=count, plain=True)
    used: dict[str, float] = {}
    for done in staged(here, inbox_id, *options):
        used[done["stage"]] = used.get(done["stage"], 0.0) + done["cpu_seconds"]
    states = here.world.inbound.counts(inbox_id)
    if sum(states.values()) != count or states.keys() & {"stored", "classified", "parked"}:
        raise OperatorError(f"not all {count} messages were filed: {states}")
    return used
