"""Named SQL: every statement stands in `sql/*.sql` under `-- name:` and is looked up by that name."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files


@cache
def _all() -> dict[str, bytes]:
    statements: dict[str, bytes] = {}
    for entry in (files("inboxops.db") / "sql").iterdir():
        if not entry.name.endswith(".sql"):
            continue
        for block in re.split(r"^-- name: ", entry.read_text("utf-8"), flags=re.MULTILINE)[1:]:
            heading, _, sql = block.partition("\n")
            name = heading.strip()
            if name in statements:
                raise ValueError(f"two statements are named {name!r}")
            statements[name] = sql.strip().encode()
    return statements


def sql(name: str) -> bytes:
    """The statement, with psycopg's `%(name)s` parameters. Bytes, because psycopg takes a `str` only when it is a literal."""
    return _all()[name]
