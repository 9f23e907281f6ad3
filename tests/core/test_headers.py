"""Header values as real mail writes them: parameters, addresses, dates, encoded words, results of trusted servers, the hash."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inboxops.core.headers import addresses, content_hash, date, parameters
from inboxops.core.model import Address
from inboxops.core.text import clean, decode, decode_words
from tests.core.mails import mail, raw

RECEIVED = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("text/plain; charset=utf-8", ("text/plain", {"charset": "utf-8"})),
        ('Text/Plain; Charset="utf-8"; format=flowed', ("text/plain", {"charset": "utf-8", "format": "flowed"})),
        ("attachment; filename*=utf-8''%C3%A4.txt", ("attachment", {"filename": "ä.txt"})),
        ("attachment; filename*0=a; filename*1=b.txt", ("attachment", {"filename": "ab.txt"})),
        ("attachment; filename*0*=utf-8''%C3%A4; filename*1*=%20b.txt", ("attachment", {"filename": "ä b.txt"})),
        ("attachment; filename*1*=b; filename*0*=utf-8''a", ("attachment", {"filename": "ab"})),
        ("attachment; filename=plain.txt; filename*=utf-8''%C3%A4.txt", ("attachment", {"filename": "ä.txt"})),
        ('attachment; filename="=?utf-8?Q?=C3=A4?=.txt"', ("attachment", {"filename": "ä.txt"})),
        ('attachment; filename="a; b.txt"', ("attachment", {"filename": "a; b.txt"})),
        ('attachment; filename="a \\"b\\".txt"', ("attachment", {"filename": 'a "b".txt'})),
        ('attachment; filename="never ends', ("attachment", {"filename": "never ends"})),
        ("attachment; filename=two words.txt; x=1", ("attachment", {"filename": "two words.txt", "x": "1"})),
        ("text/plain; name*", ("text/plain", {})),
        ("text/plain; charset=a; charset=b", ("text/plain", {"charset": "a"})),
        ("attachment; filename*=undefined''%FF", ("attachment", {"filename": "ÿ"})),
        ("", ("", {})),
    ],
)
def test_parameters_are_read_as_senders_write_them(value: str, expected: tuple[str, dict[str, str]]) -> None:
    assert parameters(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Anna <Anna@Cust.EXAMPLE>", [("Anna", "Anna@cust.example")]),
        ("anna@cust.example", [("", "anna@cust.example")]),
        ('"Doe, Jane" <jane@x.example>, bob@x.example', [("Doe, Jane", "jane@x.example"), ("", "bob@x.example")]),
        ("=?utf-8?Q?J=C3=BCrgen?= <j@x.example>", [("Jürgen", "j@x.example")]),
        ("jane@x.example (Jane Doe)", [("Jane Doe", "jane@x.example")]),
        ("MAILER-DAEMON <>", [("MAILER-DAEMON", "")]),
        ("friends: a@x.example, b@x.example;", [("", "a@x.example"), ("", "b@x.example")]),
        ("a@x.example b@x.example", [("", "a@x.example")]),
        ('To: "', [("To:", "")]),
        ("boss@x.example <thief@y.example>", [("boss@x.example", "thief@y.example")]),
        ("=?utf-8?B?w6Q?= =?utf-8?B?abcde?= <j@x.example>", [("äi·", "j@x.example")]),
        ("<>", []),
        ("", []),
        ("=?utf-8?B?QW5uYSA8YW5uYUBrdW5kZS5leGFtcGxlPg==?=", [("Anna", "anna@kunde.example")]),
        ("=?utf-8?Q?anna=40kunde=2Eexample?=", [("", "anna@kunde.example")]),
        ("=?utf-8?Q?boss=40x=2Eexample?= <j@y.example>", [("boss@x.example", "j@y.example")]),
        ("\x1b$B;3ED\x1b(B <a@b.example>", [("山田", "a@b.example")]),
    ],
)
def test_addresses_are_read_as_senders_write_them(value: str, expected: list[tuple[str, str]]) -> None:
    assert addresses(value) == tuple(Address(*one) for one in expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("=?utf-8?B?w6Q=?=", "ä"),
        ("=?utf-8?Q?a_b=20c?=", "a b c"),
        ("=?UTF-8?b?w6Q?= =?utf-8?q?=C3=B6?=", "äö"),
        ("Re: =?iso-8859-1?Q?M=FCller?= and =?iso-8859-1?Q?S=F6hne?=", "Re: Müller and Söhne"),
        ("=?utf-8?Q?=C3?= =?utf-8?Q?=A4?=", "ä"),
        ("=?x-unknown?Q?a?=", "a"),
        ("=?utf-8?Q?never ends", "=?utf-8?Q?never ends"),
        ("=?UTF-8?Q?Wo_ist_meine_Bestellung??=", "Wo ist meine Bestellung?"),
        ("=?UTF-8?Q?Was?=20ist?= das =?utf-8?q?x?=,=?utf-8?q?y?=", "Was? ist das x,y"),
        ("=?utf-8?Q?a?=b=?utf-8?Q?c?=", "abc"),
        ("\x1b$B$*Ld$$9g$o$;\x1b(B 7", "お問い合わせ 7"),
        ("=?gb2312?B?xOO6ww==?=", "你好"),
        ("folded\r\n value", "folded value"),
        ("plain", "plain"),
        ("nul\0here", "nulhere"),
    ],
)
def test_encoded_words_are_decoded_tolerantly(value: str, expected: str) -> None:
    assert decode_words(value) == expected


def test_raw_bytes_are_utf8_or_what_the_message_declares_or_unknown() -> None:
    umlaut = b"Fr\xf6sche".decode("ascii", "surrogateescape")
    assert decode_words("Frösche".encode().decode("ascii", "surrogateescape")) == "Frösche"
    assert decode_words(umlaut, "iso-8859-1") == "Frösche"
    assert decode_words(umlaut) == "Fr\ufffdsche"
    assert decode_words(umlaut, "utf-8") == "Frösche"  # a declaration that is not true: detected, at last cp1252
    cut = "Fröschlein über Flüssen".encode()[:-4].decode("ascii", "surrogateescape") + "\udcc3"
    assert decode_words(cut, "utf-8") == "Fröschlein über Flü\ufffd"
    russian = "Ваше сообщение не доставлено"
    assert decode_words(russian.encode("koi8-r").decode("ascii", "surrogateescape")) == russian


@pytest.mark.parametrize(
    ("data", "label", "text"),
    [
        ("ä".encode(), "utf-8", "ä"),
        (b"\xe4", "utf-8", "ä"),
        (b"\xe4", None, "ä"),
        (b"\x93x\x94", "iso-8859-1", "“x”"),
        ("日本".encode("iso-2022-jp"), "iso-2022-jp", "日本"),
        ("日本".encode("iso-2022-jp"), None, "日本"),
        ("日本".encode("cp932"), "shift_jis", "日本"),
        ("ü".encode("utf-7"), "utf-7", "ü"),
        ("ü".encode("utf-7"), "unicode-1-1-utf-7", "ü"),
        ("Привет, как дела? Спасибо".encode("cp1251"), "x-nonsense", "Привет, как дела? Спасибо"),
        (b"a\x81b", "ascii", "a\x81b"),
        (b"plain", "base64", "plain"),
        (b"plain", "idna", "plain"),
        (b"\xe4", "quopri", "ä"),
        ("ä".encode("utf-16"), "utf-16", "ä"),
        ("Hi 日本\n".encode("utf-16-le"), "utf-16-le", "Hi 日本\n"),
        (b"plain text\n", "utf-16", "plain text\n"),
        ("Grüße\n".encode(), "utf-16", "Grüße\n"),
        ("ä".encode("utf-32"), "utf-32", "ä"),
        (b"a\0b", None, "ab"),
        (b"+2D0-", "utf-7", "\ufffd"),
    ],
)
def test_the_charset_ladder(data: bytes, label: str | None, text: str) -> None:
    assert decode(data, label)[0] == text


@given(
    st.binary(max_size=300),
    st.sampled_from(
        [
            None,
            "utf-8",
            "utf-7",
            "utf-16",
            "gb2312",
            "iso-2022-jp",
            "hz",
            "koi8-r",
            "nonsense",
            "quopri",
            "idna",
            "big5",
        ]
    ),
)
def test_any_bytes_are_text_that_postgresql_takes(data: bytes, label: str | None) -> None:
    text, _ = decode(data, label)
    assert "\0" not in text
    text.encode("utf-8")


@given(st.text(st.characters(), max_size=40))
def test_any_label_is_a_charset_or_none(label: str) -> None:
    decode(b"\xe4", label)
    decode_words(f"=?{label}?Q?=E4?=")


@given(st.text(st.characters(), max_size=200))
def test_any_header_value_is_decoded_to_clean_text(value: str) -> None:
    for text in (decode_words(value), clean(value)):
        assert "\0" not in text
        text.encode("utf-8")


@given(st.text(st.characters(), max_size=200))
def test_any_address_header_is_read(value: str) -> None:
    for one in addresses(value):
        assert one.name or one.address
        (one.name + one.address).encode("utf-8")


@given(st.text(st.characters(), max_size=200))
def test_any_parameters_are_read(value: str) -> None:
    main, found = parameters(value)
    (main + "".join(found.values())).encode("utf-8")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Sun, 1 Mar 2026 10:00:00 +0100", datetime(2026, 3, 1, 9, 0, tzinfo=UTC)),
        ("1 Mar 26 05:00 EST", datetime(2026, 3, 1, 10, 0, tzinfo=UTC)),
        ("yesterday", RECEIVED),
        ("Sun, 1 Mar 2099 10:00:00 +0000", RECEIVED),
        ("Sun, 31 Feb 2026 10:00:00 +0000", RECEIVED),
        ("Sun, 1 Mar 99999 10:00:00 +0000", RECEIVED),
        (None, RECEIVED),
    ],
)
def test_a_date_that_can_not_be_is_the_time_of_receipt(value: str | None, expected: datetime) -> None:
    assert date(value, RECEIVED)[0] == expected


@given(st.text(max_size=100), st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)))
def test_no_date_lies_behind_the_receipt(value: str, received: datetime) -> None:
    found, _ = date(value, received.replace(tzinfo=UTC))
    assert found is not None
    assert found <= received.replace(tzinfo=UTC) + timedelta(minutes=5)


@given(st.datetimes(datetime(1980, 1, 1), datetime(2026, 1, 1)), st.integers(-720, 720))
def test_a_date_that_was_written_right_is_read_right(moment: datetime, offset: int) -> None:
    from datetime import timezone
    from email.utils import format_datetime

    written = moment.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=offset)))
    assert date(format_datetime(written), RECEIVED)[0] == written


def test_the_hash_is_the_senders_words_whatever_servers_add() -> None:
    trace = {
        "Received": "from x by y",
        "Delivered-To": "z",
        "Return-Path": "<a@b>",
        "X-Received": "by q",
        "ARC-Seal": "i=1",
        "DKIM-Signature": "v=1",
        "Authentication-Results": "x; spf=pass",
        "X-Spam-Status": "No",
        "X-MS-Exchange-Organization-SCL": "1",
    }
    plain = raw("hello\n")
    added = "".join(f"{name}: {value}\n" for name, value in trace.items()).encode() + plain
    same = [plain, added, plain.replace(b"\n", b"\r\n"), plain + b"\n\n"]
    from inboxops.core.mime import parse

    assert len({parse(one).content_hash for one in same}) == 1
    assert mail("hello\n").content_hash != mail("hullo\n").content_hash
    assert mail("hello\n", Subject="ho").content_hash != mail("hello\n").content_hash


def test_folding_and_order_of_headers_do_not_change_the_hash() -> None:
    assert content_hash((("A", "x y"), ("B", "z")), b"t") == content_hash((("b", "z"), ("a", "x\r\n y")), b"t")


def test_a_link_in_the_place_of_an_address_is_its_address() -> None:
    assert addresses("Carla <mailto:carla@kunde.example>") == (Address("Carla", "carla@kunde.example"),)
