"""What a sender wrote is told from what the mail quotes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inboxops.core.quote import new_part


@pytest.mark.parametrize(
    ("text", "new"),
    [
        ("Yes\n\nOn Mon, 2 Mar 2026 at 10:00, Bob <b@x.example> wrote:\n> old\n", "Yes"),
        ("Yes\n\nOn Mon, 2 Mar 2026 at 10:00,\nBob <b@x.example> wrote:\n> old\n", "Yes"),
        ("Ja\n\nAm 02.03.2026 um 10:00 schrieb Support:\n> alt\n", "Ja"),
        ("Oui\n\nLe lun. 2 mars 2026 à 10:00, Bob <b@x.example> a écrit :\n\n> vieux\n", "Oui"),
        ("Ok\n\n-----Original Message-----\nFrom: Bob\nSent: Monday\nTo: Anna\nSubject: x\n\nold", "Ok"),
        ("Ok\n\nFrom: Bob <b@x.example>\nSent: Monday, 2 March\nTo: Anna\nSubject: x\n\nold", "Ok"),
        ("Ok\n________________________________\nVon: Bob\nGesendet: Montag\nAn: Anna\nBetreff: x\n\nalt", "Ok"),
        ("好的\n\n2026年3月2日 10:00，Bob <b@x.example> 写道：\n> 旧\n", "好的"),
        ("Да\n\nпн, 2 мар. 2026 г. в 10:00, Bob <b@x.example> писал(а):\n> было\n", "Да"),
        ("On Mon, 2 Mar 2026, Bob wrote:\n> first?\none\n> second?\ntwo", "one\ntwo"),
        ("> only a quotation", "> only a quotation"),
        ("On Monday I wrote to you:\nnobody answered.", "On Monday I wrote to you:\nnobody answered."),
        ("Dear all: hello\nNote: 5 items", "Dear all: hello\nNote: 5 items"),
        ("", ""),
    ],
)
def test_the_new_part(text: str, new: str) -> None:
    assert new_part(text) == new


@given(st.text(max_size=500))
def test_something_is_left_of_any_text(text: str) -> None:
    assert bool(new_part(text).strip()) == bool(text.strip())
