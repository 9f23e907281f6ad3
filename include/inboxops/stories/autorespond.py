"""Auto-response: the inbox's template becomes a message of ours, stored together with the ticket that it answers."""

from __future__ import annotations

from collections.abc import Callable

from inboxops.core import outbound, template
from inboxops.core.autorespond import WantedResponse
from inboxops.core.inbox import Inbox
from inboxops.core.model import Address
from inboxops.core.outbound import Answered, NewOutbound
from inboxops.core.signing import SigningKey
from inboxops.errors import InvalidInput

Responder = Callable[..., NewOutbound | None]


def responder(inbox: Inbox, *, signing_key: SigningKey) -> Responder | None:
    """How this inbox answers new tickets by itself; None when it does not, or can't any more."""
    if inbox.is_removed or not inbox.auto_response_enabled or not inbox.auto_response_body.strip():
        return None
    is_html = template.is_html(inbox.auto_response_body)

    def respond(wanted: WantedResponse, *, id: int, ticket_id: int, ticket_number: int) -> NewOutbound | None:
        """None when the inbox or the sender has no address that mail can carry: that must not hold up the ticket."""
        filled = template.render(
            inbox.auto_response_body,
            {
                "ticket_number": str(ticket_number),
                "org_name": inbox.tenant_name,
                "inbox_name": inbox.display_name or inbox.name,
                "sender_name": wanted.sender_name,
            },
        )
        answered = Answered(
            tenant_id=inbox.tenant_id,
            inbox_id=inbox.id,
            ticket_id=ticket_id,
            ticket_number=ticket_number,
            subject=wanted.subject,
            sender=Address(inbox.display_name, inbox.email_address),
            people=(wanted.to,),
            message_id=wanted.message_id,
            references=wanted.references,
        )
        text, html = ("", filled) if is_html else (filled, "")
        try:
            return outbound.auto_response(answered, id=id, text=text, html=html, signing_key=signing_key)
        except InvalidInput:
            return None

    return respond
