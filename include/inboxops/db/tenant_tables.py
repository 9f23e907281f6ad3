"""Which tables hold a tenant's rows: asked of the database, so that a table that a migration adds is not forgotten."""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import TopologicalSorter

from psycopg import sql

from inboxops.db.database import Transaction

OF_ALL = frozenset({"schema_migrations", "push_receipts", "pulse", "look_counts", "departures"})
"""Tables of the installation, of which no row is a tenant's."""


@dataclass(frozen=True, slots=True)
class Table:
    """owner: which column says whose a row is: of the tenant's id or, `inbox_id`, of an inbox'. keyed: it has ids of its own."""

    name: str
    columns: tuple[str, ...]
    owner: str
    keyed: bool

    def named(self) -> sql.Identifier:
        return sql.Identifier(self.name)

    def listed(self) -> sql.Composed:
        return sql.SQL(", ").join(map(sql.Identifier, self.columns))

    def belongs(self, tenant_id: int) -> sql.Composed:
        """The condition under which a row is the tenant's."""
        owner, id_ = sql.Identifier(self.owner), sql.Literal(tenant_id)
        if self.owner == "inbox_id":
            return sql.SQL("{} IN (SELECT id FROM inboxes WHERE tenant_id = {})").format(owner, id_)
        return sql.SQL("{} = {}").format(owner, id_)


def tenant_tables(t: Transaction) -> list[Table]:
    """All of them, each behind those it refers to. A table that holds no tenant's rows has to be named in `OF_ALL`."""
    found = {row["name"]: row for row in t.rows("tables")}
    order = TopologicalSorter({name: set(row["parents"]) for name, row in found.items()}).static_order()
    return [_table(name, found[name]["columns"], found[name]["written"]) for name in order if name not in OF_ALL]


def _table(name: str, columns: list[str], written: list[str]) -> Table:
    owner = "id" if name == "tenants" else "tenant_id" if "tenant_id" in columns else "inbox_id"
    return Table(name, tuple(written), owner, keyed="id" in columns)
