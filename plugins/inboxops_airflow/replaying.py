"""The task that does what a replay's row says is to be done. It takes nothing but the replay's number from whoever starts it."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from inboxops_airflow import conf
from inboxops_airflow.operators import counted


class ReplayMail(BaseOperator):
    """conf: replay_id. Of what else a run is told nothing is looked at: scope, groups and tenant are the row's. One that is at rest
    is left alone, and a run that was killed is gone on with."""

    def execute(self, context: Any) -> dict[str, Any]:
        from inboxops.composition import replaying

        done = counted(replaying.run, conf.number(context, "replay_id"))
        if done["skipped"]:
            raise AirflowSkipException(done["skipped"])
        return done
