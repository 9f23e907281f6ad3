"""The supervisor: starts the parts in order, watches them, starts them again, and ends all of them.

One task tends one part. Nothing here knows what the parts are.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import psutil

from inboxops.cancelling import cancelled
from inboxops.errors import OperatorError
from inboxops_local.stack.children import Child, start
from inboxops_local.stack.part import Part, PartFailed
from inboxops_local.stack.record import RUN_VARIABLE, Identity, PartRecord, Record, end, members, strays
from inboxops_local.stack.spawn import adopt_orphans, bound
from inboxops_local.stack.watch import LOG

Answer = TypeVar("Answer")
Notify = Callable[[str, PartRecord], None]

STEADY_SECONDS = 20.0  # a part that was ready this long is forgiven its earlier restarts
LONGEST_PAUSE = 15.0  # seconds between two restarts: whatever was killed, and however often, is back within a minute
LAST_WORDS = 1.5  # seconds between a second SIGTERM and SIGKILL
RENEWAL_SECONDS = 300.0  # for everything to be ready again that secrets are renewed for
HANG_POLL = 5.0  # seconds between two questions whether a part hangs; two answers in a row count
SILENT_SECONDS = 45.0  # without any answer, for a part that can be asked for one
ASKED_SECONDS = 10.0  # for an answer, whatever way it is asked for
HUNG_GRACE = 2.0  # seconds that a part which hangs gets to end: it seldom hears a signal
STILL_SECONDS = 60.0  # between two lines that a part without a deadline is still starting
POLL = 0.1  # seconds between two looks at a part that is starting


class Supervisor:
    """Runs `parts` until `stop()`. Everything it knows is in `record`, which it keeps on disk.

    again: the command that the watch starts should we be killed, empty for none. missed: when that last happened, "" for never.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        home: Path,
        record_path: Path,
        port_base: int,
        notify: Notify,
        again: Sequence[str] = (),
        missed: str = "",
    ) -> None:
        self._again = again
        self._parts = {part.name: part for part in parts}
        self._logs, self._own_log = home / "logs", home / LOG
        self._record_path = record_path
        self._notify = notify
        self.record = Record(
            run=uuid.uuid4().hex,
            supervisor=Identity.of(os.getpid()),
            port_base=port_base,
            parts={
                part.name: PartRecord(ports=part.ports, log=str(self._log(part)), grace=part.grace) for part in parts
            },
            missed=missed,
        )
        self._ready = {part.name: asyncio.Event() for part in parts}
        # Those that were ready once, as all were whose supervisor was missed: should they fall, they are started again.
        self._begun = set(self._parts) if missed else set()
        self._births = 0  # children that are being made: ours before we know of them
        self._children: dict[str, Child] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._keeper: asyncio.Task[None] | None = None
        self._watch: subprocess.Popen[bytes] | None = None
        self._stopping = False

    async def start(self) -> None:
        """Start every part and wait until all are ready.

        Raises PartFailed for the first part that can't be started; what was started goes on until `stop()`.
        """
        adopt_orphans()
        self._look_after()  # the watch comes first: with our record that of the run before us waits for nobody any more
        self.record.write(self._record_path)
        self._keeper = asyncio.create_task(self._keep())
        self._tasks = {name: asyncio.create_task(self._tend(part)) for name, part in self._parts.items()}
        waiting = {asyncio.create_task(event.wait()) for event in self._ready.values()}
        try:
            while waiting:
                done, _ = await asyncio.wait(waiting | set(self._tasks.values()), return_when=asyncio.FIRST_COMPLETED)
                for task in done & set(self._tasks.values()):
                    await task  # raises what went wrong; a job that is done has set its event
                waiting -= done
                for name, task in list(self._tasks.items()):
                    if task in done:
                        del self._tasks[name]
        finally:
            for task in waiting:
                task.cancel()

    async def renew(self, parts: Sequence[Part]) -> None:
        """Start anew what differs from what runs, and what needs it; all of that has ended before the first of it starts.

        Returns when it is ready, or after RENEWAL_SECONDS: what is not by then is tried again, as after any fall.
        """
        wanted = {part.name: part for part in parts if part.name in self._parts}
        moved = {name for name, part in wanted.items() if part.differs(self._parts[name])}
        while more := {name for name, part in wanted.items() if moved & set(part.needs)} - moved:
            moved |= more
        for name in moved:
            self._set(self._parts[name], "renewing")
        await self._end_parts(moved)
        for name in moved:
            self._parts[name] = wanted[name]
            self._ready[name].clear()
        self._tasks |= {name: asyncio.create_task(self._tend(wanted[name])) for name in moved}
        with suppress(TimeoutError):
            async with asyncio.timeout(RENEWAL_SECONDS):
                for name in moved:
                    await self._ready[name].wait()
        self.renewed()

    def renewed(self, *, refused: str = "") -> None:
        """Say that the secrets were read again. refused: why they could not be: what runs goes on as it is."""
        self.record.renewals += 1
        self.record.refused = refused
        with suppress(OSError):  # a full disk, as in `_set`
            self.record.write(self._record_path)

    async def _end_parts(self, names: Collection[str]) -> None:
        """End them and tend them no more, the ones that others need last."""
        tending = [task for name in names if (task := self._tasks.pop(name, None))]
        await cancelled(tending)
        ended = {name: asyncio.Event() for name in names}

        async def end_in_order(part: Part) -> None:
            for name in names:
                if part.name in self._parts[name].needs:
                    await ended[name].wait()
            try:
                await self._end_part(part)
            finally:
                ended[part.name].set()

        ends = await asyncio.gather(*(end_in_order(self._parts[name]) for name in names), return_exceptions=True)
        for failed in ends:
            if failed is not None:
                raise failed

    async def stop(self) -> None:
        """End every part, the ones that others need last, and whatever they left behind.

        Raises OperatorError when something does not end even when killed: the record stays, for the next command to clear up by.
        """
        self._stopping = True
        self.record.ends = True
        try:
            self.record.write(self._record_path)
        except OSError:  # a full disk: where it can't be said, there is nothing that the watch would go by
            self._record_path.unlink(missing_ok=True)
        await self._end_parts(list(self._parts))
        if self._keeper:
            self._keeper.cancel()
        await asyncio.to_thread(end, self._left_over, grace=2.0)
        self._reap()
        for part in self._parts.values():
            for path in part.leftovers:
                path.unlink(missing_ok=True)
        self._record_path.unlink(missing_ok=True)
        self._stop_watch()

    # -- one part ----------------------------------------------------------------------------------------------------

    async def _tend(self, part: Part) -> None:
        for need in part.needs:
            await self._ready[need].wait()
        pause = 1.0
        while True:
            try:
                ready = await self._begin(part)
                if part.is_job:
                    return
                reason = await self._until_it_falls(part)
                if time.monotonic() - ready > STEADY_SECONDS:
                    pause = 1.0
            except Exception as exc:  # also what nobody foresaw: a part that was there once must come back
                if part.name not in self._begun:
                    self._set(part, "failed", detail=str(exc))
                    raise
                reason = str(exc) or repr(exc)
            try:
                await self._end_part(part, grace=HUNG_GRACE)
            except OperatorError as exc:  # it does not end even when killed; its port may be free all the same
                reason = f"{reason}; {exc}"
            entry = self.record.parts[part.name]
            entry.restarts += 1
            entry.why = f"{datetime.now():%H:%M:%S} {reason}"
            self._set(part, "restarting", detail=f"{reason}; again in {pause:.0f} s (log: {self._log(part)})")
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _begin(self, part: Part) -> float:
        """Start it and wait until it is ready: when that was, by the monotonic clock."""
        began = time.monotonic()
        self._set(part, "starting")
        child = await self._spawn(part)
        await self._until_ready(part, child)
        self._set(part, "done" if part.is_job else "ready", detail=f"{time.monotonic() - began:.1f} s")
        self._begun.add(part.name)
        self._ready[part.name].set()
        if part.is_job:
            del self._children[part.name]
        return time.monotonic()

    async def _until_it_falls(self, part: Part) -> str:
        """Why it did."""
        child = self._children[part.name]
        hung = await self._until_it_ends_or_hangs(part, child)
        return hung or f"ended with {_status(await child.wait())}: {self._cause(part)}"

    async def _spawn(self, part: Part) -> Child:
        marked = replace(part, env={**part.env, RUN_VARIABLE: self.record.run})
        self._births += 1
        try:
            child = await start(marked, self._log(part))
            self._children[part.name] = child
        finally:
            self._births -= 1
        with suppress(psutil.NoSuchProcess):  # it may have ended already; `_until_ready` says so
            self.record.parts[part.name].process = Identity.of(child.pid)
        with suppress(OSError):  # a full disk, as in `_set`
            self.record.write(self._record_path)
        return child

    async def _until_ready(self, part: Part, child: Child) -> None:
        exited = asyncio.create_task(child.wait())
        began = said = time.monotonic()
        deadline = math.inf if part.deadline is None else part.deadline
        try:
            while time.monotonic() - began < deadline:
                if exited.done():
                    if part.is_job and exited.result() == 0:
                        return
                    raise PartFailed(f"{part.name} did not start: {self._cause(part)}", fix=f"Log: {self._log(part)}")
                if part.ready is not None and await part.ready():
                    return
                if part.deadline is None and time.monotonic() - said > STILL_SECONDS:
                    said = time.monotonic()
                    self._set(part, "starting", detail=f"for {said - began:.0f} s: {self._cause(part)}")
                await asyncio.wait({exited}, timeout=POLL)
        finally:
            exited.cancel()
        raise PartFailed(
            f"{part.name} was not ready within {deadline:.0f} s: {self._cause(part)}",
            fix=f"Log: {self._log(part)}",
        )

    async def _until_it_ends_or_hangs(self, part: Part, child: Child) -> str:
        """ "" when it has ended, else why it is taken to hang. A part that has just started gets the time that the check allows."""
        exited = asyncio.create_task(child.wait())
        began, told = time.monotonic(), 0
        looked = heard = began
        try:
            while not exited.done():
                await asyncio.wait({exited}, timeout=HANG_POLL)
                if exited.done():
                    continue
                if part.answers is not None:
                    # Who was kept from asking can't blame silence.
                    is_late = time.monotonic() - looked > HANG_POLL + ASKED_SECONDS
                    is_heard = await self._asked(part, part.answers, otherwise=False)
                    looked = time.monotonic()
                    heard = looked if is_heard or is_late else heard
                    if looked - heard > SILENT_SECONDS:
                        return f"hangs: no answer for {looked - heard:.0f} s"
                if part.hangs is None or time.monotonic() - began < part.hang_patience:
                    continue
                reason = await self._asked(part, part.hangs, otherwise="")
                told = told + 1 if reason else 0
                if told >= 2:
                    return f"hangs: {reason}"
        finally:
            exited.cancel()
        return ""

    async def _asked(self, part: Part, ask: Callable[[], Awaitable[Answer]], *, otherwise: Answer) -> Answer:
        """What it says in time. A question that fails is no fault of the part's: nothing is heard then, and `status` has why."""
        try:
            async with asyncio.timeout(ASKED_SECONDS):
                return await ask()
        except Exception as exc:  # noqa: BLE001 - whatever is wrong with the question
            entry, said = self.record.parts[part.name], f"could not be asked: {exc!r}"[:200]
            if entry.detail != said:
                self._set(part, entry.state, detail=said)
            return otherwise

    async def _end_part(self, part: Part, *, grace: float | None = None) -> None:
        """Signal the leader alone, so that it can end its own children in order; then kill what is left of its session."""
        child = self._children.get(part.name)
        if child is None:
            return
        if child.returncode is None:
            with suppress(ProcessLookupError):
                child.send_signal(part.stop_signal)
            with suppress(TimeoutError):
                async with asyncio.timeout(part.grace if grace is None else grace):
                    await child.wait()
        identity = self.record.parts[part.name].process
        await asyncio.to_thread(
            end, lambda: [*(members(identity) if identity else ()), *self._orphans()], grace=LAST_WORDS
        )
        await child.wait()
        del self._children[part.name]
        if self._stopping:
            self._set(part, "stopped")

    # -- all of them -------------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self._look_after()

    def _look_after(self) -> None:
        """Bury adopted orphans that have ended, see that there is a watch, and keep logs within bounds.

        What fails is said, and tried again.
        """
        trouble = ""
        try:
            self._reap()
            if self._watch is None or self._watch.poll() is not None:
                self._start_watch()
            for log in (self._own_log, *map(self._log, self._parts.values())):
                with suppress(OSError):  # a disk that is full is no trouble of ours
                    bound(log)
        except Exception as exc:  # noqa: BLE001 - whatever it is, it must not end the keeper unseen
            trouble = f"the supervisor can't look after everything: {exc!r}"[:300]
        if trouble == self.record.trouble:
            return
        self.record.trouble = trouble
        with suppress(OSError):
            self.record.write(self._record_path)
        with suppress(OSError):
            self._notify("supervisor", PartRecord("ready", detail=trouble or "it looks after everything again"))

    def _reap(self) -> None:
        """Bury what was adopted: never a child of our own making, whose exit status someone is waiting for."""
        ours = {child.pid for child in self._children.values()} | ({self._watch.pid} if self._watch else set())
        for child in psutil.Process().children():
            with suppress(psutil.Error, ChildProcessError, ProcessLookupError):
                adopted = child.pid not in ours and os.getsid(child.pid) != os.getsid(0)
                if adopted and child.status() == psutil.STATUS_ZOMBIE:
                    os.waitpid(child.pid, os.WNOHANG)

    def _orphans(self) -> list[psutil.Process]:
        """What parts that have gone left to us, in sessions that lead to no part that lives: each of PostgreSQL's has its own.

        Nothing while a child is being made.
        """
        adopted = [child for child in psutil.Process().children() if _lives(child)]
        if self._births:
            return []
        known = {os.getpid(), *([self._watch.pid] if self._watch else [])}
        known |= {child.pid for child in list(self._children.values()) if child.returncode is None}
        found = []
        for child in adopted:
            with suppress(ProcessLookupError):
                if not {child.pid, os.getsid(child.pid)} & (known | {os.getsid(0)}):
                    found.append(child)
        return found

    def _left_over(self) -> list[psutil.Process]:
        """Descendants that outlived their part: adopted by us, whatever session they are in."""
        watch = {self._watch.pid} if self._watch else set()
        found = [child for child in psutil.Process().children(recursive=True) if child.pid not in watch]
        return [child for child in (*found, *strays(self.record.run)) if _lives(child)]

    def _start_watch(self) -> None:
        self._stop_watch()
        self._births += 1
        try:
            self._watch = subprocess.Popen(
                [
                    *(sys.executable, "-m", "inboxops_local.stack.watch"),
                    *(str(self._record_path), self.record.run, *self._again),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        finally:
            self._births -= 1

    def _stop_watch(self) -> None:
        if self._watch is not None:
            assert self._watch.stdin is not None
            self._watch.stdin.close()
            self._watch.wait()
            self._watch = None

    # -- what is said about it ---------------------------------------------------------------------------------------

    def _set(self, part: Part, state: str, *, detail: str = "") -> None:
        entry = self.record.parts[part.name]
        entry.state, entry.detail = state, detail
        with suppress(OSError):  # a full disk: what runs goes on, and ends in order
            self.record.write(self._record_path)
        with suppress(OSError):  # a terminal that was closed: nobody is there to read it
            self._notify(part.name, entry)

    def _log(self, part: Part) -> Path:
        return self._logs / f"{part.name}.log"

    def _cause(self, part: Part) -> str:
        return cause(self._log(part))


_COMPLAINT = re.compile(r"\b(FATAL|PANIC|CRITICAL|[A-Za-z]*Error|[A-Za-z]*Exception|error|fatal|failed|denied)\b")


def cause(log: Path) -> str:
    """The line at the end of a log that says most about why its program gave up."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16_384))
            lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    except OSError as exc:
        return f"its log can't be read ({exc.strerror})"
    complaints = [line for line in lines[-40:] if _COMPLAINT.search(line)]
    return (complaints or lines or ["it said nothing"])[-1][:300].rstrip(".")


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


def _status(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"status {code}"
