"""Have Airflow read the list of inboxes now: what our API asks when one was added, paused or removed.

Airflow's own way, `PUT /parseDagFile`, needs the right to change every DAG of the file. This needs the right to start the one that
is always there, which the API's account has.
"""

from __future__ import annotations

from contextlib import suppress

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import requires_access_dag
from airflow.models.dag import DagModel
from airflow.models.dagbag import DagPriorityParsingRequest
from fastapi import Depends, FastAPI, HTTPException
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from inboxops.core.inbox import ROSTER_DAG
from inboxops_airflow.roster import own_cell

app = FastAPI(title="InboxOps roster", docs_url=None, redoc_url=None, openapi_url=None)


@app.put(
    "/{dag_id}", status_code=201, dependencies=[Depends(requires_access_dag("POST", access_entity=DagAccessEntity.RUN))]
)
def parse(dag_id: str, session: SessionDep) -> dict[str, str]:
    """The file of `ROSTER_DAG` is parsed next; answers whose list that is. 404 while Airflow does not know it yet."""
    found = session.scalar(select(DagModel).where(DagModel.dag_id == ROSTER_DAG)) if dag_id == ROSTER_DAG else None
    if found is None or found.relative_fileloc is None:
        raise HTTPException(404, f"Airflow does not know the DAG {ROSTER_DAG} yet")
    with suppress(IntegrityError), session.begin_nested():  # asked for already
        session.add(DagPriorityParsingRequest(found.bundle_name, found.relative_fileloc))
    return {"cell": own_cell()}
