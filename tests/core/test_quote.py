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
        ("Sí\n\nEl mar, 2 mar 2026 a las 10:00, Bob (<b@x.example>) escribió:\n\nviejo", "Sí"),
        ("Tak\n\npon., 2 mar 2026 o 10:00 Bob <b@x.example> napisał(a):\n\nstare", "Tak"),
        ("Da\n\n2. ožu 2026. u 10:00 Bob <b@x.example> napisao je:\nstaro", "Da"),
        ("Да\n\nпн, 2 мар. 2026 г. в 10:00, Bob <b@x.example>:\n\nбыло", "Да"),
        ("はい\n\n2026/03/02 10:00、Bob <b@x.example>のメール:\n\n旧", "はい"),
        ("Ok\n\nBob <b@x.example> şunları yazdı (2 Mar 2026 10:00):\n\neski", "Ok"),
        ("Ok\n\nW dniu 02.03.2026 o 10:00, Bob pisze:\n> stare", "Ok"),
        ("Ok\n\n    On Monday, March 2, 2026 at 10:00:00 AM GMT+1, Bob <b@x.example> wrote:  \n \n old", "Ok"),
        ("Ok\n\n---- On Mon, 02 Mar 2026 10:00:00 +0100 Bob <b@x.example> wrote ---\n\nold", "Ok"),
        ("Ok\n\nΑπό: Bob <b@x.example>\nΣτάλθηκε: Δευτέρα\nΠρος: Anna\nΘέμα: x\n\nπαλιό", "Ok"),
        ("Ok\n\n*Kimden:* Bob\n*Gönderildi:* Pazartesi\n*Kime:* Anna\n*Konu:* x\n\neski", "Ok"),
        ("Ok\n\nGesendet: Montag um 10:00\nVon: Bob <b@x.example>\nAn: Anna\nBetreff: x\n\nalt", "Ok"),
        ("Ok\n\n------------------ 原始邮件 ------------------\n发件人: Bob\n\n旧", "Ok"),
    ],
)
def test_the_new_part(text: str, new: str) -> None:
    assert new_part(text) == new


@pytest.mark.parametrize(
    "text",
    [
        "Hi\n\nFrom: my side all is fine.\nTo: be honest, no.\n\nBye",
        "Bis 2.3.2026 10:00 an <b@x.example> senden",
        "Bitte am 2.3.2026 um 10:00:\n- eins",
        "New:\n\nFrom: Bo <b@x.example>\nDate: 2.3.\nSubject: x\nText: y",
        "Voicemail\n\nFrom: 0421 5550\nTo: 200\nDate: 2.3.2026\nDuration: 12",
        "Meeting\nDate: 2.3.2026\nSubject: Review\nBye",
    ],
)
def test_what_only_looks_like_a_quotations_beginning_is_kept(text: str) -> None:
    assert new_part(text) == text


@given(st.text(max_size=500))
def test_something_is_left_of_any_text(text: str) -> None:
    assert bool(new_part(text).strip()) == bool(text.strip())
