"""The task that does what a replay's row says is to be done. It takes nothing but the replay's number from whoever starts it."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from inboxops_airflow.operators import counted


class ReplayMail(BaseOperator):
    """conf: replay_id. Of what else a run is told nothing is looked at: scope, groups and tenant are the row's. One that is at rest
    is left alone, and a run that was killed is gone on with."""

    def execute(self, context: Any) -> dict[str, Any]:
        from inboxops.composition import replaying

        try:
            replay_id = int(context["params"]["replay_id"])
        except (KeyError, TypeError, ValueError) as exc:
            raise AirflowFailException(
                "a replay run needs replay_id: `inboxops replay list` shows the numbers"
            ) from exc
        done = counted(replaying.run, replay_id)
        if done["skipped"]:
            raise AirflowSkipException(done["skipped"])
        return done
