"""Two installations, what stands in each of them, and commands that end half-way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from inboxops.composition import departing
from inboxops.composition.world import World
from inboxops.core.keys import tenant_prefix
from inboxops.db import departures
from inboxops.db.departures import ArrivalStore, DepartureStore
from inboxops.db.tenant_tables import tenant_tables
from inboxops.events import redis_bus
from tests.stories.conftest import Mailbox, mail

if TYPE_CHECKING:
    from tests.cells.conftest import Cell


@dataclass
class Two:
    """Both installations. said: what the command told."""

    here: Cell
    far: Cell
    tenant: str
    said: list[str]

    def leave(self, cell: str = "far") -> departing.Left:
        return departing.leave(self.here.world, self.far.world, self.tenant, cell, tell=self.said.append)

    def stay(self) -> str:
        return departing.stay(self.here.world, self.far.world, self.tenant)

    def in_far(self, box: Mailbox) -> Mailbox:
        return replace(box, world=self.far.world)

    def cell(self, world: World) -> str | None:
        return {row["slug"]: row["cell"] for row in world.inboxes.tenants()}.get(self.tenant)


def query(world: World, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    with world.database.transaction() as t:
        return [tuple(row.values()) for row in t.connection.execute(sql.encode(), parameters).fetchall()]


def changed(world: World, **settings: Any) -> World:
    return World(world.settings.model_copy(update=settings))


def rows(world: World, tenant_id: int) -> dict[str, int]:
    """Of the tenant, in each table that has any."""
    with world.database.transaction() as t:
        counts = {}
        for table in tenant_tables(t):
            query = departures.sql.SQL("SELECT count(*) AS n FROM {} WHERE {}").format(
                table.named(), table.belongs(tenant_id)
            )
            row = t.connection.execute(query).fetchone()
            counts[table.name] = row["n"] if row else 0
        return {name: count for name, count in counts.items() if count}


def triggers(world: World, tenant_id: int) -> list[tuple[Any, ...]]:
    return query(world, "SELECT tgname FROM pg_trigger WHERE tgname LIKE %s", f"departing_{tenant_id}_%")


def objects(world: World, tenant_id: int) -> dict[str, int]:
    return dict(world.objects.sizes(tenant_prefix(tenant_id)))


def nothing_is_left(both: Two, tenant_id: int) -> None:
    assert rows(both.here.world, tenant_id) == {}
    assert objects(both.here.world, tenant_id) == {}
    assert triggers(both.here.world, tenant_id) == []
    assert not redis_bus.client(both.here.world.settings.redis_url.get_secret_value()).exists(
        redis_bus.stream(tenant_id)
    )
    assert both.tenant not in {each.slug for each in both.here.world.departures.on_their_way()}


WITH_FILES = (
    'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nSee there.\r\n'
    '--b\r\nContent-Type: application/pdf; name="{name}"\r\nContent-Disposition: attachment; filename="{name}"\r\n\r\n'
    "{content}\r\n--b--"
)


def with_file(subject: str, name: str, size: int) -> bytes:
    content = "\r\n".join(["x" * 70] * (size // 72))
    return mail(subject, body="", more=WITH_FILES.format(name=name, content=content))


STEPS: dict[str, tuple[Any, str]] = {
    "objects are copied": (departing, "_bring_objects"),
    "it is held": (DepartureStore, "begin"),
    "writes are refused": (DepartureStore, "freeze"),
    "its rows are copied": (ArrivalStore, "take"),
    "its rows are deleted": (DepartureStore, "remove"),
    "its objects are deleted": (departing, "wipe_tenant"),
    "writes are let through": (DepartureStore, "thaw"),
    "it is ended": (DepartureStore, "end"),
}


class Killed(BaseException):
    """What no code of ours catches."""


def dies(monkeypatch: pytest.MonkeyPatch, place: Any, name: str, *, behind: bool) -> None:
    """The first call ends the command, before or behind what it does."""
    work, left = getattr(place, name), [1]

    def ends(*about: Any, **more: Any) -> Any:
        if left:
            left.clear()
            if behind:
                work(*about, **more)
            raise Killed(name)
        return work(*about, **more)

    monkeypatch.setattr(place, name, ends)
