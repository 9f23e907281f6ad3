"""The tasks of the daily clean-up: our own leftovers, and what Airflow keeps of 288 runs a day and inbox."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator, Connection
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from inboxops_airflow.operators import counted

METADATA = "inboxops_airflow_db"


class Housekeep(BaseOperator):
    """Rows past their retention, files that no message took, objects that no row names. Of several cells one does it for all."""

    def execute(self, context: Any) -> dict[str, Any]:
        from inboxops.composition import upkeep

        done = counted(upkeep.housekeep)
        if done["skipped"]:
            raise AirflowSkipException(done["skipped"])
        return done


class CleanAirflow(BaseOperator):
    """Old runs and everything that hangs on them, by Airflow's own `airflow db clean`, and old log files.

    A task may not use the metadata database, so the command is a process of its own that gets it from the connection
    `inboxops_airflow_db`. The last scheduled run of each DAG stays, whatever its age.
    """

    def execute(self, context: Any) -> dict[str, Any]:
        from inboxops.settings import load

        days = load().keep_runs_days
        database = Connection.get(METADATA)
        environment = {
            **os.environ,
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database.get_uri().replace(
                "postgres://", "postgresql+psycopg2://", 1
            ),
        }
        environment.pop("AIRFLOW__CORE__SQL_ALCHEMY_CONN", None)
        before = datetime.now(UTC) - timedelta(days=days)
        done = subprocess.run(
            [
                *(sys.executable, "-m", "airflow", "db", "clean", "--yes", "--skip-archive", "--batch-size", "10000"),
                *("--error-on-cleanup-failure", "--clean-before-timestamp", before.isoformat()),
            ],
            env=environment,
            capture_output=True,
            text=True,
        )
        self.log.info(done.stdout)
        if done.returncode != 0:
            raise AirflowFailException(f"airflow db clean failed: {done.stderr.strip()[-2000:]}")
        return {"log_files": self._forget_logs(days), "log_objects": _forget_remote_logs(days)}

    def _forget_logs(self, days: int) -> int:
        """Delete log files of this machine untouched for so long, and folders that this leaves empty; how many files."""
        from airflow.sdk.configuration import conf

        oldest = time.time() - days * 24 * 3600
        root = Path(conf.get("logging", "base_log_folder"))
        forgotten = 0
        for folder, _, names in os.walk(root, topdown=False):
            for name in names:
                path = Path(folder, name)
                if path.is_file() and not path.is_symlink() and path.stat().st_mtime < oldest:
                    path.unlink(missing_ok=True)
                    forgotten += 1
            if Path(folder) != root and Path(folder).stat().st_mtime < oldest:
                try:
                    Path(folder).rmdir()
                except OSError:  # not empty
                    continue
        return forgotten


def _forget_remote_logs(days: int) -> int:
    """Delete task logs in S3 that are older; how many. Workers on several hosts put them there, each after its task."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook
    from airflow.sdk.configuration import conf

    if not conf.getboolean("logging", "remote_logging"):
        return 0
    hook = S3Hook(conf.get("logging", "remote_log_conn_id"))
    bucket, prefix = hook.parse_s3_url(conf.get("logging", "remote_base_log_folder"))
    oldest = datetime.now(UTC) - timedelta(days=days)
    keys = hook.list_keys(bucket, prefix or None, to_datetime=oldest)
    hook.delete_objects(bucket, keys)  # a thousand at a time
    return len(keys)
