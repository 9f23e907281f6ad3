"""Cursor paging: an opaque text says where the next page begins, and stays right while rows come and go."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

from inboxops.errors import InvalidInput

T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=200, description="How many at most.")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next` of the page before.")]


class Page(BaseModel, Generic[T]):
    items: list[T]
    next: str | None = Field(description="Give it as `cursor` for the next page; null on the last one.")


def encode(*position: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(position, default=str).encode()).decode().rstrip("=")


def decode(cursor: str, *types: type) -> tuple[Any, ...]:
    """Raises InvalidInput for what `encode` did not make."""
    try:
        position = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, RecursionError) as exc:
        raise InvalidInput("cursor is none of ours", fix="Leave it out to begin with the first page") from exc
    fits = isinstance(position, list) and len(position) == len(types)
    if not fits or any(type(value) is not type_ for value, type_ in zip(position, types, strict=True)):
        raise InvalidInput("cursor is none of ours", fix="Leave it out to begin with the first page")
    if any(isinstance(value, int) and not 0 < value < 2**63 for value in position):
        raise InvalidInput("cursor is none of ours", fix="Leave it out to begin with the first page")
    return tuple(position)
