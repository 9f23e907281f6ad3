"""A move to another installation that can't be, that ends half-way or is taken back: it is told, and nothing is lost or doubled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from inboxops.composition import departing, erasing, moving
from inboxops.composition.world import World
from inboxops.core.cells import MOVING
from inboxops.core.installations import RANGE, range_of
from inboxops.db import departures
from inboxops.db.departures import ArrivalStore, DepartureStore
from inboxops.db.migrate import migrate
from inboxops.db.tenant_tables import OF_ALL, tenant_tables
from inboxops.errors import (
    Conflict,
    InboxOpsError,
    InvalidInput,
    OperatorError,
    ServiceAway,
)
from inboxops.settings import Settings
from tests.cells.conftest import Cells
from tests.cells.installations import (
    STEPS,
    Killed,
    Two,
    changed,
    dies,
    nothing_is_left,
    objects,
    query,
    triggers,
    with_file,
)
from tests.cli.test_inbox_commands import Shell
from tests.sending.conftest import Desk
from tests.stories.conftest import mail


def test_one_that_has_not_arrived_may_stay(both: Two, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    box = desk.box
    box.deliver(with_file("Two", "large.pdf", 400_000))
    box.run()
    accepted = desk.reply(desk.ticket())
    with monkeypatch.context() as patched:
        dies(patched, *STEPS["its rows are copied"], behind=False)
        with pytest.raises(Killed):
            both.leave()
    assert both.said[-1].startswith(f"{both.tenant} is on its way and stands still")
    assert both.stay() == "main"
    assert both.cell(both.here.world) == "main"
    assert triggers(both.here.world, desk.tenant_id) == []
    assert objects(both.far.world, desk.tenant_id) == {}
    box.deliver(mail("Behind"))
    box.run()
    assert box.states() == {"persisted": 3}
    assert desk.send(accepted) == "sent"
    with pytest.raises(Conflict, match="is not on its way"):
        both.stay()


def test_one_that_has_arrived_does_not_stay(both: Two, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        dies(patched, *STEPS["its rows are deleted"], behind=False)
        with pytest.raises(Killed):
            both.leave()
    with pytest.raises(Conflict, match="has arrived"):
        both.stay()
    both.leave()


def test_rows_that_do_not_arrive_as_they_left_are_not_taken(
    both: Two, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.box.deliver(mail("One"))
    desk.box.run()
    carry = departures._carry

    def spoils(source: Any, target: Any, table: Any, tenant_id: int) -> int:
        if table.name == "tickets":
            target.connection.execute(
                b"CREATE FUNCTION pg_temp.spoil() RETURNS trigger LANGUAGE plpgsql AS"
                b" $$ BEGIN NEW.subject := 'spoiled'; RETURN NEW; END $$"
            )
            target.connection.execute(
                b"CREATE TRIGGER spoils BEFORE INSERT ON tickets FOR EACH ROW EXECUTE FUNCTION pg_temp.spoil()"
            )
        return carry(source, target, table, tenant_id)

    with monkeypatch.context() as patched:
        patched.setattr(departures, "_carry", spoils)
        with pytest.raises(OperatorError, match="rows of tickets did not arrive as they left"):
            both.leave()
    assert both.cell(both.far.world) is None
    both.leave()
    assert [subject for subject, _ in both.in_far(desk.box).tickets()] == ["One"]


def test_one_that_is_on_its_way_moves_to_no_other_cell(both: Two, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        dies(patched, *STEPS["writes are refused"], behind=False)
        with pytest.raises(Killed):
            both.leave()
    with pytest.raises(Conflict, match="on its way to another installation"):
        moving.move(both.here.world, both.tenant, "main")
    assert both.cell(both.here.world) == MOVING


def test_one_that_is_erased_where_it_arrived_does_not_come_again(
    both: Two, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant_id = desk.tenant_id
    with monkeypatch.context() as patched:
        dies(patched, *STEPS["its rows are deleted"], behind=False)
        with pytest.raises(Killed):
            both.leave()
    erasing.erase_tenant(both.far.world, both.tenant)
    with pytest.raises(Conflict, match="has arrived"):
        both.stay()
    both.leave()
    nothing_is_left(both, tenant_id)
    assert both.cell(both.far.world) is None
    assert objects(both.far.world, tenant_id) == {}


def test_a_move_goes_on_to_where_it_began_to_and_nowhere_else(
    both: Two, desk: Desk, two: Cells, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the installation that it began to the tenant may be worked for by then: a third one would be a second."""
    third = World(both.far.world.settings.model_copy(update={"owner_database_url": SecretStr(elsewhere_by_name(both))}))
    with monkeypatch.context() as patched:
        dies(patched, *STEPS["its rows are deleted"], behind=False)
        with pytest.raises(Killed):
            both.leave()
    with pytest.raises(Conflict, match="on its way to the database"):
        departing.leave(both.here.world, third, both.tenant, "far", tell=both.said.append)
    with pytest.raises(Conflict, match="on its way to the database"):
        departing.stay(both.here.world, third, both.tenant)
    both.leave()
    third.close()


def elsewhere_by_name(both: Two) -> str:
    """As another database is named: `postgres`, of the same server."""
    whole = both.far.world.settings.owner_dsn
    return make_conninfo(whole, dbname="postgres")


def test_an_id_that_is_taken_there_is_told_and_nothing_is_taken_over(both: Two, desk: Desk) -> None:
    desk.box.deliver(mail("One"))
    desk.box.run()
    taken = "INSERT INTO tenants (id, slug, name) OVERRIDING SYSTEM VALUE VALUES (%s, %s, 'x') RETURNING 1"
    query(both.far.world, taken, desk.tenant_id, f"{both.tenant}-x")
    with pytest.raises(OperatorError, match="is taken there, and nothing was taken over"):
        both.leave()
    assert both.stay() == "main"
    desk.box.run()
    assert desk.box.states() == {"persisted": 1}


def test_another_command_that_moves_it_is_not_joined(both: Two, desk: Desk) -> None:
    store = DepartureStore(both.here.world.database)
    with store.held(both.tenant), pytest.raises(Conflict, match="another command is moving"):
        both.leave()


def test_installations_that_do_not_fit_together_are_refused_before_anything_is_done(both: Two, desk: Desk) -> None:
    here, far = both.here.world, both.far.world
    refusals: list[tuple[str, World, str, type[InboxOpsError]]] = [
        ("no Airflow works in cell 'nowhere'", far, "nowhere", InvalidInput),
        ("the one it is in, or another command", here, "main", Conflict),
        ("does not know all keys", changed(far, previous_signing_keys=SecretStr("")), "far", OperatorError),
        (
            "objects in one bucket",
            changed(
                far,
                **{
                    name: getattr(here.settings, name)
                    for name in ("s3_endpoint", "s3_bucket", "s3_access_key", "s3_secret_key")
                },
            ),
            "far",
            InvalidInput,
        ),
    ]
    for said, other, cell, kind in refusals:
        with pytest.raises(kind, match=said):
            departing.leave(here, other, both.tenant, cell, tell=both.said.append)
    with pytest.raises(OperatorError, match="has to own the tables"):
        departing.leave(changed(here, owner_database_url=None), far, both.tenant, "far", tell=both.said.append)
    assert both.cell(here) == "main"
    assert both.said == []
    with pytest.raises(InvalidInput, match="there is no tenant"):
        departing.leave(here, far, "nobody", "far", tell=both.said.append)
    far.inboxes.add_tenant(both.tenant, "Another of that name")
    with pytest.raises(InvalidInput, match="already where it is to go"):
        both.leave()


def test_a_replay_that_writes_is_waited_for_by_whoever_moves(both: Two, desk: Desk) -> None:
    query(
        both.here.world,
        "INSERT INTO replays (tenant_id, state, since, asked_by) VALUES (%s, 'applying', now(), 'x') RETURNING 1",
        desk.tenant_id,
    )
    with pytest.raises(Conflict, match="replay"):
        both.leave()
    assert both.cell(both.here.world) == "main"


def test_a_replay_that_waits_goes_on_where_the_tenant_is(both: Two, desk: Desk) -> None:
    """Its run stands in the Airflow that was left, and finds no tenant there."""
    asked = "INSERT INTO replays (tenant_id, state, since, asked_by) VALUES (%s, 'asked', now(), 'x') RETURNING id"
    [(replay,)] = query(both.here.world, asked, desk.tenant_id)
    both.leave()
    assert {"replay_id": replay} in [conf for _, conf in both.far.airflow.runs.values()]


def test_two_databases_that_give_out_the_same_ids_exchange_no_tenant(both: Two, desk: Desk) -> None:
    desk.box.deliver(mail("One"))
    desk.box.run()
    alike = Two(both.far, both.here, both.tenant, [])
    both.far.world.inboxes.add_tenant("stranger", "Stranger")
    stranger = both.far.world.inboxes.tenant_id("stranger")
    assert range_of(stranger) == 7
    source = DepartureStore(both.here.world.database)
    with source.seen() as seen:
        ArrivalStore(both.far.world.database).check_ids(seen, desk.tenant_id)
        with pytest.raises(InvalidInput, match="both databases give out ids of range 0") as refused:
            ArrivalStore(both.here.world.database).check_ids(seen, desk.tenant_id)
    assert "inboxops prepare --id-range" in str(refused.value)
    assert alike.said == []


def test_ids_of_a_range_go_on_in_it_and_never_back(elsewhere: Settings) -> None:
    with pytest.raises(InvalidInput, match="range 7 are given out already"):
        migrate(elsewhere.owner_dsn, id_range=6)
    assert migrate(elsewhere.owner_dsn) == []
    world = World(elsewhere)
    world.inboxes.add_tenant("ranged", "Ranged")
    assert world.inboxes.tenant_id("ranged") > 7 * RANGE
    world.close()


def test_every_table_is_known_as_the_tenants_or_as_the_installations(world: World) -> None:
    with world.database.transaction() as t:
        named = {table.name: table for table in tenant_tables(t)}
        every = {row["name"]: row["columns"] for row in t.rows("tables")}
    assert every.keys() == named.keys() | OF_ALL
    assert [name for name in OF_ALL if "tenant_id" in every[name] or "inbox_id" in every[name]] == []
    assert [table.name for table in named.values() if table.owner not in every[table.name]] == []


def figures_of(world: World) -> dict[str, float]:
    with world.database.transaction() as t:
        return {row["name"]: row["value"] for row in t.rows("metrics")}


def test_who_runs_it_sees_what_stands_half_way(
    both: Two, desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as patched:
        dies(patched, *STEPS["its rows are copied"], behind=False)
        with pytest.raises(Killed):
            both.leave()
    query(
        both.here.world,
        "UPDATE departures SET began_at = now() - interval '2 hours' WHERE slug = %s RETURNING 1",
        both.tenant,
    )
    figures = figures_of(both.here.world)
    assert figures["departure_oldest_seconds"] >= 7200
    shell = Shell(both.here.world.settings, tmp_path)
    told = " ".join(shell("doctor").stdout.split())
    assert f"{both.tenant} on its way to cell far since" in told
    assert "inboxops tenant move" in told
    listed = {
        row["slug"]: row["cell"] for row in map(json.loads, shell("tenant", "list", "--json").stdout.splitlines())
    }
    assert listed[both.tenant] == MOVING
    assert MOVING not in shell("cell", "list", "--json").stdout
    both.leave()
    figures = figures_of(both.here.world)
    assert figures["departure_oldest_seconds"] < 7200


def test_on_the_command_line(both: Two, desk: Desk, tmp_path: Path) -> None:
    shell = Shell(both.here.world.settings, tmp_path)
    settings = tmp_path / "far.env"
    values = {
        f"INBOXOPS_{name.upper()}": value
        for name, value in both.far.world.settings.model_dump().items()
        if value is not None
    }
    settings.write_text(
        "".join(
            f"{name}='{value.get_secret_value() if hasattr(value, 'get_secret_value') else value}'\n"
            for name, value in values.items()
        )
    )
    assert "Name its settings with --installation" in shell("tenant", "move", both.tenant, "--back").stderr
    assert "Name it with --to" in shell("tenant", "move", both.tenant).stderr
    assert "is not on its way" in shell("tenant", "move", both.tenant, "--back", "--installation", str(settings)).stderr
    moved = shell("tenant", "move", both.tenant, "--to", "far", "--installation", str(settings))
    assert moved.returncode == 0, moved.stderr
    assert f"tenant {both.tenant} is in cell far there" in moved.stdout
    assert both.cell(both.far.world) == "far"
    odd = tmp_path / "odd.env"
    odd.write_text("INBOXOPS_DATABASE_URI=x\n")
    assert (
        "is INBOXOPS_DATABASE_URL meant?"
        in shell("tenant", "move", both.tenant, "--installation", str(odd), "--to", "x").stderr
    )


def test_a_database_that_is_away_for_a_moment_keeps_nothing_half_done(
    both: Two, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that lasts holds a table: it is waited for, and tried again."""
    monkeypatch.setattr("inboxops.stories.outlast.PAUSES", (0.1, 0.1))
    freeze, tries = DepartureStore.freeze, [0]

    def busy(store: DepartureStore, tenant_id: int) -> None:
        tries[0] += 1
        if tries[0] == 1:
            raise ServiceAway("the application database cut a statement off")
        freeze(store, tenant_id)

    monkeypatch.setattr(DepartureStore, "freeze", busy)
    both.leave()
    assert tries[0] == 2
    assert both.cell(both.far.world) == "far"
