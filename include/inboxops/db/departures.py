"""A tenant's rows go from one database to another: what each of the two does about it (ADR 19).

Both by the role that owns the tables: the one that is left is kept from writing by triggers that stand for the time of the move.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import sql
from psycopg.errors import UniqueViolation

from inboxops.core.cells import MOVING
from inboxops.core.installations import OnItsWay, first_of, range_of
from inboxops.db.cells import check_replays, hand_over, hold
from inboxops.db.database import Database, Transaction
from inboxops.db.tenant_tables import Table, tenant_tables
from inboxops.errors import Conflict, InvalidInput, OperatorError

_LOCK_SECONDS = 3
"""Who writes to a table is waited for so long: meanwhile nobody else writes to it, of whatever tenant."""


@dataclass(frozen=True, slots=True)
class Departure:
    """A tenant that is on its way. to_database: as `Database.place` has it. arrived: its rows are there; gone: and none is here."""

    tenant_id: int
    slug: str
    from_cell: str
    to_database: str
    to_cell: str
    arrived: bool
    gone: bool


class DepartureStore:
    """The side that is left."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def held(self, slug: str) -> Iterator[None]:
        """While one command moves the tenant. Raises Conflict when another one does."""
        with self._database.transaction() as t:
            _hold_move(t, slug, f"another command is moving {slug}", fix="Let it end")
            yield

    def of(self, slug: str) -> Departure | None:
        """How far the tenant came, None when it is not on its way."""
        with self._database.transaction() as t:
            row = t.row("departure", slug=slug)
        if row is None:
            return None
        names = ("slug", "from_cell", "to_database", "to_cell", "arrived", "gone")
        return Departure(row["departing_id"], **{name: row[name] for name in names})

    def on_their_way(self) -> list[OnItsWay]:
        with self._database.transaction() as t:
            return [OnItsWay(**row) for row in t.rows("departures_open")]

    def begin(self, slug: str, to_database: str, to_cell: str) -> Departure:
        """From here on no Airflow begins anything for the tenant; what is under way ends. Begun already, to there: it goes on.

        Raises InvalidInput for an unknown tenant, Conflict while a replay of it writes.
        """
        with self._database.transaction() as t:
            id_, cell = hold(t, slug)
            check_replays(t, id_, slug)
            if cell == MOVING:
                t.run("depart_elsewhere", id=id_, to_cell=to_cell)
            else:
                t.run("depart", id=id_, slug=slug, from_cell=cell, to_database=to_database, to_cell=to_cell)
                t.run("move_tenant", id=id_, cell=MOVING)
            from_cell = t.value("departs_from", id=id_)
        return Departure(id_, slug, from_cell, to_database, to_cell, arrived=False, gone=False)

    def owns_tables(self) -> bool:
        """Whether this role may have triggers made."""
        with self._database.transaction() as t:
            return bool(t.value("owns_tables"))

    def migrations(self) -> dict[str, str]:
        return _migrations(self._database)

    def sealed(self, tenant_id: int) -> list[bytes]:
        """Whatever of the tenant's is sealed with our key."""
        with self._database.transaction() as t:
            return [bytes(row["sealed"]) for row in t.rows("sealed_of_tenant", tenant_id=tenant_id)]

    def kinds(self, tenant_id: int) -> set[str]:
        """The kinds of the tenant's connected inboxes."""
        with self._database.transaction() as t:
            return {row["connection_type"] for row in t.rows("kinds_of_tenant", tenant_id=tenant_id)}

    def sends_under_way(self, tenant_id: int) -> float | None:
        """Seconds for which a message is being sent at most, None when none is."""
        with self._database.transaction() as t:
            row = t.row("sends_under_way", tenant_id=tenant_id)
        return float(row["seconds"]) if row and row["count"] else None

    def freeze(self, tenant_id: int) -> None:
        """Refuse every write to a row of the tenant. Transactions that wrote already are waited for; done again, it is as it was.

        Raises ServiceAway when one of them lasts.
        """
        for table in self._tables():
            with self._database.transaction() as t:
                self._named(t, tenant_id)
                t.connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'".encode())
                for name, events, row in (
                    (_kept(tenant_id), "INSERT OR UPDATE", "NEW"),
                    (_gone(tenant_id), "DELETE", "OLD"),
                ):
                    t.connection.execute(
                        sql.SQL(
                            "CREATE OR REPLACE TRIGGER {} BEFORE {} ON {} FOR EACH ROW WHEN ({})"
                            " EXECUTE FUNCTION refuse_departing({})"
                        ).format(
                            sql.Identifier(name),
                            sql.SQL(events),
                            table.named(),
                            self._of_row(t, table, row, tenant_id),
                            sql.Literal(str(tenant_id)),
                        )
                    )

    def thaw(self, tenant_id: int) -> None:
        """End what `freeze` began. Raises ServiceAway when a transaction that uses one of the tables lasts."""
        for table in self._tables():
            with self._database.transaction() as t:
                t.connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'".encode())
                for name in (_kept(tenant_id), _gone(tenant_id)):
                    t.connection.execute(
                        sql.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(sql.Identifier(name), table.named())
                    )

    @contextmanager
    def seen(self) -> Iterator[Transaction]:
        """Everything as it stands at one moment, for as long as it takes."""
        with self._database.transaction() as t:
            t.connection.execute(b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            _take_time(t)
            yield t

    def arrived(self, tenant_id: int) -> None:
        """From here on nothing is copied any more, also when the tenant is erased where it is."""
        with self._database.transaction() as t:
            t.run("arrived", id=tenant_id)

    def remove(self, tenant_id: int) -> None:
        """The tenant's rows go, as those of one that is erased."""
        with self._database.transaction() as t:
            _take_time(t)
            self._named(t, tenant_id)
            t.row("erase_tenant", tenant_id=tenant_id)
            t.run("departed", id=tenant_id)

    def end(self, tenant_id: int) -> None:
        """Nothing of the tenant is here any more."""
        with self._database.transaction() as t:
            t.run("departure_ended", id=tenant_id)

    def back(self, departure: Departure) -> None:
        """It stays, in the cell that it was in: from here on that cell's Airflow works for it. To be called behind `thaw`."""
        with self._database.transaction() as t:
            self._named(t, departure.tenant_id)
            t.run("move_tenant", id=departure.tenant_id, cell=departure.from_cell)
            hand_over(t, departure.tenant_id)
            t.run("depart_not", id=departure.tenant_id)

    def _tables(self) -> list[Table]:
        with self._database.transaction() as t:
            return tenant_tables(t)

    @staticmethod
    def _named(t: Transaction, tenant_id: int) -> None:
        """This transaction may write what is refused to others."""
        t.connection.execute("SELECT set_config('inboxops.departing', %s, true)", (str(tenant_id),))

    @staticmethod
    def _of_row(t: Transaction, table: Table, row: str, tenant_id: int) -> sql.Composed:
        """What a trigger asks of a row; it can ask no other table. The tenant's inboxes are all there: they were frozen before."""
        owner = sql.SQL(row) + sql.SQL(".") + sql.Identifier(table.owner)
        if table.owner == "inbox_id":
            ids = [each["id"] for each in t.rows("inboxes_of_tenant", tenant_id=tenant_id)]
            return sql.SQL("{} = ANY ({}::bigint[])").format(owner, sql.Literal(ids))
        return sql.SQL("{} = {}").format(owner, sql.Literal(tenant_id))


class ArrivalStore:
    """The side that it comes to."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def place(self) -> str:
        return self._database.place

    @contextmanager
    def held(self, slug: str) -> Iterator[None]:
        """While nothing of the tenant is copied by another command. Raises Conflict, also where this is the database it is in."""
        with self._database.transaction() as t:
            self._hold(t, slug)
            yield

    def has(self, slug: str) -> int | None:
        """The id of the tenant of that name, None when there is none."""
        with self._database.transaction() as t:
            found: int | None = t.value("tenant_id", slug=slug)
            return found

    def migrations(self) -> dict[str, str]:
        return _migrations(self._database)

    def check_ids(self, source: Transaction, tenant_id: int) -> None:
        """Whether the tenant's ids are none that are given out here. Raises InvalidInput.

        An id of our own range was given out here if the tenant was here before; else by another database that has the same range.
        """
        with self._database.transaction() as t:
            if t.value("left_before", id=tenant_id):
                return
            ours = range_of(max(row["last"] for row in t.rows("sequences")))
        for table in tenant_tables(source):
            if not table.keyed:
                continue
            asked = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE {} AND id > {} AND id <= {}) AS taken").format(
                table.named(),
                table.belongs(tenant_id),
                sql.Literal(first_of(ours)),
                sql.Literal(first_of(ours + 1)),
            )
            row = source.connection.execute(asked).fetchone()
            if row and row["taken"]:
                raise InvalidInput(
                    f"both databases give out ids of range {ours}, and the tenant has such ids in {table.name}",
                    fix="Give the one it goes to a range of its own: `inboxops prepare --id-range N` there",
                )

    def take(self, source: Transaction, slug: str, tenant_id: int, cell: str, reseal: Callable[[bytes], bytes]) -> int:
        """All rows of the tenant, in one transaction, compared with those they came from; `cell` works for it from its commit on.

        reseal: a secret of the other installation, sealed with our key. Returns how many rows. Raises Conflict while another
        command copies it or it is here already, OperatorError for rows that are not as they were, or ids that are taken.
        """
        with self._database.transaction() as t:
            self._hold(t, slug)
            try:
                carried = sum(_carry(source, t, table, tenant_id) for table in tenant_tables(source))
            except UniqueViolation as exc:
                raise OperatorError(
                    f"an id or a name of the tenant's is taken there, and nothing was taken over: {exc}",
                    fix="Take the move back (--back), and see whose row that is",
                ) from exc
            for row in t.rows("sealed_of_tenant", tenant_id=tenant_id):
                if row["holder"] == "inboxes":
                    t.run(
                        "replace_credentials",
                        inbox_id=row["id"],
                        credentials=reseal(row["sealed"]),
                        before=row["sealed"],
                    )
                else:
                    t.run("seal_channel", id=row["id"], secret=reseal(row["sealed"]))
            for row in t.rows("inboxes_of_tenant", tenant_id=tenant_id):
                t.run("push_stopped", id=row["id"])
            t.run("arrive_inboxes", tenant_id=tenant_id)
            t.run("arrive_looks", tenant_id=tenant_id)
            t.run("move_tenant", id=tenant_id, cell=cell)
            hand_over(t, tenant_id)
            return carried

    @staticmethod
    def _hold(t: Transaction, slug: str) -> None:
        _hold_move(
            t,
            slug,
            f"{slug} is held in the database it is to go to: that is the one it is in, or another command moves it",
            fix="Between cells of one database, leave `--installation` out",
        )


def _hold_move(t: Transaction, slug: str, said: str, *, fix: str) -> None:
    """Have this transaction alone move the tenant, for as long as it takes. Raises Conflict, as `said`, when another one does."""
    _take_time(t)
    if not t.value("hold_move", slug=slug):
        raise Conflict(said, fix=fix)


def _migrations(database: Database) -> dict[str, str]:
    with database.transaction() as t:
        return {row["name"]: row["sha256"] for row in t.rows("migrations")}


def _carry(source: Transaction, target: Transaction, table: Table, tenant_id: int) -> int:
    """The rows of one table, as text, which is the same in every version of PostgreSQL; counted and compared behind it."""
    mine = sql.SQL("SELECT {} FROM {} WHERE {}").format(table.listed(), table.named(), table.belongs(tenant_id))
    into = sql.SQL("COPY {} ({}) FROM STDIN").format(table.named(), table.listed())
    with (
        source.connection.cursor().copy(sql.SQL("COPY ({}) TO STDOUT").format(mine)) as out,
        target.connection.cursor().copy(into) as in_,
    ):
        for block in out:
            in_.write(block)
    sums = sql.SQL(
        "SELECT count(*) AS rows, coalesce(sum(('x' || left(md5(r::text), 15))::bit(60)::bigint), 0) AS sum FROM ({}) r"
    ).format(mine)
    there, here = source.connection.execute(sums).fetchone(), target.connection.execute(sums).fetchone()
    if there != here or here is None:
        raise OperatorError(
            f"the rows of {table.name} did not arrive as they left ({here}, and not {there}); nothing was taken over",
            fix="Move it again; if this comes again, `tenant move --back` and tell us",
        )
    return int(here["rows"])


def _take_time(t: Transaction) -> None:
    """What copies or deletes all of a tenant takes as long as it takes; and times are the same text on both sides."""
    t.connection.execute(b"SET LOCAL statement_timeout = 0")
    t.connection.execute(b"SET LOCAL idle_in_transaction_session_timeout = 0")
    t.connection.execute(b"SET LOCAL timezone = 'UTC'")


def _kept(tenant_id: int) -> str:
    return f"departing_{tenant_id}_kept"


def _gone(tenant_id: int) -> str:
    return f"departing_{tenant_id}_gone"
