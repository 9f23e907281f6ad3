"""A process killed at any boundary leaves what the next run ends: no mail lost or twice, one ticket, one mail, every event heard.

Compared each time with what the provider's server says it has, and took.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.crash.scenes import Scene
from tests.crash.servers import SCENES

TIMES = int(os.environ.get("INBOXOPS_TEST_CRASHES", "0"))
"""How often each point is tried at every provider; `make crash` asks for 10. 0: a choice of points, the providers taking turns."""

POINTS = {
    "register: behind tokens.renew": "a refresh token was taken, the new one is known to nobody",
    "register: behind commit of replace_credentials": "the new tokens are kept, not used yet",
    "register: behind watcher.register": "the provider pushes from now on, we don't know",
    "register: behind commit of push_registered": "the channel is known, what came before it was not asked for",
    "register: behind airflow.wake": "the inbox is woken",
    "probe: behind commit of take_fetch_slot": "there is news, nothing is read",
    "fetch: behind mailbox.batches": "a batch is in memory alone",
    "fetch: behind objects.put": "a pack is stored, no row names it",
    "fetch: behind commit of move_cursor": "rows and cursor, the stage not ended",
    "fetch: behind commit of is_read": "all is taken in and said to be, nothing is read",
    "classify: behind objects.get": "raw mail is read",
    "classify: behind objects.put": "an attachment is stored, no row names it",
    "classify: behind commit of save_classified": "verdicts are kept, nothing is filed",
    "persist: behind commit of add_outbox": "tickets and automatic answers are filed, nobody heard",
    "persist: behind bus.publish": "events are heard, and not known to be",
    "persist: behind commit of outbox_done": "events are done, the answers not started",
    "persist: behind airflow.start": "a send is started, and not known to be",
    "auto-response: behind commit of claim_send": "leased, nothing handed over",
    "auto-response: behind commit of hand_over": "permitted, not handed over: the doubt begins",
    "auto-response: behind sender.send": "the server took it, we don't know",
    "auto-response: behind commit of add_outbox": "sent, and no copy kept",
    "auto-response: behind sender.keep_copy": "the copy is kept",
    "reply: behind commit of add_outbox": "the reply is kept, not started; its client has no answer",
    "reply: behind airflow.start": "its send is started, and not known to be",
    "reply: behind bus.publish": "its events are heard, and not known to be",
    "send: behind commit of claim_send": "leased, nothing handed over",
    "send: behind commit of hand_over": "permitted, not handed over: the doubt begins",
    "send: behind sender.send": "the server took it, we don't know",
    "send: behind commit of add_outbox": "sent, and no copy kept",
    "send: behind bus.publish": "its events are heard, and not known to be",
    "replay: behind commit of release": "let out of its list, not filed",
    "replay: behind commit of save_classified": "judged again, not filed",
    "replay: behind commit of add_outbox": "a ticket, nobody heard",
    "drain: behind commit of claim_errands": "a wake-up is leased, not delivered",
    "drain: behind airflow.wake": "delivered, and not known to be",
}
"""Boundary -> what is true there."""

UNNAMED = {
    "probe: behind tokens.current", "fetch: behind tokens.current", "register: behind tokens.current",
    "auto-response: behind tokens.current", "send: behind tokens.current", "fetch: behind provider.open",
    "auto-response: behind bus.publish", "auto-response: behind commit of outbox_done", "reply: behind commit of outbox_done",
    "send: behind commit of outbox_done", "send: behind sender.keep_copy", "replay: behind objects.get",
    "replay: behind bus.publish", "replay: behind commit of outbox_done", "drain: behind commit of add_errand",
    "drain: behind commit of errand_done",
    "afterwards: behind commit of claim_send", "drain: behind commit of close_notices", "drain: behind commit of outbox_done",
    "drain: behind commit of end_all_looks", "drain: behind commit of drained", "drain: behind commit of order_left_sends",
}  # fmt: skip
"""Boundaries that leave nothing behind that another one does not: they only read, or repeat a named one's in another stage."""

CLOUDS = ("gmail", "microsoft")
CONSENT_LOST = "register: behind tokens.renew"
"""Where a server makes a refresh token worthless as it hands out the next, nobody can save the consent. Microsoft and Google
don't; the stand-in for Microsoft does here, to see what becomes of the inbox."""

CROSSED_TWICE = ("fetch: behind objects.put", "fetch: behind commit of move_cursor")
"""Once for each batch, of which there are two."""

SENDING = ("auto-response", "send")
DOUBT = {f"{stage}: behind {what}" for stage in SENDING for what in ("commit of hand_over", "sender.send")}
"""Where SMTP, and JMAP, whose drafts prove nothing, may leave a doubt that only a person can end (ADR 0005)."""

SHORT = (
    "register: behind tokens.renew", "register: behind watcher.register", "fetch: behind mailbox.batches",
    "fetch: behind objects.put", "fetch: behind commit of move_cursor", "classify: behind objects.put",
    "classify: behind commit of save_classified", "persist: behind commit of add_outbox", "persist: behind bus.publish",
    "persist: behind airflow.start", "auto-response: behind commit of hand_over", "auto-response: behind sender.send",
    "reply: behind commit of add_outbox", "send: behind sender.send", "send: behind commit of add_outbox",
    "replay: behind commit of release", "drain: behind commit of claim_errands", "drain: behind airflow.wake",
)  # fmt: skip
"""What fits into everyday's tests."""


def cases() -> list[tuple[str, str, int]]:
    """(point, kind of mailbox, attempt)."""
    chosen = []
    for number, point in enumerate(POINTS if TIMES else SHORT):
        kinds = list(CLOUDS if point.startswith("register") else SCENES)
        if TIMES:
            chosen += [(point, kind, attempt) for kind in kinds for attempt in range(TIMES)]
        else:
            chosen.append((point, kinds[number % len(kinds)], 0))
    return chosen


@pytest.mark.parametrize(("point", "kind", "attempt"), cases())
def test_what_a_killed_process_left_is_ended_by_the_next(
    stage: Callable[[str], Scene], point: str, kind: str, attempt: int
) -> None:
    """Where a boundary is crossed several times, each repetition dies at another crossing."""
    scene = stage(kind)
    nth = 1 + attempt % 2 if point in CROSSED_TWICE else 1
    assert scene.live(point, nth).was_killed, "it came there"
    scene.let_leases_end()
    ended = scene.live()
    if point == CONSENT_LOST and kind == "microsoft":
        assert "AuthenticationFailed" in ended.error
        scene.told_once("inbox.disconnected")
        scene.reconnect()
        ended = scene.live()
    assert not ended.error, ended.error
    scene.check(doubt=point in DOUBT and kind in ("imap", "jmap"))


@pytest.mark.parametrize("kind", SCENES if TIMES else ("imap", "microsoft"))
def test_every_boundary_has_a_name_in_the_matrix(stage: Callable[[str], Scene], kind: str) -> None:
    """What crosses a new one has to say what is true there, and is killed there from then on."""
    scene = stage(kind)
    ended = scene.live()
    assert not ended.error, ended.error
    crossed = {name for name in ended.crossed if ": behind " in name}
    assert crossed - POINTS.keys() - UNNAMED == set()
    expected = {point for point in POINTS if kind in CLOUDS or not point.startswith("register")}
    assert expected - crossed == set()
    scene.check()
