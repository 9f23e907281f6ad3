"""Messages that share an object stay apart: each is read, and erased, alone."""

from __future__ import annotations

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from inboxops.core.packs import erase, pack, spans, unpack

MESSAGES = [
    (b"Subject: one\r\n\r\nHello\r\n" * 40, b"a note"),
    (b"", b""),
    (b"\x00" * 1000, b""),
    (bytes(range(256)) * 10, b"another"),
]


@given(st.lists(st.tuples(st.binary(max_size=2000), st.binary(max_size=100)), max_size=8))
def test_every_message_comes_back_from_its_own_place_with_the_note_on_it(messages: list[tuple[bytes, bytes]]) -> None:
    packed, places = pack(messages)
    assert [unpack(packed[offset : offset + length]) for offset, length in places] == messages
    assert sum(length for _, length in places) == len(packed)


@given(st.lists(st.binary(max_size=2000), max_size=5))
def test_files_stand_behind_all_frames_as_they_are(files: list[bytes]) -> None:
    packed, places = pack(MESSAGES, files)
    alone, frames = pack(MESSAGES)
    assert (packed[: len(alone)], places[: len(MESSAGES)]) == (alone, frames)
    assert [packed[offset : offset + length] for offset, length in places[len(MESSAGES) :]] == files
    assert sum(length for _, length in places) == len(packed)


def test_what_a_pack_holds_of_a_mail_is_its_frame_and_the_files_that_have_an_offset() -> None:
    assert list(spans(10, 50, [5000, 7, 8], [None, 90, 0])) == [(10, 50), (90, 7), (0, 8)]
    assert list(spans(10, 50, [5000], None)) == [(10, 50)], "of mail that was stored before"
    assert list(spans(10, 50, None, None)) == [(10, 50)]


def test_erasing_one_message_leaves_the_others_and_their_places() -> None:
    packed, places = pack(MESSAGES)
    erased = erase(packed, *places[0])
    assert len(erased) == len(packed)
    assert [unpack(erased[offset : offset + length]) for offset, length in places[1:]] == MESSAGES[1:]
    with pytest.raises(ValueError, match="erased"):
        unpack(erased[: places[0][1]])


@pytest.mark.parametrize("message", [MESSAGES[0], MESSAGES[3]])
def test_a_damaged_frame_is_noticed(message: tuple[bytes, bytes]) -> None:
    packed, _ = pack([message])
    with pytest.raises(ValueError, match="damaged"):
        unpack(packed[:-1] + bytes([packed[-1] ^ 1]))


def test_a_message_without_a_note_is_one_frame_as_any_zstandard_reads_it() -> None:
    message = MESSAGES[2][0]
    packed, _ = pack([(message, b"")])
    assert packed == zstandard.ZstdCompressor(level=1, write_checksum=True).compress(message)
    assert unpack(packed) == (message, b"")


def test_the_length_of_a_note_is_no_way_out_of_its_frame() -> None:
    packed, _ = pack([(b"text", b"note")])
    with pytest.raises(ValueError, match="damaged"):
        unpack(packed[:8] + b"\xff\xff\xff\x7f" + packed[12:])


@pytest.mark.parametrize("place", [(-1, 2), (0, 10_000), (5, -1)])
def test_a_place_outside_the_pack_is_refused(place: tuple[int, int]) -> None:
    packed, _ = pack(MESSAGES)
    with pytest.raises(ValueError, match="outside"):
        erase(packed, *place)
