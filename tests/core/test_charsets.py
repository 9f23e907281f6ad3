"""Bytes that no charset was declared for, and labels that can't be true."""

from __future__ import annotations

import pytest

from inboxops.core.mime import parse
from inboxops.core.text import decode, decode_words

TEXTS = {
    "gb18030": ("关于订单延迟的投诉", "您好，我的订单已经两个星期没有发货了，请尽快处理。"),
    "cp1251": ("Не пришёл заказ", "Добрый день, заказ так и не пришёл, прошу помочь."),
    "koi8-r": ("Не работает вход", "Добрый день, не могу войти в личный кабинет."),
    "cp932": ("注文について", "先週注文した商品がまだ届きません。よろしくお願いします。"),
    "euc-kr": ("배송 문의", "안녕하세요. 주문한 상품이 아직 도착하지 않았습니다."),
    "big5": ("退貨問題", "您好，我想退貨，請問要怎麼處理？謝謝。"),
    "cp1252": ("Rücksendung – Größe falsch", "Ich möchte die Schuhe zurückgeben, sie sind zu groß. Schöne Grüße"),
    "cp1253": ("Πρόβλημα με την παραγγελία", "Καλημέρα, η παραγγελία μου δεν έχει φτάσει ακόμα."),
}


@pytest.mark.parametrize("charset", TEXTS)
def test_a_mail_that_declares_nothing_is_read_as_it_was_written(charset: str) -> None:
    subject, text = TEXTS[charset]
    raw = b"From: a@b.example\r\nSubject: %s\r\n\r\n%s\r\n" % (subject.encode(charset), text.encode(charset))
    message = parse(raw)
    assert (message.subject, message.text.strip()) == (subject, text)


@pytest.mark.parametrize("charset", ["cp1251", "koi8-r", "cp932", "gb18030", "big5"])
@pytest.mark.parametrize("label", ["iso-8859-1", "windows-1252", "us-ascii"])
def test_a_script_of_its_own_under_a_western_name_is_read_all_the_same(charset: str, label: str) -> None:
    text = TEXTS[charset][1]
    assert decode(text.encode(charset), label)[0] == text


@pytest.mark.parametrize("label", ["iso-8859-1", "windows-1252", "koi8-r", "windows-1251"])
def test_utf_8_under_another_name_is_utf_8(label: str) -> None:
    assert decode("Größe – naïve".encode(), label)[0] == "Größe – naïve"


@pytest.mark.parametrize("text", ["Größe", "naïve café", "ÀÉÈÇÙ", "smörgåsbord på köpet", "¿Dónde está?"])
def test_accents_in_western_text_are_believed(text: str) -> None:
    assert decode(text.encode("cp1252"), "iso-8859-1") == (text, "")


def test_characters_that_windows_added_to_iso_2022_jp_are_read() -> None:
    assert decode_words("=?iso-2022-jp?B?GyRCLSFIViROOCtAUSRiJGobKEI=?=") == "①番の見積もり"
    assert decode(b"\x1b$B-!\x1b(B 1 \x1b(I1\x1b(B", "iso-2022-jp")[0] == "① 1 ｱ"


def test_what_one_part_declares_counts_for_the_header_before_any_guess() -> None:
    raw = "From: a@b.example\r\nSubject: Größe\r\nContent-Type: text/plain; charset=cp850\r\n\r\nGröße\r\n".encode(
        "cp850"
    )
    assert parse(raw).subject == "Größe"


@pytest.mark.parametrize("text", ["Größe falsch – Rückgabe", "Früh", "Не пришёл заказ"])
def test_a_header_that_is_not_the_utf_8_which_its_mail_declares_is_read(text: str) -> None:
    charset = "cp1251" if text.startswith("Не") else "cp1252"
    raw = f"From: a@b.example\r\nSubject: {text}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    message = parse(raw.encode(charset) + "Größe – naïve".encode())
    assert (message.subject, message.text) == (text, "Größe – naïve")


@pytest.mark.parametrize("label", ["", "; charset=us-ascii"])
def test_a_page_that_says_its_charset_itself_is_believed_where_its_header_says_none(label: str) -> None:
    page = '<html><head><META http-equiv="Content-Type" content="text/html; charset=iso-8859-2"></head><p>Dzień dobry, zażółć gęślą'
    raw = f"From: a@b.example\r\nContent-Type: text/html{label}\r\n\r\n".encode() + page.encode("iso-8859-2")
    assert parse(raw).text == "Dzień dobry, zażółć gęślą"


@pytest.mark.parametrize("label", ["utf-8", None])
def test_a_footer_in_another_charset_costs_the_words_above_it_nothing(label: str | None) -> None:
    words, footer = "Größe fällt zu groß aus, möchte zurück\n", "Müller & Söhne prüft für Sie\n"
    assert decode(words.encode() + footer.encode("cp1252"), label)[0] == words + footer
    cut = (words * 2).encode()[:-6] + "ü".encode()[:1]
    assert decode(cut, label)[0].startswith(words)
