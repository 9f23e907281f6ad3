"""What compose writes, parse reads back, and nothing in it can break out of its header or its part."""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inboxops.core import compose, template
from inboxops.core.compose import Outgoing
from inboxops.core.html import to_text
from inboxops.core.ids import message_ids
from inboxops.core.mime import parse
from inboxops.core.model import Address, Attachment
from inboxops.errors import InvalidInput

NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
lines = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn")), max_size=300).map(
    lambda text: " ".join(text.split())
)
texts = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn"), include_characters="\n\t"), max_size=2000).map(
    "begin ".__add__
)
atoms = st.text("abcdefghijklmnopqrstuvwxyzäßя0123456789.+_-'", min_size=1, max_size=30).filter(
    lambda text: not text.startswith(".") and not text.endswith(".") and ".." not in text
)
addresses = st.builds(lambda name, local: Address(name[:100].strip(' "'), f"{local}@customer.example"), lines, atoms)
ids = st.from_regex(r"[a-zA-Z0-9.$%+=_-]{1,200}@[a-z0-9.-]{1,60}", fullmatch=True)


def outgoing(**changes: object) -> Outgoing:
    told: dict[str, object] = {
        "message_id": "io.1.2.abc@acme.example",
        "sender": Address("Acme", "support@acme.example"),
        "to": (Address("Ann", "ann@customer.example"),),
        "cc": (),
        "subject": "Re: Hi [#1]",
        "text": "hello",
        "html": "",
        "date": NOW,
    }
    return Outgoing(**{**told, **changes})  # type: ignore[arg-type]


def read(raw: bytes):  # type: ignore[no-untyped-def]
    return parse(raw, received_at=NOW, trusted_authserv_ids=frozenset())


@settings(deadline=None)
@given(subject=lines, text=texts, to=st.lists(addresses, min_size=1, max_size=4), files=st.lists(lines, max_size=3))
def test_parse_reads_what_compose_wrote(subject: str, text: str, to: list[Address], files: list[str]) -> None:
    attachments = tuple(Attachment(f"f{file}.bin", "application/x-y", file.encode()) for file in files)
    raw = compose.compose(
        outgoing(subject=subject, text=text, to=tuple(to), html=f"<p>{len(text)}</p>", attachments=attachments)
    )
    message = read(raw)
    assert message.subject == subject
    assert message.text.rstrip("\n") == text.rstrip("\n")
    assert message.html.strip() == f"<p>{len(text)}</p>"
    assert [one.address for one in message.to] == [one.address for one in to]
    assert [(file.file_name, file.content) for file in message.attachments] == [
        (file.file_name, file.content) for file in attachments
    ]
    assert not message.defects
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert raw.replace(b"\r\n", b"").count(b"\n") == raw.replace(b"\r\n", b"").count(b"\r") == 0


@settings(deadline=None)
@given(name=lines.map(lambda text: text[:100].strip(' "')))  # the reader takes quotes around a name for quoting
def test_a_display_name_comes_back_as_it_was(name: str) -> None:
    message = read(compose.compose(outgoing(sender=Address(name, "support@acme.example"))))
    assert message.sender == Address(name, "support@acme.example")


@settings(deadline=None)
@given(evil=st.text(max_size=200))
def test_nothing_in_a_header_starts_another(evil: str) -> None:
    raw = compose.compose(
        outgoing(
            subject=f"{evil}\r\nBcc: x@y.example",
            sender=Address(f'{evil}"\r\nBcc: x@y.example', "support@acme.example"),
            in_reply_to=f"{evil}>\r\nBcc: x@y.example",
            attachments=(Attachment(f"{evil}\r\nBcc: x@y.example", "text/plain\r\nBcc: x@y.example", b"x"),),
        )
    )
    message = email.message_from_bytes(raw, policy=email.policy.compat32)
    assert message["Bcc"] is None
    assert all(part["Bcc"] is None for part in message.walk())
    assert message["Message-ID"] == "<io.1.2.abc@acme.example>"


@given(chain=st.lists(ids, max_size=60, unique=True), parent=ids)
def test_references_are_the_root_and_the_last_twenty_and_each_id_is_whole(chain: list[str], parent: str) -> None:
    references = compose.references(chain, parent)
    assert len(references) <= 21
    assert references[-1] == parent
    assert not chain or parent == chain[0] or references[0] == chain[0]
    raw = compose.compose(outgoing(references=references, in_reply_to=parent))
    header = next(value for key, value in email.message_from_bytes(raw).items() if key == "References")
    assert message_ids(header) == references
    assert all(line.count(b"<") <= 1 for line in raw.split(b"\r\n") if line.startswith(b" <"))


def test_the_same_message_is_the_same_bytes() -> None:
    assert compose.compose(outgoing(html="<p>x</p>")) == compose.compose(outgoing(html="<p>x</p>"))


def test_an_auto_response_says_so_and_a_reply_does_not() -> None:
    automatic = read(compose.compose(outgoing(automatic=True)))
    assert dict(automatic.headers).get("Auto-Submitted") == "auto-replied"
    assert dict(automatic.headers).get("X-Auto-Response-Suppress") == "All"
    by_hand = read(compose.compose(outgoing()))
    assert not {"Auto-Submitted", "Precedence"} & dict(by_hand.headers).keys()


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("Hi", "Re: Hi [#7]"),
        ("Re: RE: re : Hi", "Re: Hi [#7]"),
        ("Re: Hi [#7]", "Re: Hi [#7]"),
        ("[#7] Hi [#7]", "Re: Hi [#7]"),
        ("[#4711] Re: Re: Pump [#7]", "Re: [#4711] Pump [#7]"),
        ("", "Re: [#7]"),
        ("a\r\nBcc: b", "Re: a Bcc: b [#7]"),
    ],
)
def test_the_subject_carries_one_re_and_our_number_once_and_last(subject: str, expected: str) -> None:
    assert compose.reply_subject(subject, 7) == expected


@pytest.mark.parametrize(
    ("address", "wire"),
    [
        ("Ann@Customer.Example", "Ann@customer.example"),
        ("ann@bücher.example", "ann@xn--bcher-kva.example"),
        ('"a b"@customer.example', '"a b"@customer.example'),
        ("ann@[192.0.2.1]", "ann@[192.0.2.1]"),
    ],
)
def test_addresses_are_written_for_smtp(address: str, wire: str) -> None:
    assert compose.wire_address(address) == wire


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ann",
        "@x.example",
        "ann@",
        "a b@x.example",
        "a@b@c",
        "a@x.example>\r\nRCPT TO:<b@y.example",
        "a@-x",
        "a@x..y",
        "a" * 65 + "@x.example",
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidInput):
        compose.wire_address(address)


def test_recipients_leave_out_our_own_and_repeats() -> None:
    wanted = [Address("", one) for one in ("A@x.example", "a@x.example", "us@acme.example", "b@x.example")]
    found = compose.recipients(wanted, own_addresses=frozenset({"us@acme.example"}), taken=[Address("", "B@x.example")])
    assert [one.address for one in found] == ["A@x.example"]


def test_a_text_is_derived_from_html_and_both_carry_the_marker() -> None:
    text, html = compose.bodies("", "<p>Hi <b>you</b></p>", marker="[ref:1:x]")
    assert text == f"{to_text('<p>Hi <b>you</b></p>')}\n\n[ref:1:x]"
    assert html.startswith("<p>Hi <b>you</b></p>")
    assert "[ref:1:x]" in html


def test_a_template_escapes_values_in_html_only() -> None:
    values = {"sender_name": "<script>x</script>\n{{ org_name }}", "org_name": "Acme"}
    assert template.render("Hi {{ sender_name }}", values) == "Hi <script>x</script> {{ org_name }}"
    assert "&lt;script&gt;" in template.render("<p>Hi {{sender_name}}</p>", values)


@pytest.mark.parametrize("text", ["{{ password }}", "{{ticket_number}} {{ x }}", "{{ sender_name.upper }}", "{{}}"])
def test_a_template_with_an_unknown_variable_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="Known variables: ticket_number"):
        template.check(text)
