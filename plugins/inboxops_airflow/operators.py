"""The three tasks of an inbox, which hold its id and nothing else; the pulse and the drain. XCom carries counts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import structlog
from airflow.sdk import BaseOperator
from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowRuntimeError,
    AirflowSkipException,
    AirflowTaskTimeout,
)
from airflow.sdk.execution_time.timeout import timeout
from airflow.triggers.base import StartTriggerArgs

from inboxops.errors import AuthenticationFailed, InboxOpsError, ServiceAway, TransientError

log = structlog.get_logger("inboxops.task")

LOOK = "`inboxops doctor` says what can be reached, `inboxops inbox list` how each inbox stands"

PROBE_TIMEOUT = timedelta(minutes=3)
BEAT_TIMEOUT = timedelta(seconds=50)
"""Less than a minute: one that is kept is no reason for the next to wait."""
AWAY_FOR_LONG = timedelta(minutes=1)
CUT_OFF_SECONDS = 600
"""For the filing of what a fetch took in that was cut off."""


def counted(stage: Callable[..., Any], *about: Any, **more: Any) -> dict[str, Any]:
    """Run `stage(world, *about, **more)` in this process's World; its counts go to XCom.

    Failures that a retry can't help fail at once; transient ones follow the task's retry policy.
    """
    from inboxops_airflow.connections import world

    try:
        return dataclasses.asdict(stage(world(), *about, **more))
    except InboxOpsError as exc:
        _last_words(exc)
        if isinstance(exc, TransientError):
            raise
        raise AirflowFailException(str(exc)) from exc


def outlasted(stage: Callable[..., Any], *about: Any, **more: Any) -> dict[str, Any]:
    """As `counted`, of a stage of an inbox: services of our own that are away for some seconds are waited for."""
    from inboxops.stories.outlast import outlast

    return counted(lambda world: outlast(lambda: stage(world, *about, **more)))


def _last_words(exc: InboxOpsError) -> None:
    """Of a task: whose turn it is and what to do. `fix` names the command where there is one."""
    from inboxops.stories.telling import WHO

    log.error("task_failed", why=str(exc.args[0]), who_can_help=WHO[exc.kind], to_do=exc.fix or LOOK)


class InboxOperator(BaseOperator):
    """A stage of one inbox."""

    def __init__(self, *, inbox_id: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inbox_id = inbox_id


class OnlyWhenCutOff(RetryPolicy):
    """No provider's error is tried again within the run: the next poll does that, a retry would only hold the run open.

    Of a process that was killed there is no error to judge: Airflow goes by `retries` and `retry_delay` then. So it does when
    Airflow itself failed: with its API away counts can't be handed over, and mail that is durable would wait for the next poll.
    What waited for a service of our own in vain waits once more: whatever else would come is kept by the same services.
    """

    def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Any = None) -> RetryDecision:
        if isinstance(exception, AirflowRuntimeError):
            return RetryDecision.default()
        if isinstance(exception, ServiceAway):
            return RetryDecision.retry(delay=AWAY_FOR_LONG, reason=str(exception)[:500])
        return RetryDecision.fail(reason=str(exception)[:500])


class Fetch(InboxOperator):
    """By the clock it starts in the triggerer (ProbeTrigger) and goes on here only when there is mail; woken, it starts here."""

    def __init__(self, *, inbox_id: int, **kwargs: Any) -> None:
        again = {"retries": 1, "retry_delay": timedelta(seconds=1), "retry_policy": OnlyWhenCutOff()}
        super().__init__(inbox_id=inbox_id, **again, **kwargs)
        self.start_from_trigger = True
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls="inboxops_airflow.triggers.ProbeTrigger",
            trigger_kwargs={"inbox_id": inbox_id},
            next_method="execute_complete",
            next_kwargs=None,
            timeout=PROBE_TIMEOUT,
        )

    def execute(self, context: Any) -> dict[str, Any]:
        from inboxops.composition import intake

        return self._fetched(intake.fetch_woken, context)

    def execute_complete(self, context: Any, event: Any = None) -> dict[str, Any]:
        from inboxops.composition import intake

        if event and "refused" in event:
            refused = AuthenticationFailed(event["refused"], fix=event["to_do"])
            _last_words(refused)
            raise AirflowFailException(str(refused))
        return self._fetched(intake.fetch_by_clock, context)

    def _fetched(self, stage: Callable[..., Any], context: Any) -> dict[str, Any]:
        from inboxops.composition import intake

        by = f"run {context['run_id']}, try {context['ti'].try_number}"
        try:
            counts = outlasted(stage, self.inbox_id, by=by)
        except AirflowTaskTimeout:  # no Exception, so the stage itself lets it pass, and none runs behind it
            with timeout(CUT_OFF_SECONDS):  # the task's own is spent
                counted(intake.cut_off, self.inbox_id)
            raise
        if counts["skipped"]:
            raise AirflowSkipException(counts["skipped"])
        return counts


class Classify(InboxOperator):
    def execute(self, context: Any) -> dict[str, Any]:
        from inboxops.composition import intake

        return outlasted(intake.classify, self.inbox_id, careful=context["ti"].try_number > 1)


class Persist(InboxOperator):
    """Its counts and `filed_beside` of classify are together what the run filed."""

    def execute(self, context: Any) -> dict[str, Any]:
        from inboxops.composition import intake

        counts = outlasted(intake.persist, self.inbox_id)
        if not counts["outcomes"]:
            filed = (context["ti"].xcom_pull(task_ids="classify") or {}).get("filed_beside", {})
            if filed.get("outcomes"):
                log.info("nothing_left_to_file", filed_by_classify=filed)
        return counts


class Pulse(BaseOperator):
    """One beat: that this ran, and what it could reach."""

    def execute(self, context: Any) -> dict[str, Any]:
        from inboxops.composition import upkeep

        told = counted(upkeep.pulse, context["dag_run"].run_after)
        return {name: told[name] for name in ("objects", "events") if told[name]}


class PulseOfTriggerer(BaseOperator):
    """Begins and ends in the triggerer (PulseTrigger): no worker is used."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start_from_trigger = True
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls="inboxops_airflow.triggers.PulseTrigger",
            trigger_kwargs={},
            next_method="execute",
            next_kwargs=None,
            timeout=BEAT_TIMEOUT,
        )

    def execute(self, context: Any, event: Any = None) -> None:
        """Only for the abstract method's sake."""
        raise AssertionError("it ends in the triggerer")


class DrainOutbox(BaseOperator):
    """Everything that should have left after a commit and did not."""

    def execute(self, context: Any) -> dict[str, Any]:
        from inboxops.composition import upkeep

        return counted(upkeep.drain)
