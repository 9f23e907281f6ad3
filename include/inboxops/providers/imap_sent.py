"""The Sent folder of an IMAP account: where it is, whether a message of ours is in it, a copy put there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from imapclient import SEEN
from imapclient.imapclient import SENT

from inboxops.core.model import Copy
from inboxops.core.rules.own_loop import LOOP_HEADER
from inboxops.providers.imap_session import Session
from inboxops.providers.sent_mark import mark_of, message_id_of

NAMES = ("Sent", "Sent Items", "Sent Messages", "Sent Mail", "INBOX.Sent", "INBOX/Sent")
_HEADERS = f"MESSAGE-ID {LOOP_HEADER.upper()}"
_NO_FOLDER = {b"\\noselect", b"\\nonexistent"}
"""A name alone, above other folders, which nobody can open (RFC 9051, 7.3.1)."""
_PAGE = 500  # RFC 7162, section 4: a command line stays under 8,192 bytes


def find_folder(session: Session, configured: str = "") -> str | None:
    """The configured folder, the one marked \\Sent (RFC 6154), or one of a usual name; None when there is none."""
    with session.speaking("folder"):
        listed = [({flag.lower() for flag in flags}, str(name)) for flags, _, name in session.client.list_folders()]
    folders = [(flags, name) for flags, name in listed if not flags & _NO_FOLDER]
    known = {name.lower(): name for _, name in folders}
    if configured:
        return known.get(configured.lower())
    marked = next((name for flags, name in folders if SENT.lower() in flags), None)
    if marked is not None:
        return marked
    names = (*NAMES, *(_prefix(session) + name for name in NAMES))
    return next((known[name.lower()] for name in names if name.lower() in known), None)


def holds(session: Session, message_id: str, configured: str = "") -> bool | None:
    """Whether a message with this Message-ID (without brackets) is in the Sent folder; None where no such folder is found."""
    folder = find_folder(session, configured)
    if folder is None:
        return None
    with session.speaking("folder"):
        session.client.select_folder(folder, readonly=True)
    with session.speaking("read"):
        return bool(session.client.search(["HEADER", "Message-ID", f"<{message_id}>"]))


def copies(session: Session, since: datetime, configured: str = "") -> Iterator[Copy]:
    """Message-IDs of what came into the Sent folder since then."""
    folder = find_folder(session, configured)
    if folder is None:
        return
    with session.speaking("folder"):
        session.client.select_folder(folder, readonly=True)
    with session.speaking("read"):
        # The date alone counts, in whatever time zone it is kept (RFC 9051, 6.4.4).
        uids = sorted(session.client.search(["SINCE", since.date() - timedelta(days=1)]))
    for start in range(0, len(uids), _PAGE):
        with session.speaking("read"):
            answer = session.client.fetch(uids[start : start + _PAGE], [f"BODY.PEEK[HEADER.FIELDS ({_HEADERS})]"])
        for fields in answer.values():
            for name, head in fields.items():
                if name.startswith(b"BODY[") and isinstance(head, bytes):
                    yield Copy(message_id_of(head), mark_of(head))


def append(session: Session, raw: bytes, configured: str = "") -> None:
    """A copy, marked as read, in the Sent folder, which is made when there is none."""
    folder = find_folder(session, configured)
    if folder is None:
        folder = configured or _prefix(session) + NAMES[0]
        with session.speaking("folder"):
            session.client.create_folder(folder)
    with session.speaking("folder"):
        session.client.append(folder, raw, flags=(SEEN,))


def _prefix(session: Session) -> str:
    """What the names of the account's own folders begin with (RFC 2342): `INBOX.` at Courier, mostly nothing."""
    with session.speaking("folder"):
        personal = session.client.namespace().personal if session.client.has_capability("NAMESPACE") else None
    return str(personal[0][0]) if personal else ""
