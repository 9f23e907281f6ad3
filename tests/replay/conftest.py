"""An inbox with stored mail, and what an older version might have read of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from inboxops.composition import replaying
from inboxops.composition.world import World
from inboxops.core.replay import Group
from inboxops.db.database import Row
from inboxops_lab.testing.mailserver import MailServer
from tests.sending.conftest import Desk, set_up

TABLES = {
    "messages": "SELECT to_jsonb(x)::text FROM messages x WHERE inbox_id = %s ORDER BY id",
    "inbound": "SELECT (to_jsonb(x) - 'updated_at')::text FROM inbound x WHERE inbox_id = %s ORDER BY id",
    "tickets": "SELECT to_jsonb(x)::text FROM tickets x WHERE inbox_id = %s ORDER BY id",
    "attachments": "SELECT to_jsonb(a)::text FROM attachments a JOIN messages m ON m.id = a.message_id WHERE m.inbox_id = %s"
    " ORDER BY a.id",
    "references": "SELECT to_jsonb(x)::text FROM message_references x WHERE inbox_id = %s ORDER BY message_id, reference_id",
    "people": "SELECT to_jsonb(p)::text FROM participants p JOIN tickets t ON t.id = p.ticket_id WHERE t.inbox_id = %s"
    " ORDER BY ticket_id, address",
    "bounces": "SELECT to_jsonb(x)::text FROM bounces x WHERE inbox_id = %s ORDER BY id",
}


@dataclass
class Replays(Desk):
    """A desk whose mail is read again."""

    def preview(self, **named: Any) -> Row:
        wanted = replaying.scope(self.world, self.tenant_id, **(named or {"days": 30}))
        return replaying.preview(self.world, wanted, by="Ann")

    def groups(self) -> dict[str, int]:
        """Mails that would be otherwise now, by group."""
        return dict(self.preview()["report"]["groups"])

    def apply(self, *chosen: Group) -> Row:
        return replaying.apply(self.world, self.tenant_id, self.preview()["id"], chosen, here=True)

    def undo(self, replay_id: int) -> Row:
        return replaying.undo(self.world, self.tenant_id, replay_id, here=True)

    def change(self, sql: str, *parameters: object) -> None:
        """What an older version would have stored."""
        with self.world.database.transaction() as t:
            t.connection.execute(sql.encode(), parameters)

    def everything(self) -> dict[str, list[object]]:
        """Every row of the inbox as text, but for when a row of `inbound` was touched."""
        return {name: [one for (one,) in self.box.query(sql, self.box.inbox_id)] for name, sql in TABLES.items()}

    def message(self, subject: str) -> dict[str, Any]:
        ((id_,),) = self.box.query(
            "SELECT id FROM messages WHERE inbox_id = %s AND subject = %s AND direction = 'inbound'",
            self.box.inbox_id,
            subject,
        )
        return self.row(int(str(id_)))

    def events(self, name: str) -> int:
        ((count,),) = self.box.query(
            "SELECT count(*) FROM outbox WHERE tenant_id = %s AND kind = 'event' AND name = %s", self.tenant_id, name
        )
        return int(str(count))


@pytest.fixture
def desk(world: World, tenant: str, mail_server: MailServer) -> Iterator[Replays]:
    with set_up(world, tenant, mail_server) as made:
        yield Replays(made.box, made.submission)
