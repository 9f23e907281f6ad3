"""The demonstration's Gmail and Microsoft inboxes, also after the stand-ins were restarted and forgot everything."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from inboxops.composition import intake
from inboxops.composition.world import World
from inboxops.settings import Settings
from inboxops_local.demo.clouds import born
from inboxops_local.standins import demo
from inboxops_local.standins.client import settings_for
from inboxops_local.standins.http import Serving
from inboxops_local.standins.running import run


def started(services: Settings, folder: Path) -> tuple[World, list[Serving]]:
    moment = born(folder)
    servings = {kind: run(kind, port=0, users=[], ask=False, folder=folder, born=moment) for kind in ("gmail", "graph")}
    return World(services), list(servings.values())


def settings_of(kind: str, serving: Serving) -> dict[str, str]:
    return settings_for("gmail" if kind == "gmail" else "graph", serving.url, serving.ca_file)


def test_both_inboxes_are_connected_read_and_survive_a_restart(services: Settings, tenant: str, tmp_path: Path) -> None:
    moment = datetime.fromtimestamp(born(tmp_path), UTC)
    for _ in range(2):
        world, servings = started(services, tmp_path)
        servers = {
            kind: settings_of(kind, serving) for kind, serving in zip(("gmail", "microsoft"), servings, strict=True)
        }
        inboxes = demo.connect(world, tenant=tenant, born=moment, servers=servers)
        assert [inbox.connection_type for inbox in inboxes] == ["gmail", "microsoft"]
        assert [inbox.id for inbox in demo.connect(world, tenant=tenant, born=moment, servers=servers)] == [
            inbox.id for inbox in inboxes
        ]
        for inbox in inboxes:
            intake.fetch(world, inbox.id)
            intake.file(world, inbox.id)
        tickets = world.tickets.listed(tenant=tenant)
        assert len(tickets) == 6
        assert sum(ticket["messages"] for ticket in tickets) == 8
        assert not world.inbound.listed(tenant=tenant, states=["duplicate", "conflict"]), "nothing is read twice"
        world.close()
        for serving in servings:
            serving.stop()
