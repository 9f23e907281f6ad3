"""Mail over IMAP: what stands behind a cursor, in bounded batches, without marking anything as read.

A cursor is (UIDVALIDITY, last UID) of the one folder an inbox reads (RFC 9051, 2.3.1.1). The last batch of a run moves
it to UIDNEXT - 1, so that mail which came and went between two runs is not looked for again.

UIDs are never given away twice under one UIDVALIDITY, but they are where a server's machine is put back to a snapshot. Then
UIDNEXT goes back, or the message that was read last is another. Two runs have to see it, for a replica may lag behind; from then
on it is what a new UIDVALIDITY is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from imapclient import IMAPClient

from inboxops.core.model import Batch, Cursor, Listed, RawMessage, Removed, Reused
from inboxops.errors import Throttled, TransientError
from inboxops.ports import Account, FetchLimits, MailboxInfo
from inboxops.providers.imap_errors import passes_by
from inboxops.providers.imap_session import Endpoint, FolderState, Session, connect

_UIDS_PER_SEARCH = 50_000  # imaplib refuses a line over 1,000,000 bytes, and a UID may take 11
_UIDS_PER_COMMAND = 500  # RFC 7162, section 4: a command line stays under 8,192 bytes


class ImapProvider:
    """Opens mailboxes over IMAP. Times are seconds; every step has one."""

    def __init__(self, *, connect_seconds: float = 15, read_seconds: float = 60) -> None:
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds

    @contextmanager
    def open(self, account: Account) -> Iterator[ImapMailbox]:
        session = self.session(account)
        try:
            yield ImapMailbox(session)
        except BaseException:
            session.close(politely=False)
            raise
        session.close()

    def session(self, account: Account) -> Session:
        """A logged-in connection that the caller closes."""
        return connect(Endpoint.of(account), connect_seconds=self._connect_seconds, read_seconds=self._read_seconds)


@dataclass(frozen=True, slots=True)
class _Plan:
    """Which UIDs a run reads, in ascending order. `goal` is the last UID that the folder has given away.

    import_until: messages up to this UID are imported ones, None when all are new. seen: as `Cursor.last_seen`, before the first
    of them. reused: of a rescan, the keys it gives. went_back: it has to be seen once more before anything is read.
    """

    uid_validity: int
    goal: int
    uids: Sequence[int]
    import_until: int | None
    seen: str | None = None
    note: str = ""
    reused: Reused | None = None
    went_back: bool | None = None

    def cursor_at(self, uid: int, seen: str | None) -> Cursor:
        importing = self.import_until is not None and uid < self.import_until
        return Cursor(
            uid_validity=self.uid_validity,
            last_uid=uid,
            import_until=self.import_until if importing else None,
            last_seen=seen,
            went_back=self.went_back,
        )


@dataclass(frozen=True, slots=True)
class _Facts:
    uid: int
    size_bytes: int
    received_at: datetime

    def __str__(self) -> str:
        """As `Cursor.last_seen`."""
        return f"{self.uid} {self.size_bytes} {self.received_at.timestamp():.0f}"


class ImapMailbox:
    """One folder of an account, on a session that the caller holds."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def info(self) -> MailboxInfo:
        state = self._session.examine()
        with self._session.speaking("read"):
            capabilities = self._session.client.capabilities()
        return MailboxInfo(
            server=self._session.endpoint.server,
            folder=self._session.endpoint.folder,
            messages=state.messages,
            capabilities=tuple(sorted(name.decode("ascii", "replace") for name in capabilities)),
        )

    def has_news(self, cursor: Cursor) -> bool:
        state = self._session.status()
        if cursor.last_uid is None or cursor.went_back or cursor.uid_validity != state.uid_validity:
            return True
        if state.uid_next is not None and state.uid_next > cursor.last_uid:
            return state.uid_next > cursor.last_uid + 1
        here = self._credible(self._session.examine(), cursor.last_uid)
        went_back = here.uid_next is not None and here.uid_next <= cursor.last_uid
        has_news = went_back or bool(self._behind(here, cursor.last_uid))
        self._session.leave()
        return has_news

    def batches(self, cursor: Cursor, limits: FetchLimits) -> Iterator[Batch]:
        plan = self._plan(self._session.examine(), cursor, limits)
        seen, note, reused = plan.seen, plan.note, plan.reused
        in_spam_folder = bool(plan.uids) and self._session.is_junk()
        for group in self._groups(plan.uids, limits):
            last_uid = group[-1].uid
            seen = next((str(one) for one in reversed(group) if one.size_bytes), seen)
            messages = self._messages(group, plan, limits, in_spam_folder=in_spam_folder)
            is_last = last_uid == plan.uids[-1]
            yield Batch(messages, plan.cursor_at(plan.goal if is_last else last_uid, seen), note, reused)
            del messages
            note, reused = "", None
        if not plan.uids and plan.cursor_at(plan.goal, seen) != cursor:
            yield Batch((), plan.cursor_at(plan.goal, seen), note, reused)

    def listing(self, since: datetime, until: datetime) -> Iterator[Listed]:
        state = self._session.examine()
        # SINCE looks at the date alone, in whatever time zone INTERNALDATE has (RFC 9051, 6.4.4).
        uids = self._since(state, since.date() - timedelta(days=1))
        for start in range(0, len(uids), _UIDS_PER_COMMAND):
            for one in self._list(uids[start : start + _UIDS_PER_COMMAND]):
                if since <= one.received_at < until:
                    yield Listed(self._key(state.uid_validity, one.uid), one.size_bytes, one.received_at)

    def named(self, wanted: Sequence[Listed], cursor: Cursor, limits: FetchLimits) -> Iterator[Batch]:
        state = self._session.examine()
        here = self._key(state.uid_validity, "")
        uids = sorted(int(one.key.removeprefix(here)) for one in wanted if one.key.startswith(here))
        plan = _Plan(state.uid_validity, goal=0, uids=uids, import_until=uids[-1] if uids else None)
        in_spam_folder = bool(uids) and self._session.is_junk()
        for group in self._groups(uids, limits):
            yield Batch(self._messages(group, plan, limits, in_spam_folder=in_spam_folder), cursor)

    def remove(self, key: str) -> Removed:
        """By MOVE (RFC 6851), or UID EXPUNGE (RFC 4315): a plain EXPUNGE would take what others have marked."""
        here = self._key(self._session.select().uid_validity, "")
        uid = key.removeprefix(here)
        if not key.startswith(here) or not self._still_there([int(uid)]):
            return Removed.GONE
        trash = self._session.trash()
        self._session.move(int(uid), trash)
        return Removed.TRASHED if trash else Removed.DELETED

    def _key(self, uid_validity: int, uid: int | str) -> str:
        return f"{self._session.endpoint.folder}/{uid_validity}/{uid}"

    def _plan(self, state: FolderState, cursor: Cursor, limits: FetchLimits) -> _Plan:
        folder, last_uid = self._session.endpoint.folder, cursor.last_uid
        why = f"UIDVALIDITY of {folder!r} changed from {cursor.uid_validity} to {state.uid_validity}"
        if last_uid is not None and cursor.uid_validity == state.uid_validity:
            state = self._credible(state, last_uid)
            evidence = self._went_back(state, last_uid, cursor.last_seen)
            here = _Plan(state.uid_validity, last_uid, [], cursor.import_until, cursor.last_seen)
            if not evidence:
                uids = self._behind(state, last_uid)
                return replace(here, goal=self._goal(state, uids, last_uid), uids=uids)
            if not cursor.went_back:
                return replace(here, went_back=True)
            why = f"{folder!r} went back to an earlier state ({evidence})"
        first = cursor.uid_validity is None
        since = datetime.now(UTC).date() - timedelta(days=limits.first_sync_days if first else limits.rescan_days)
        uids = self._since(state, since)
        if first:
            uids = uids[max(0, len(uids) - limits.first_sync_messages) :]
            note = f"first sync: {len(uids)} messages since {since} are imported"
        else:
            note = f"{why}: {len(uids)} messages since {since} are read again, older ones are not"
        given = (
            uids if uids or state.uid_next else self._behind(state, 0)
        )  # older mail is no news, also where UIDNEXT is not told
        goal = self._goal(state, given, 0)
        # Also a UIDVALIDITY may be one that the folder had before.
        reused = None if first else Reused(self._key(state.uid_validity, ""), uids[0] if uids else goal + 1)
        return _Plan(state.uid_validity, goal, uids, import_until=goal, note=note, reused=reused)

    def _went_back(self, state: FolderState, last_uid: int, last_seen: str | None) -> str:
        """By what it is known that UIDs up to `last_uid` are given away again; "" when they are not.

        A message is another when both its size and its arrival time are: there are servers that tell either anew.
        """
        if state.uid_next is not None and state.uid_next <= last_uid:
            return f"UIDNEXT is {state.uid_next}, and {last_uid} was read"
        if last_seen is None or not state.messages:
            return ""
        known = last_seen.split()
        [there] = self._list([int(known[0])])
        is_another = there.size_bytes and all(a != b for a, b in zip(known[1:], str(there).split()[1:], strict=True))
        return f"UID {there.uid} is another message than it was" if is_another else ""

    def _credible(self, state: FolderState, last_uid: int) -> FolderState:
        """Without a UIDNEXT that is not above the UIDs that are there, as some servers tell."""
        if state.uid_next is None or state.uid_next > last_uid:
            return state
        untold = replace(state, uid_next=None)
        return untold if self._behind(untold, state.uid_next - 1) else state

    def _goal(self, state: FolderState, uids: Sequence[int], last_uid: int) -> int:
        return max(last_uid, state.uid_next - 1 if state.uid_next else 0, uids[-1] if uids else 0)

    def _behind(self, state: FolderState, last_uid: int) -> list[int]:
        """UIDs above `last_uid` that were there when the folder was opened.

        `n+1:*` always names at least the last message (RFC 9051, 6.4.8), so what is not greater is dropped. A folder
        with more messages than fit in one answer is searched in windows.
        """
        if not state.messages or (state.uid_next is not None and state.uid_next <= last_uid + 1):
            return []
        if state.uid_next is None:
            return [uid for uid in self._search(b"UID", b"%d:*" % (last_uid + 1)) if uid > last_uid]
        window = self._per_search(state) or state.uid_next
        return [
            uid
            for low in range(last_uid + 1, state.uid_next, window)
            for uid in self._search(b"UID", b"%d:%d" % (low, min(low + window, state.uid_next) - 1))
        ]

    def _since(self, state: FolderState, since: date) -> list[int]:
        if not state.messages:
            return []
        window = self._per_search(state)
        if window is None or state.uid_next is None:
            return self._search(b"SINCE", since)
        return [
            uid
            for low in range(1, state.uid_next, window)
            for uid in self._search(b"UID", b"%d:%d" % (low, low + window - 1), b"SINCE", since)
        ]

    def _per_search(self, state: FolderState) -> int | None:
        """How many UIDs one search may be about, None for all that there are.

        Of more than it announces a server searches a part alone, and says OK (RFC 9738, 3).
        """
        most = min(_UIDS_PER_SEARCH, self._session.message_limit() or _UIDS_PER_SEARCH)
        return most if state.messages > most else None

    def _search(self, *criteria: bytes | date) -> list[int]:
        with self._session.speaking("read"):
            return sorted(self._session.client.search(list(criteria)))

    def _groups(self, uids: Sequence[int], limits: FetchLimits) -> Iterator[list[_Facts]]:
        """Neighbours that are taken in together: bounded in count, and in bytes unless one message alone is larger."""
        group: list[_Facts] = []
        size_bytes = 0
        step = min(limits.batch_messages, _UIDS_PER_COMMAND)
        for start in range(0, len(uids), step):
            for listed in self._list(uids[start : start + step]):
                weight = listed.size_bytes if listed.size_bytes <= limits.message_bytes else 0
                if group and (len(group) >= limits.batch_messages or size_bytes + weight > limits.batch_bytes):
                    yield group
                    group, size_bytes = [], 0
                group.append(listed)
                size_bytes += weight
        if group:
            yield group

    def _list(self, uids: Sequence[int]) -> list[_Facts]:
        """Sizes in bytes and arrival times; a UID that was deleted meanwhile keeps its place in the order."""
        with self._session.speaking("read"):
            answer = self._session.client.fetch(uids, [b"RFC822.SIZE", b"INTERNALDATE"])
        listed = []
        for uid in uids:
            fields = answer.get(uid, {})
            size, arrived = fields.get(b"RFC822.SIZE"), fields.get(b"INTERNALDATE")
            listed.append(
                _Facts(
                    uid=uid,
                    size_bytes=size if isinstance(size, int) else 0,
                    received_at=_received_at(arrived),
                )
            )
        return listed

    def _messages(
        self, group: Sequence[_Facts], plan: _Plan, limits: FetchLimits, *, in_spam_folder: bool
    ) -> tuple[RawMessage, ...]:
        refused = {
            listed.uid: f"{listed.size_bytes} bytes are more than the {limits.message_bytes} that are taken in"
            for listed in group
            if listed.size_bytes > limits.message_bytes
        }
        bodies = self._bodies([listed.uid for listed in group if listed.uid not in refused], refused)
        messages = []
        for listed in group:
            raw = bodies.pop(listed.uid, None)
            if raw is None and listed.uid not in refused:
                continue  # deleted between the list and the fetch
            messages.append(
                RawMessage(
                    key=self._key(plan.uid_validity, listed.uid),
                    raw=raw,
                    received_at=listed.received_at,
                    size_bytes=listed.size_bytes if raw is None else len(raw),
                    in_spam_folder=in_spam_folder,
                    imported=plan.import_until is not None and listed.uid <= plan.import_until,
                    refusal=refused.get(listed.uid, ""),
                )
            )
        return tuple(messages)

    def _bodies(self, uids: Sequence[int], refused: dict[int, str]) -> dict[int, bytes]:
        """Whole messages by UID, many in one command. What the server lists but won't deliver goes to `refused`.

        A NO may be about one message among many, so they are then asked for one by one; when none comes at all, it was
        about the server.
        """
        try:
            bodies = self._fetch_bodies(uids)
        except TransientError as exc:
            if not _may_be_about_a_message(exc):
                raise
            bodies = {}
        missing = self._still_there([uid for uid in uids if uid not in bodies])
        for uid in missing:
            is_last_hope = len(missing) > 1 and uid == missing[-1] and not bodies
            try:
                bodies |= self._fetch_bodies([uid])
            except TransientError as exc:
                if not _may_be_about_a_message(exc) or is_last_hope:
                    raise
                refused[uid] = str(exc)
            else:
                if uid not in bodies and self._still_there([uid]):
                    refused[uid] = f"{self._session.endpoint.server} lists the message but does not deliver it"
                    if is_last_hope:
                        raise TransientError(
                            f"{self._session.endpoint.server} delivers none of {len(missing)} messages"
                        )
        return bodies

    def _fetch_bodies(self, uids: Sequence[int]) -> dict[int, bytes]:
        if not uids:
            return {}
        with self._session.speaking("read"):
            answer = self._session.client.fetch(uids, [b"BODY.PEEK[]"])
        # Nothing at all is no mail either: servers say it while they can't reach their own store.
        return {uid: raw for uid, fields in answer.items() if isinstance(raw := fields.get(b"BODY[]"), bytes) and raw}

    def _still_there(self, uids: Sequence[int]) -> list[int]:
        if not uids:
            return []
        wanted = set(uids)
        return [uid for uid in self._search(b"UID", b",".join(b"%d" % uid for uid in uids)) if uid in wanted]


def _may_be_about_a_message(error: TransientError) -> bool:
    """Whether the server refused one FETCH, rather than being in trouble or gone."""
    cause = error.__cause__
    if not isinstance(cause, IMAPClient.Error) or isinstance(cause, IMAPClient.AbortError):
        return False
    return not isinstance(error, Throttled) and not passes_by(str(cause))


def _received_at(arrived: object) -> datetime:
    """INTERNALDATE in UTC; now, where the server sends none that is a date."""
    try:
        if isinstance(arrived, datetime):
            return arrived.replace(tzinfo=arrived.tzinfo or UTC).astimezone(UTC)
    except OverflowError:  # year 1 or 9999 with an offset
        pass
    return datetime.now(UTC)
