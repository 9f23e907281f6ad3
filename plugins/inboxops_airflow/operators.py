"""The three tasks of an inbox. They hold an inbox's id and nothing else; XCom carries counts."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException
from airflow.triggers.base import StartTriggerArgs

from inboxops.errors import InboxOpsError, TransientError

PROBE_TIMEOUT = timedelta(minutes=3)


class InboxOperator(BaseOperator):
    """A stage of one inbox. Failures that a retry can't help fail at once; transient ones follow the task's retry policy."""

    def __init__(self, *, inbox_id: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inbox_id = inbox_id

    def execute(self, context: Any) -> dict[str, Any]:
        from inboxops_airflow.connections import world

        try:
            return dataclasses.asdict(self.stage(world()))
        except TransientError:
            raise
        except InboxOpsError as exc:
            raise AirflowFailException(str(exc)) from exc

    def stage(self, world: Any) -> Any:
        """Run the stage; returns its counts as a dataclass."""
        raise AssertionError("each stage says what it does")


class Fetch(InboxOperator):
    """Starts in the triggerer (ProbeTrigger) and goes on here only when there is mail."""

    def __init__(self, *, inbox_id: int, **kwargs: Any) -> None:
        super().__init__(inbox_id=inbox_id, **kwargs)
        self.start_from_trigger = True
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls="inboxops_airflow.triggers.ProbeTrigger",
            trigger_kwargs={"inbox_id": inbox_id},
            next_method="execute_complete",
            next_kwargs=None,
            timeout=PROBE_TIMEOUT,
        )

    def execute_complete(self, context: Any, event: Any = None) -> dict[str, Any]:
        return self.execute(context)

    def stage(self, world: Any) -> Any:
        fetched = world.fetch(self.inbox_id)
        if fetched.more:
            world.wake(self.inbox_id)
        return fetched


class Classify(InboxOperator):
    def stage(self, world: Any) -> Any:
        return world.classify(self.inbox_id)


class Persist(InboxOperator):
    def stage(self, world: Any) -> Any:
        return world.persist(self.inbox_id)


class DrainOutbox(BaseOperator):
    """Everything that should have left after a commit and did not."""

    def execute(self, context: Any) -> dict[str, Any]:
        from inboxops_airflow.connections import world

        return dataclasses.asdict(world().drain())
