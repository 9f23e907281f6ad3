"""Whoever gets no connection to the database is told why."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from psycopg.conninfo import make_conninfo

from inboxops.db.database import Database
from inboxops.errors import ServiceAway
from inboxops.settings import Settings
from inboxops_lab.testing.processes import free_ports


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        pytest.param(lambda: {"port": free_ports(1)[0]}, "Connection refused", id="nobody there"),
        pytest.param(lambda: {"password": "another"}, "password authentication failed", id="another password"),
        pytest.param(lambda: {"dbname": "nowhere"}, 'database "nowhere" does not exist', id="no such database"),
    ],
)
def test_what_postgresql_says_is_told(services: Settings, changed: Callable[[], dict[str, object]], why: str) -> None:
    database = Database(make_conninfo(services.database_url.get_secret_value(), **changed()), patience=1)
    with pytest.raises(ServiceAway, match=why), database.transaction():
        pass
    database.close()


def test_a_process_that_has_none_free_says_so(services: Settings) -> None:
    database = Database(services.database_url.get_secret_value(), connections=1, patience=1)
    with (
        database.transaction(),
        pytest.raises(ServiceAway, match="this process has 1 of 1 open, 0 of them free"),
        database.transaction(),
    ):
        pass
    database.close()
