"""`/metrics` for Prometheus: counts and ages of the whole installation, behind a token of its own, closed without one."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, HTTPException, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from psycopg.rows import dict_row

from inboxops.db.queries import sql

router = APIRouter(tags=["health"])

MEANINGS = {
    "inboxes": "Inboxes, by kind and state.",
    "inbox_errors": "Inboxes with a last error.",
    "push_silent_inboxes": "Inboxes whose push channel let mail pass.",
    "mail_unfiled": "Mail that is durable and no ticket yet.",
    "mail_unfiled_oldest_seconds": "How long the oldest of it has waited.",
    "mail_parked": "Mail that could not be read or filed.",
    "sends": "Replies that have not arrived at a mail server, by state.",
    "outbox_open": "Events and errands that are to leave.",
    "outbox_oldest_seconds": "How long the oldest of them is due.",
    "recent_verdicts": "Verdicts of the last 1,000 filed mails.",
    "arrival_to_ticket_seconds": "From a mail's arrival to its ticket, over the last 200.",
    "pulse_age_seconds": "Since something last went the whole way of a mail, by cell.",
    "pulse_hop_up": "Whether the pulse of a cell reached it.",
    "cell_inboxes": "Inboxes, by the cell whose Airflow works for them.",
    "certificate_age_seconds": "Since the last certificate, of the tenant that waits longest.",
    "certificate_findings": "What the tenants' last certificates leave open.",
    "canaries": "Canaries of the last day, by state.",
    "canary_late_inboxes": "Inboxes whose last canary is late or came back as spam.",
    "canary_not_sent_inboxes": "Inboxes whose last canary could not be sent.",
    "canary_in_doubt_inboxes": "Inboxes of whose last canary nobody knows whether it left.",
    "looks_total": "Looks at inboxes without a run, by what came of them.",
    "look_overdue_seconds": "How long the most overdue look of a cell waits.",
    "look_failing_inboxes": "Inboxes whose last looks failed.",
}
"""Name without `inboxops_` -> what Prometheus shows beside it."""


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request, authorization: Annotated[str, Header()] = "") -> Response:
    token = request.app.state.world.settings.metrics_token.get_secret_value()
    if not token:
        raise HTTPException(404, "no metrics here")
    if not hmac.compare_digest(authorization.encode(), f"Bearer {token}".encode()):
        raise HTTPException(401, "metrics need their token", headers={"WWW-Authenticate": "Bearer"})
    async with request.app.state.database.connection() as connection:
        cursor = await connection.cursor(row_factory=dict_row).execute(sql("metrics"))
        rows = await cursor.fetchall()
    registry = CollectorRegistry()
    registry.register(_Figures(rows, refused=request.app.state.tries.refused))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


class _Figures:
    """What the database said, and this process, as Prometheus collects it."""

    def __init__(self, rows: list[dict[str, Any]], *, refused: int) -> None:
        self._rows, self._refused = rows, refused

    def collect(self) -> Iterator[Metric]:
        for name, meaning in MEANINGS.items():
            mine = [row for row in self._rows if row["name"] == name]
            labels = sorted({label for row in mine for label in row["labels"]})
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            family = kind(f"inboxops_{name}", meaning, labels=labels)
            for row in mine:
                family.add_metric([str(row["labels"].get(label, "")) for label in labels], row["value"])
            yield family
        yield CounterMetricFamily("inboxops_log_ins_refused", "Log-ins refused for coming too often.", self._refused)
