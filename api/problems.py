"""Every error is a problem document (RFC 9457) that says what happened and what to do."""

from __future__ import annotations

import http
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from inboxops.errors import (
    Conflict,
    InboxOpsError,
    InvalidInput,
    NotFound,
    ServiceAway,
    TenantAdminError,
    TransientError,
)

log = structlog.get_logger("inboxops.api")
MEDIA_TYPE = "application/problem+json"


class FieldError(BaseModel):
    where: str = Field(description="The field, as a path from the request: body.cc.0")
    problem: str


class Problem(BaseModel):
    """RFC 9457. `type` names the kind of problem for programs, `title` and `detail` are for people."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "urn:inboxops:problem:not-found",
                "title": "Not found",
                "status": 404,
                "detail": "there is no ticket 12",
                "instance": "/v1/tickets/12",
            }
        }
    )

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[FieldError] = []


def response(request: Request, status: int, detail: str, *, kind: str = "", **more: Any) -> Response:
    headers = more.pop("headers", None)
    title = http.HTTPStatus(status).phrase.capitalize()
    problem = Problem(
        type=f"urn:inboxops:problem:{kind or title.lower().replace(' ', '-')}",
        title=title,
        status=status,
        detail=detail,
        instance=request.url.path,
        **more,
    )
    content = problem.model_dump_json(exclude_unset=True)
    return Response(content, status_code=status, headers=headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(InboxOpsError, _ours)
    app.add_exception_handler(ClientDisconnect, _broken_off)
    app.add_exception_handler(Exception, _unexpected)


def _http(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    return response(request, exc.status_code, str(exc.detail), headers=exc.headers)


def _invalid(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, RequestValidationError)
    errors = [
        FieldError(where=".".join(map(str, error["loc"])), problem=str(error["msg"])) for error in exc.errors()[:20]
    ]
    detail = f"{errors[0].where}: {errors[0].problem}" if errors else "the request can't be read"
    return response(request, 422, detail, kind="invalid-input", errors=errors)


def _ours(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, InboxOpsError)
    if isinstance(exc, TransientError):
        headers = {"Retry-After": str(max(1, round(exc.retry_after or 5)))}
        log.warning("api_unavailable", path=request.url.path, error=str(exc))
        # Of what is away, the log says where it is and who asked for it; that is nobody's whom the API serves.
        said = str(exc).partition(": ")[0] if isinstance(exc, ServiceAway) else str(exc)
        return response(request, 503, said, kind="try-again", headers=headers)
    for type_, status, kind in (
        (NotFound, 404, "not-found"),
        (Conflict, 409, "conflict"),
        (InvalidInput, 422, "invalid-input"),
        (TenantAdminError, 422, "mailbox-refused"),
    ):
        if isinstance(exc, type_):
            return response(request, status, str(exc), kind=kind)
    log.error("api_operator_error", path=request.url.path, error=str(exc))
    return response(request, 500, "the server is not set up right; its operator was told", kind="operator")


def _broken_off(request: Request, exc: Exception) -> Response:
    """Whoever asked is gone, as who takes a file out of a reply while it goes up: nothing is wrong, and nobody hears the answer."""
    log.info("request_broken_off", path=request.url.path)
    return response(request, 400, "the request broke off")


def _unexpected(request: Request, exc: Exception) -> Response:
    log.error("api_failed", path=request.url.path, error=type(exc).__name__)
    return response(request, 500, "something unforeseen went wrong; it is in the server's log", kind="unforeseen")
