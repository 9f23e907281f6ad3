"""Every operation of the API as its routes say, hidden ones too, and how to call each: what is new has to be told here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi.dependencies.utils import get_flat_dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel

from api.app import create_app

NAMES_A_THING = {
    **{
        name: name
        for name in (
            "ticket_id",
            "message_id",
            "attachment_id",
            "inbox_id",
            "inbound_id",
            "correction_id",
            "replay_id",
            "name",
        )
    },
    "inbox": "inbox_id",
    "ticket": "ticket_id",
}
"""Parameter -> which thing of a tenant it names."""

PLAIN: Mapping[str, Any] = {
    "sign_in": "google", "link": "x", "status": None, "unread": None, "q": None, "limit": None, "cursor": None, "state": None,
    "day": "2026-01-01", "images": None, "idempotency-key": None, "last-event-id": None, "authorization": None,
}  # fmt: skip
"""Parameter that names nothing of a tenant -> a value where one has to be given."""

_RULE = {"conditions": [{"on": "list", "op": "present"}], "actions": {"stop": True}}
BODIES: Mapping[str, list[Any]] = {
    "PATCH /v1/tickets/{ticket_id}": [{"status": "closed"}, {"tags": ["taken"]}, {}],
    "POST /v1/tickets/{ticket_id}/replies": [{"body_text": "x"}, {"body_text": "x", "attachment_ids": ["$attachment_id"]}],
    "POST /v1/corrections": [
        {"kind": "move", "message_id": "$message_id", "to_ticket_id": "$ticket_id"},
        {"kind": "split", "message_id": "$message_id"},
        {"kind": "spam", "message_id": "$message_id"},
        {"kind": "merge", "ticket_id": "$ticket_id", "to_ticket_id": "$ticket_id"},
        {"kind": "not_spam", "inbound_id": "$inbound_id"},
        {"kind": "bounce", "reply_id": "$message_id", "inbound_id": "$inbound_id"},
        {"kind": "bounce", "reply_id": "$message_id", "message_id": "$message_id"},
        {"kind": "customer", "ticket_id": "$ticket_id", "customer": {"address": "a@b.example"}},
    ],
    "POST /v1/inboxes": [
        {"email_address": "a@b.example", "connection": {"host": "10.0.0.1"}, "credentials": {"password": "x"}},
    ],
    "PATCH /v1/inboxes/{inbox_id}": [
        {"paused": True}, {"auto_response_body": "taken"}, {"canary_minutes": 15, "canary_from_id": "$inbox_id"},
        {"credentials": {"password": "x"}},
    ],
    "POST /v1/inboxes/{inbox_id}/resync": [{"since": "2026-01-01"}],
    "PUT /v1/mail-rules/{name}": [_RULE],
    "POST /v1/mail-rules/order": [{"names": ["$name"]}],
    "POST /v1/mail-rules/try": [{"name": "$name"}],
    "POST /v1/mail-rules/preview": [{"off": ["$name"]}],
    "POST /v1/replays": [
        {"ticket_id": "$ticket_id"}, {"inbound_id": "$inbound_id"}, {"inbox_id": "$inbox_id", "days": 7},
    ],
    "POST /v1/replays/{replay_id}/apply": [{}, {"groups": ["text"]}],
    "POST /v1/session": [{"key": "io_000000000000_x"}, {"link": "x"}],
}  # fmt: skip
"""Operation -> bodies to try; "$ticket_id" stands for the thing."""

WITHOUT_A_KEY = {
    "GET /healthz", "GET /readyz", "GET /livez",
    "GET /metrics",  # its own token
    "POST /api/webhooks/gmail-push", "POST /api/webhooks/graph-push", "POST /api/webhooks/graph-lifecycle",  # theirs
    "GET /v1/oauth/{sign_in}/start", "GET /v1/oauth/{sign_in}/callback",  # a link, a session
    "POST /v1/session", "DELETE /v1/session",  # the log-in; the log-out, which an expired session needs, too
    "GET /", "GET /login", "GET /tickets/{ticket_id:int}", "GET /aside/{name}",
    "GET /certificates",  # one document without a tenant's data
}  # fmt: skip
"""What answers without a key of ours, with what guards it instead."""

STREAMS = {"GET /v1/events"}
"""Does not end: tests/api/test_events.py listens to a stranger's."""


@dataclass(frozen=True, slots=True)
class Operation:
    method: str
    route: APIRoute

    @property
    def name(self) -> str:
        return f"{self.method} {self.route.path}"

    @property
    def changes(self) -> bool:
        return self.method not in {"GET", "HEAD", "OPTIONS"}

    def calls(self, things: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        """(path, arguments of a request) of each way to call it on these things."""
        flat = get_flat_dependant(self.route.dependant)
        names = {*self.route.param_convertors, *map(_wire_name, flat.query_params)}
        values = {name: self._value(name, things) for name in names}
        path = re.sub(r"\{(\w+)(:\w+)?\}", lambda found: str(values[found[1]]), self.route.path)
        query = {_wire_name(each): values[_wire_name(each)] for each in flat.query_params}
        params = {name: value for name, value in query.items() if value is not None}
        for each in flat.header_params:
            self._value(_wire_name(each), things)
        if self.route.body_field is None:
            yield path, {"params": params}
            return
        for body in self.bodies():
            yield path, {"params": params, "json": _filled(body, things)}

    def names(self) -> set[str]:
        """Which things of a tenant a call names."""
        flat = get_flat_dependant(self.route.dependant)
        parameters = {*self.route.param_convertors, *map(_wire_name, flat.query_params)}
        in_bodies = set(re.findall(r"'\$(\w+)'", str(BODIES.get(self.name, ""))))
        return {NAMES_A_THING[name] for name in parameters & NAMES_A_THING.keys()} | in_bodies

    def bodies(self) -> list[Any]:
        """Raises AssertionError for an operation that nobody described here."""
        bodies = BODIES.get(self.name)
        assert bodies, f"{self.name} takes a body: say in {__name__}.BODIES which to try with another tenant's things"
        said = {key for body in bodies for key in _keys(body)}
        model = self.route.body_field.field_info.annotation if self.route.body_field else None
        assert isinstance(model, type) and issubclass(model, BaseModel), f"{self.name}: what is its body?"
        forgotten = {name for name in model.model_fields if name.endswith(("_id", "_ids", "names"))} - said
        assert not forgotten, f"{self.name}: {forgotten} in its body may name a thing, and {__name__}.BODIES tries none"
        return bodies

    def _value(self, name: str, things: Mapping[str, Any]) -> Any:
        known = name in NAMES_A_THING or name in PLAIN
        assert known, f"{self.name} has a parameter {name!r}: say in {__name__} whether it names a thing of a tenant"
        return things[NAMES_A_THING[name]] if name in NAMES_A_THING else PLAIN[name]


def operations() -> list[Operation]:
    found = [
        Operation(method, route)
        for route in create_app().routes
        if isinstance(route, APIRoute)
        for method in sorted(route.methods)
    ]
    return sorted(found, key=lambda each: each.name)


def _wire_name(field: Any) -> str:
    return str(field.alias).lower()


def _keys(body: Any) -> Iterator[str]:
    if isinstance(body, dict):
        for key, value in body.items():
            yield key
            yield from _keys(value)
    elif isinstance(body, list):
        for value in body:
            yield from _keys(value)


def _filled(body: Any, things: Mapping[str, Any]) -> Any:
    if isinstance(body, dict):
        return {key: _filled(value, things) for key, value in body.items()}
    if isinstance(body, list):
        return [_filled(value, things) for value in body]
    return things[body[1:]] if isinstance(body, str) and body.startswith("$") else body
