"""The Sent folder of an IMAP account: where it is, whether a message of ours is in it, a copy put there."""

from __future__ import annotations

from imapclient import SEEN
from imapclient.imapclient import SENT

from inboxops.providers.imap_session import Session

NAMES = ("Sent", "Sent Items", "Sent Messages", "Sent Mail", "INBOX.Sent", "INBOX/Sent")


def find_folder(session: Session, configured: str = "") -> str | None:
    """The configured folder, the one marked \\Sent (RFC 6154), or one of a usual name; None when there is none."""
    with session.speaking("folder"):
        marked = None if configured else session.client.find_special_folder(SENT)
        if marked:
            return str(marked)
        known = {str(name).lower(): str(name) for _, _, name in session.client.list_folders()}
    return next(
        (known[name.lower()] for name in ((configured,) if configured else NAMES) if name.lower() in known), None
    )


def holds(session: Session, message_id: str, configured: str = "") -> bool:
    """Whether a message with this Message-ID (without brackets) is in the Sent folder."""
    folder = find_folder(session, configured)
    if folder is None:
        return False
    with session.speaking("folder"):
        session.client.select_folder(folder, readonly=True)
    with session.speaking("read"):
        return bool(session.client.search(["HEADER", "Message-ID", f"<{message_id}>"]))


def append(session: Session, raw: bytes, configured: str = "") -> None:
    """A copy, marked as read, in the Sent folder, which is made when there is none."""
    folder = find_folder(session, configured)
    with session.speaking("folder"):
        if folder is None:
            folder = configured or NAMES[0]
            session.client.create_folder(folder)
        session.client.append(folder, raw, flags=(SEEN,))
