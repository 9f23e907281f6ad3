"""The OpenAPI document: every error is shown as what it is, a problem document."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.problems import MEDIA_TYPE, FieldError, Problem

_ERRORS = {
    "400": "The request can't be read.",
    "401": "No key, or none that works.",
    "403": "The key's role does not allow it.",
    "404": "There is no such thing, or it belongs to another tenant.",
    "409": "It does not fit the state that the thing is in.",
    "413": "The body is too large.",
    "415": "A body of another media type.",
    "422": "A field is wrong; the document names it. Also: another request under a used Idempotency-Key.",
    "429": "Too many tries; try again after `Retry-After` seconds.",
    "500": "Something unforeseen.",
    "503": "A part is away; try again after `Retry-After` seconds.",
}
PAGES = "connect"
"""The tag of what a person sees in a browser: it says there as a page what went wrong."""

_PAGE = {"text/html": {"schema": {"type": "string"}}}


def install(app: FastAPI) -> None:
    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the way FastAPI documents


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    schemas = document["components"]["schemas"]
    schemas["Problem"] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas["Problem"].pop("$defs", None)
    schemas["FieldError"] = FieldError.model_json_schema()
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    problem = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path, operations in document["paths"].items():
        if path.startswith("/v1/"):
            for operation in operations.values():
                content = problem | _PAGE if PAGES in operation.get("tags", ()) else problem
                for status, said in _ERRORS.items():
                    operation["responses"][status] = {"description": said, "content": content}
    return document
