"""Message-IDs are compared normalised, kept short for the index, and ours are recognised and can't be forged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inboxops.core import ids
from inboxops.core.signing import SigningKey

KEY = SigningKey(b"a signing key of thirty-two bytes")


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("<A.b@Example.COM>", "A.b@example.com"),
        (" <a@b> (comment)", "a@b"),
        ("<a\r\n b@c>", "ab@c"),
        ("<[hex]@Host>", "[hex]@host"),
        ("<no-domain>", "no-domain"),
        ("a@b", "a@b"),
        ("<a@b", "a@b"),
        ("<>", ""),
        ("", ""),
    ],
)
def test_an_id_is_compared_without_brackets_and_with_its_domain_lower_cased(text: str, normal: str) -> None:
    assert ids.normalise_message_id(text) == normal


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<a@x> <b@x>", ("a@x", "b@x")),
        ("<a@x>,\t<b@x>,<a@x>", ("a@x", "b@x")),
        ("a@x b@x", ("a@x", "b@x")),
        ("Anna's message of Monday <a@x>", ("a@x",)),
        ("<a@x>\r\n <b@x>", ("a@x", "b@x")),
        ("nothing here", ()),
        ("<> <>", ()),
    ],
)
def test_references_are_read_through_commas_tabs_and_lost_brackets(text: str, found: tuple[str, ...]) -> None:
    assert ids.message_ids(text) == found


def test_a_missing_id_is_made_from_the_bytes_so_that_a_second_fetch_is_a_duplicate() -> None:
    assert ids.synthetic_message_id(b"x") == ids.synthetic_message_id(b"x") != ids.synthetic_message_id(b"y")


def test_an_id_longer_than_an_index_row_is_indexed_by_its_hash() -> None:
    long = "a" * 4096 + "@b"
    assert ids.id_key("short@id") == "short@id"
    assert ids.id_key(long).startswith("sha256:")
    assert len(ids.id_key(long)) < ids.INDEXABLE_LENGTH
    assert ids.id_key(long) != ids.id_key("b" + long)


@given(st.integers(1, 10**15), st.integers(1, 10**15))
def test_our_own_ids_come_back_whatever_surrounds_or_upper_cases_them(ticket: int, message: int) -> None:
    made = ids.make_message_id(ticket_id=ticket, message_id=message, domain="Mail.Shop.example", signing_key=KEY)
    assert made == ids.normalise_message_id(f"<{made}>")
    assert ids.read_message_id(made, KEY) == (ticket, message)
    assert ids.read_message_id(f"In your mail <{made.upper()}> you said", KEY) == (ticket, message)
    assert len(made.partition("@")[0]) <= 64


@given(st.integers(1, 10**9), st.integers(1, 10**9), st.integers(0, 25))
def test_a_forged_or_foreign_id_is_nobodys(ticket: int, message: int, position: int) -> None:
    made = ids.make_message_id(ticket_id=ticket, message_id=message, domain="shop.example", signing_key=KEY)
    assert ids.read_message_id(made, SigningKey(b"another key")) is None
    assert ids.read_message_id(made, SigningKey()) is None
    assert ids.read_message_id(made.replace(f".{ticket}.", f".{ticket + 1}.", 1), KEY) is None
    letters = made.partition("@")[0]
    at = len(letters) - 26 + position
    forged = letters[:at] + ("a" if letters[at] != "a" else "b") + letters[at + 1 :] + "@shop.example"
    assert ids.read_message_id(forged, KEY) is None


@given(st.integers(1, 10**15))
def test_body_markers_name_their_ticket(ticket: int) -> None:
    marker = ids.make_body_marker(ticket, KEY)
    assert ids.read_body_markers(f"> quoted {marker}\n{marker}", KEY) == (ticket,)
    assert ids.read_body_markers(marker, SigningKey(b"other")) == ()


def test_nothing_is_signed_without_a_key() -> None:
    with pytest.raises(ValueError, match="signing key"):
        ids.make_body_marker(1, SigningKey())


@given(st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    for one in ids.message_ids(text):
        assert one
        assert ids.normalise_message_id(f"<{one}>") in {one, ids.normalise_message_id(one)}
    ids.read_message_id(text, KEY)
    ids.read_body_markers(text, KEY)
