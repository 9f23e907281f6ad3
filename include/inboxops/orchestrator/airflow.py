"""Airflow's REST API v2: wake an inbox by its asset's event, start runs; our plugin's: have the list of inboxes read."""

from __future__ import annotations

import threading
import time
from typing import Any
from urllib.parse import quote

import httpx

from inboxops.core.inbox import asset_uri
from inboxops.errors import OperatorError, TransientError

TOKEN_SECONDS = 3600.0  # well below Airflow's default jwt_expiration_time of a day


class Airflow:
    """A client that logs in when it has to. Raises TransientError while Airflow is away, OperatorError when it refuses us."""

    def __init__(self, url: str, username: str, password: str, *, cell: str = "", timeout: float = 10.0) -> None:
        """cell: which one it is taken for; "" when that is no matter. timeout: seconds."""
        self._cell = cell
        self._http = httpx.Client(base_url=url.rstrip("/"), timeout=timeout)
        self._login = {"username": username, "password": password}
        self._token, self._token_until = "", 0.0
        self._lock = threading.Lock()
        self._assets: dict[int, int] = {}

    def wake(self, inbox_id: int) -> None:
        """One event of the inbox's asset. Events during a run coalesce into one more run, so waking twice is harmless.

        Raises TransientError also while Airflow has not seen the inbox's DAG yet.
        """
        if inbox_id not in self._assets:
            self._assets[inbox_id] = self._asset_id(inbox_id)
        response = self._call("POST", "/api/v2/assets/events", json={"asset_id": self._assets[inbox_id], "extra": {}})
        if response.status_code == 404:
            del self._assets[inbox_id]
            raise TransientError(f"Airflow does not know the asset of inbox {inbox_id} yet")
        self._expect(response, 200)

    def start(self, dag_id: str, run_id: str, conf: dict[str, Any] | None = None) -> bool:
        """Start a run under a name of our own; False when it is there already (Airflow answers 409)."""
        response = self._call(
            "POST",
            f"/api/v2/dags/{quote(dag_id, safe='')}/dagRuns",
            json={"dag_run_id": run_id, "logical_date": None, "conf": conf or {}},
        )
        if response.status_code == 409:
            return False
        if response.status_code == 404:
            raise TransientError(f"Airflow does not know the DAG {dag_id} yet")
        self._expect(response, 200)
        return True

    def parse_again(self, dag_id: str) -> None:
        """Have the file that makes a DAG of each inbox parsed now, so that a changed list shows at once.

        Raises OperatorError, too, when it says that it is another cell's Airflow than it is taken for.
        """
        response = self._call("PUT", f"/inboxops-roster/{quote(dag_id, safe='')}")
        if response.status_code == 404:
            raise TransientError(f"Airflow does not know the DAG {dag_id} yet")
        answers = (self._expect(response, 201) or {}).get("cell", self._cell)  # one of a version before does not say
        if self._cell and answers != self._cell:
            raise OperatorError(
                f"the Airflow at {self._http.base_url} is that of cell {answers}, and taken for that of {self._cell}",
                fix="Correct the url in INBOXOPS_CELLS, INBOXOPS_AIRFLOW_URL, or INBOXOPS_CELL of that Airflow's processes",
            )

    def get(self, path: str, **parameters: Any) -> Any:
        """The JSON answer of a GET under /api/v2."""
        return self._expect(self._call("GET", f"/api/v2{path}", params=parameters), 200)

    def _asset_id(self, inbox_id: int) -> int:
        uri = asset_uri(inbox_id)
        # Inbox 1's is a part of those of 10 to 19, 100 to 199 ... as well: by name it comes before all of them.
        for asset in self.get("/assets", uri_pattern=uri, order_by="uri", limit=1)["assets"]:
            if asset["uri"] == uri:
                return int(asset["id"])
        raise TransientError(f"Airflow does not know the asset of inbox {inbox_id} yet")

    def _call(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, headers=self._bearer(), **arguments)
            if response.status_code == 401:  # a restart changed the key that signs tokens
                response = self._http.request(method, path, headers=self._bearer(fresh=True), **arguments)
        except httpx.HTTPError as exc:
            raise TransientError(
                f"Airflow is away: {exc}", fix="Is its api-server running? `inboxops doctor` tells"
            ) from exc
        if response.status_code in (429, 502, 503, 504):
            raise TransientError(f"Airflow answers {response.status_code}")
        return response

    def _bearer(self, *, fresh: bool = False) -> dict[str, str]:
        with self._lock:
            if fresh or time.monotonic() > self._token_until:
                response = self._http.post("/auth/token", json=self._login)
                answer = self._expect(response, 201)
                self._token, self._token_until = answer["access_token"], time.monotonic() + TOKEN_SECONDS
            return {"Authorization": f"Bearer {self._token}"}

    @staticmethod
    def _expect(response: httpx.Response, status: int) -> Any:
        """What it says, in JSON; a proxy's page in its place delivers nothing."""
        if response.status_code == status:
            try:
                return response.json()
            except ValueError as exc:
                raise TransientError(
                    f"what answers to {response.request.method} {response.request.url.path} in place of Airflow speaks no JSON",
                    fix="Check INBOXOPS_AIRFLOW_URL, and what stands before it, if this lasts",
                ) from exc
        message = f"Airflow answers {response.status_code} to {response.request.method} {response.request.url.path}"
        if response.status_code >= 500:
            raise TransientError(message)
        raise OperatorError(
            message,
            fix="Check INBOXOPS_AIRFLOW_URL, _USERNAME and _PASSWORD" if response.status_code in (401, 403) else "",
        )
