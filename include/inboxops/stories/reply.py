"""Reply: what an agent writes becomes a stored message and an order to send it, in one transaction, once for each key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from inboxops.core import outbound
from inboxops.core.outbound import Accepted, Answered, NewOutbound, OutboundFile, ReplyRequest
from inboxops.core.signing import SigningKey
from inboxops.errors import InvalidInput
from inboxops.ports import ObjectStore
from inboxops.stories import files
from inboxops.stories.files import Shelf


class Desk(Protocol):
    """What reply asks of the database."""

    def accepted(self, tenant_id: int, idempotency_key: str) -> tuple[Accepted, str] | None: ...

    def answered(self, tenant_id: int, ticket_id: int) -> Answered: ...

    def next_id(self) -> int: ...

    def add_reply(
        self, new: NewOutbound, files: Mapping[int, OutboundFile], *, idempotency_key: str | None, fingerprint: str
    ) -> tuple[Accepted, str]: ...


class OtherRequest(InvalidInput):
    """The idempotency key stands for another request."""


def reply(
    tenant_id: int,
    ticket_id: int,
    request: ReplyRequest,
    desk: Desk,
    shelf: Shelf,
    objects: ObjectStore,
    *,
    author: str,
    idempotency_key: str | None,
    own_addresses: frozenset[str],
    signing_key: SigningKey,
) -> Accepted:
    """Store the reply; it leaves by itself. A repeat of the request under its key answers as the first did.

    Raises OtherRequest for another request under a used key; NotFound, Conflict and InvalidInput for what can't be sent.
    """
    fingerprint = request.fingerprint(ticket_id)
    if idempotency_key and (first := desk.accepted(tenant_id, idempotency_key)):
        return _same(first, fingerprint)
    answered = desk.answered(tenant_id, ticket_id)
    try:
        chosen = files.chosen(tenant_id, request.attachment_ids, shelf, objects)
        new = outbound.reply(
            request, answered, id=desk.next_id(), own_addresses=own_addresses, author=author, signing_key=signing_key
        )
        placed = files.move_in(tenant_id, new.id, chosen, objects)
    except InvalidInput:
        # The same request may have been stored meanwhile, and have taken the files.
        if idempotency_key and (first := desk.accepted(tenant_id, idempotency_key)):
            return _same(first, fingerprint)
        raise
    stored = desk.add_reply(new, placed, idempotency_key=idempotency_key, fingerprint=fingerprint)
    if chosen and stored[0].message_id == new.id:
        files.clear([file.storage_key for file in chosen], objects)
    return _same(stored, fingerprint)


def _same(stored: tuple[Accepted, str], fingerprint: str) -> Accepted:
    accepted, of_first = stored
    if of_first != fingerprint:
        raise OtherRequest("this Idempotency-Key was used for another reply", fix="Use a new key for a new reply")
    return accepted
