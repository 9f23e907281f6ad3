"""Whatever is sent, the API answers as its document says, and never with a server error (`make fuzz` sends more)."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest
import requests
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import booleans

from api.app import create_app
from inboxops.composition import upkeep
from tests.api.conftest import Api
from tests.sending.conftest import Desk

EXAMPLES = int(os.environ.get("INBOXOPS_FUZZ_EXAMPLES", "8"))


NOT_ASKED = [
    # A document can't say everything: an unknown template variable is a 422 although it fits the schema.
    schemathesis.checks.positive_data_acceptance,
    # The key is put in behind its back; what is without a key is tested in test_api.
    schemathesis.checks.ignored_auth,
]
OPERATIONS = [
    (method.upper(), path)
    for path, methods in create_app().openapi()["paths"].items()
    for method in methods
    if path != "/v1/events"  # a stream does not end; tests/api/test_events.py reads it
]


@pytest.fixture
def known(api: Api, desk: Desk) -> dict[str, int | str]:
    """Things that exist, so that not every id leads nowhere, in an installation whose tasks run."""
    upkeep.pulse(desk.world, datetime.now(UTC))
    ticket = desk.ticket()
    message = api.post(f"/tickets/{ticket}/replies", {"body_text": "Hello"}).json()["message_id"]
    file = {"file_name": "a.txt", "content_type": "text/plain", "size_bytes": 1}
    attachment = api.post("/attachments", file).json()["id"]
    made = api.post(
        "/corrections", {"kind": "customer", "ticket_id": ticket, "customer": {"address": "a@b.example"}}
    ).json()["id"]
    rule = {"conditions": [{"on": "list", "op": "present"}], "actions": {"stop": True}}
    api.http.put("/v1/mail-rules/lists", json=rule, headers=api.admin)
    return {
        "ticket_id": ticket,
        "message_id": message,
        "attachment_id": attachment,
        "inbox_id": desk.box.inbox_id,
        "inbound_id": 1,
        "correction_id": made,
        "name": "lists",
    }


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_answers_are_as_documented(
    method: str, path: str, http_client: TestClient, api: Api, known: dict[str, int | str]
) -> None:
    schema = schemathesis.openapi.from_dict(http_client.app.openapi())  # type: ignore[attr-defined]

    @settings(
        max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize="CI" in os.environ
    )
    @given(case=schema[path][method].as_strategy(), at_known=booleans())
    def answers(case: schemathesis.Case, at_known: bool) -> None:
        if at_known:
            for name in case.path_parameters or {}:
                case.path_parameters[name] = known.get(name, case.path_parameters[name])
        if path == "/v1/inboxes" and isinstance(case.body, dict) and isinstance(case.body.get("connection"), dict):
            case.body["connection"]["host"] = "localhost"  # no names are looked up in the world
            case.body["connection"].pop("smtp_host", None)
        wire = requests.Request(**case.as_transport_kwargs(base_url="http://testserver")).prepare()
        headers = {**wire.headers, **(api.admin if {"inboxes", "mail-rules"} & set(path.split("/")) else api.agent)}
        answer = http_client.request(wire.method or "", wire.url or "", headers=headers, content=wire.body)
        case.validate_response(answer, excluded_checks=NOT_ASKED)

    answers()
