"""Cursor paging: an opaque text says where the next page begins, and stays right while rows come and go."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

from inboxops.errors import NotFound

T = TypeVar("T")
NO_PAGE = NotFound("there is no page at this cursor", fix="Leave it out to begin with the first page")

Limit = Annotated[int, Query(ge=1, le=200, description="How many at most.")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next` of the page before.")]


class Page(BaseModel, Generic[T]):
    items: list[T]
    next: str | None = Field(description="Give it as `cursor` for the next page; null on the last one.")


def encode(*position: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(position, default=str).encode()).decode().rstrip("=")


def decode(cursor: str, *types: type) -> tuple[Any, ...]:
    """Raises NotFound for what `encode` did not make: there is no such page."""
    try:
        position = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, RecursionError) as exc:
        raise NO_PAGE from exc
    fits = isinstance(position, list) and len(position) == len(types)
    if not fits or any(type(value) is not type_ for value, type_ in zip(position, types, strict=True)):
        raise NO_PAGE
    if any(isinstance(value, int) and not 0 < value < 2**63 for value in position):
        raise NO_PAGE
    return tuple(position)
