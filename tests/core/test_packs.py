"""Messages that share an object stay apart: each is read, and erased, alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inboxops.core.packs import erase, pack, unpack

MESSAGES = [b"Subject: one\r\n\r\nHello\r\n" * 40, b"", b"\x00" * 1000, bytes(range(256)) * 10]


@given(st.lists(st.binary(max_size=2000), max_size=8))
def test_every_message_comes_back_from_its_own_place(messages: list[bytes]) -> None:
    packed, places = pack(messages)
    assert [unpack(packed[offset : offset + length]) for offset, length in places] == messages
    assert sum(length for _, length in places) == len(packed)


def test_erasing_one_message_leaves_the_others_and_their_places() -> None:
    packed, places = pack(MESSAGES)
    erased = erase(packed, *places[0])
    assert len(erased) == len(packed)
    assert [unpack(erased[offset : offset + length]) for offset, length in places[1:]] == MESSAGES[1:]
    with pytest.raises(ValueError, match="erased"):
        unpack(erased[: places[0][1]])


def test_a_damaged_frame_is_noticed() -> None:
    packed, [(_, length)] = pack([MESSAGES[0]])
    with pytest.raises(ValueError, match="damaged"):
        unpack(packed[: length - 1] + bytes([packed[-1] ^ 1]))


@pytest.mark.parametrize("place", [(-1, 2), (0, 10_000), (5, -1)])
def test_a_place_outside_the_pack_is_refused(place: tuple[int, int]) -> None:
    packed, _ = pack(MESSAGES)
    with pytest.raises(ValueError, match="outside"):
        erase(packed, *place)
