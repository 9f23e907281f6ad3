"""`/metrics` for Prometheus: counts and ages of the whole installation, behind a token of its own, closed without one."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Header, HTTPException, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from psycopg.rows import dict_row

from inboxops.db.errors import translated
from inboxops.db.queries import sql

router = APIRouter(tags=["health"])


@dataclass(frozen=True, slots=True)
class Figure:
    """What Prometheus shows beside a figure, and which labels tell its series apart, in alphabetical order."""

    meaning: str
    labels: tuple[str, ...] = ()


FIGURES = {
    "inboxes": Figure("Inboxes, by kind and state.", ("kind", "state")),
    "inbox_errors": Figure("Inboxes with a last error.", ("kind",)),
    "push_silent_inboxes": Figure("Inboxes whose push channel let mail pass.", ("kind",)),
    "mail_unfiled": Figure("Mail that is durable and no ticket yet.", ("state",)),
    "mail_unfiled_oldest_seconds": Figure("How long the oldest of it has waited."),
    "mail_parked": Figure("Mail that could not be read or filed."),
    "sends": Figure("Replies that have not arrived at a mail server, by state.", ("state",)),
    "outbox_open": Figure("Events and errands that are to leave.", ("kind",)),
    "outbox_oldest_seconds": Figure("How long the oldest of them is due."),
    "recent_verdicts": Figure("Verdicts of the last 1,000 filed mails.", ("verdict",)),
    "arrival_to_ticket_seconds": Figure("From a mail's arrival to its ticket, over the last 200.", ("quantile",)),
    "pulse_age_seconds": Figure("Since something last went the whole way of a mail, by cell.", ("cell",)),
    "pulse_hop_up": Figure("Whether the pulse of a cell reached it.", ("cell", "hop")),
    "cell_inboxes": Figure("Inboxes, by the cell whose Airflow works for them.", ("cell",)),
    "certificate_age_seconds": Figure("To when mail was accounted for last, of the inbox that waits longest."),
    "certificate_findings": Figure("What the tenants' last certificates leave open."),
    "canaries": Figure("Canaries of the last day, by state.", ("state",)),
    "canary_late_inboxes": Figure("Inboxes whose last canary is late or came back as spam."),
    "canary_not_sent_inboxes": Figure("Inboxes whose last canary could not be sent."),
    "canary_back_seconds": Figure(
        "From a canary's leaving to its arrival, over those of the last day that are back.", ("quantile",)
    ),
    "canary_in_doubt_inboxes": Figure("Inboxes of whose last canary nobody knows whether it left."),
    "looks_total": Figure("Looks at inboxes without a run, by what came of them.", ("result",)),
    "look_overdue_seconds": Figure("How long the most overdue look of a cell waits.", ("cell",)),
    "look_failing_inboxes": Figure("Inboxes whose last looks failed."),
    "departure_oldest_seconds": Figure(
        "How long a tenant has been on its way to another installation, 0 when none is."
    ),
    "log_ins_refused_total": Figure("Log-ins refused for coming too often, by the process that was asked."),
}
"""By the name without `inboxops_`."""


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request, authorization: Annotated[str, Header()] = "") -> Response:
    token = request.app.state.world.settings.metrics_token.get_secret_value()
    if not token:
        raise HTTPException(404, "no metrics here")
    if not hmac.compare_digest(authorization.encode(), f"Bearer {token}".encode()):
        raise HTTPException(401, "metrics need their token", headers={"WWW-Authenticate": "Bearer"})
    with translated():
        async with request.app.state.database.connection() as connection:
            cursor = await connection.cursor(row_factory=dict_row).execute(sql("metrics"))
            rows = await cursor.fetchall()
    registry = CollectorRegistry()
    registry.register(_Figures(rows, refused=request.app.state.tries.refused))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


class _Figures:
    """What the database said, and this process, as Prometheus collects it."""

    def __init__(self, rows: list[dict[str, Any]], *, refused: int) -> None:
        self._rows = [*rows, {"name": "log_ins_refused_total", "labels": {}, "value": refused}]

    def collect(self) -> Iterator[Metric]:
        for name, figure in FIGURES.items():
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            family = kind(f"inboxops_{name}", figure.meaning, labels=figure.labels)
            for row in self._rows:
                if row["name"] == name:
                    family.add_metric([str(row["labels"].get(label, "")) for label in figure.labels], row["value"])
            yield family
