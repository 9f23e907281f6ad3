"""The mail rules of tenants, every version of them, and the mail that a rule is tried on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from inboxops.core.mail_rules.edit import Edit
from inboxops.core.mail_rules.model import Rule, RuleSet
from inboxops.core.mail_rules.wire import written
from inboxops.db.database import Database, Row, Transaction, jsonb
from inboxops.db.inbound import stored_row
from inboxops.ports import ReplayRow, TriedRow

_rules = msgspec.json.Decoder(tuple[Rule, ...])


class MailRuleStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def current(self, tenant_id: int) -> RuleSet:
        with self._database.transaction() as t:
            return _current(t, tenant_id)

    def change(self, tenant_id: int, edit: Edit, *, change: str, changed_by: str) -> RuleSet:
        """What `edit` makes of the set as it stands becomes the next version; one that changes nothing makes none.

        Raises what `edit` raises. Two changes at once follow each other.
        """
        with self._database.transaction() as t:
            t.rows("lock_mail_rules", tenant_id=tenant_id)
            before = _current(t, tenant_id)
            after = edit(before)
            if after.version != before.version:
                rules = jsonb([written(rule) for rule in after.rules])
                t.run(
                    "add_mail_rules",
                    tenant_id=tenant_id,
                    version=after.version,
                    rules=rules,
                    change=change,
                    changed_by=changed_by,
                )
            return after

    def history(self, tenant_id: int, *, before: int | None = None, limit: int = 50) -> list[Row]:
        """Versions, the newest first: what was done, by whom, when, and the rules as they stood then."""
        with self._database.transaction() as t:
            return t.rows("mail_rules_history", tenant_id=tenant_id, before=before, limit=limit)

    def since(self, tenant_id: int, *, days: int, most: int) -> datetime:
        """From when on there are at most so many mails of the last days that can be read again, but for those of one moment."""
        with self._database.transaction() as t:
            found: datetime = t.value("newest_mail_since", tenant_id=tenant_id, days=days, most=most)
            return found

    def to_try(
        self,
        tenant_id: int,
        inbox_ids: Sequence[int],
        *,
        days: int,
        before: tuple[datetime, int] | None,
        limit: int,
    ) -> list[TriedRow]:
        """Mail of the last days whose bytes are kept, but for duplicates; the newest first, from `before` on."""
        before_time, before_id = before or (None, None)
        with self._database.transaction() as t:
            rows = t.rows(
                "mail_to_try",
                tenant_id=tenant_id,
                inbox_ids=list(inbox_ids),
                days=days,
                before_time=before_time,
                before_id=before_id,
                limit=limit,
            )
        return [
            TriedRow(
                mail=ReplayRow(stored_row(row), row["inbox_id"], row["imported"], row["released"]),
                state=row["state"],
                ticket_id=row["ticket_id"],
                ticket_number=row["ticket_number"],
            )
            for row in rows
        ]


def _current(t: Transaction, tenant_id: int) -> RuleSet:
    row = t.row("mail_rules", tenant_id=tenant_id)
    return RuleSet(row["version"], _rules.decode(row["rules"])) if row else RuleSet()
