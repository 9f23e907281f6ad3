"""Mail as a weapon: against others through what we send, against a ticket, against the terminal, against the machine that reads it."""

from __future__ import annotations

import email
import email.policy
import io
import re
import struct
import time
import unicodedata
import zipfile
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import unquote

import pytest
import structlog
from structlog.testing import capture_logs

from inboxops.core import autorespond, compose, ids, outbound, template, tnef
from inboxops.core.attachments import FILE_BYTES, safe_file_name
from inboxops.core.autorespond import MOST_PER_ADDRESS, MOST_PER_DOMAIN, MOST_PER_TENANT, WantedResponse
from inboxops.core.download import content_disposition, media_type
from inboxops.core.mime import parse
from inboxops.core.model import Address, Attachment
from inboxops.core.outbound import Answered, ReplyRequest
from inboxops.core.signing import SigningKey
from inboxops.core.text import printable
from inboxops.errors import InvalidInput
from inboxops.stories.telling import escaped, hidden
from tests.core.mails import KEY, raw
from tests.intruders.conftest import Victim
from tests.intruders.test_tasks import desk
from tests.sending.conftest import Desk
from tests.stories.conftest import mail

__all__ = ["desk"]  # a fixture

BREAKS = [
    "\r\n",
    "\n",
    "\r",
    "\r\n ",
    "\n\t",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x85",
    "\u2028",
    "\u2029",
    "\0",
    "=0D=0A",
    "%0d%0a",
    "=?utf-8?q?=0D=0A?=",
    "\u560d\u560a",
]
INJECTED = [f"x{end}Bcc: evil@evil.example{end}X-Injected: yes{end}{end}<script>" for end in BREAKS]
KNOWN_HEADERS = {
    "date", "message-id", "from", "to", "cc", "subject", "in-reply-to", "references", "mime-version", "auto-submitted",
    "x-auto-response-suppress", compose.LOOP_HEADER.lower(), "content-type", "content-transfer-encoding",
}  # fmt: skip


def sound(sent: bytes, *, to: set[str], cc: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    """What was composed has our headers, each once, and goes to whom it is to go."""
    head = sent.partition(b"\r\n\r\n")[0]
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\0", head)
    message = email.message_from_bytes(sent, policy=email.policy.default)
    names = [name.lower() for name in message]
    assert set(names) <= KNOWN_HEADERS
    assert len(names) == len(set(names))
    for name, wanted in (("to", to), ("cc", cc)):
        found = {one.addr_spec.lower() for one in message[name].addresses} if message[name] else set()
        assert found == wanted, name


@pytest.mark.parametrize("injected", INJECTED)
def test_no_field_that_a_stranger_fills_adds_a_header(injected: str) -> None:
    """Subject, names, ids and references of the mail that is answered; names and types of files; the template's values."""
    answered = Answered(
        tenant_id=1, inbox_id=2, ticket_id=3, ticket_number=4, subject=injected, sender=Address(injected, "support@shop.example"),
        people=(Address(injected, "ann@customer.example"),), message_id=f"a{injected}@b", references=(f"r{injected}@b", injected),
    )  # fmt: skip
    request = ReplyRequest(body_text=injected, body_html=f"<p>{injected}</p>")
    made = [
        outbound.reply(request, answered, id=9, own_addresses=frozenset(), author=injected, signing_key=KEY),
        outbound.auto_response(
            answered,
            id=10,
            text=template.render("Hi {{ sender_name }}", {"sender_name": injected}),
            html="",
            signing_key=KEY,
        ),
    ]
    for new in made:
        files = (Attachment(injected, injected, b"x"),)
        sent = compose.compose(
            compose.Outgoing(
                message_id=new.message_id, sender=new.sender, to=new.to, cc=new.cc, subject=new.subject, text=new.text, html=new.html,
                date=datetime.now(UTC), in_reply_to=next(iter(new.in_reply_to), ""), references=new.references,
                automatic=new.type == "auto_response", attachments=files,
            )
        )  # fmt: skip
        sound(sent, to={"ann@customer.example"})
        for part in email.message_from_bytes(sent, policy=email.policy.default).walk():
            assert {name.lower() for name in part} <= KNOWN_HEADERS | {"content-disposition"}


@pytest.mark.parametrize("injected", INJECTED)
def test_no_address_smuggles_another(injected: str) -> None:
    for address in (
        f"ann{injected}@customer.example", f"ann@customer.example{injected}", f"<ann@customer.example>{injected}", f"ann@customer.example,{injected}@x.example",
        f'"ann{injected}"@customer.example', f"ann@[127.0.0.1{injected}]", "ann@customer.example> RCPT TO:<evil@evil.example", "@a,@b:ann@customer.example",
    ):  # fmt: skip
        if not compose.is_address(address):
            continue
        wire = compose.wire_address(address)
        assert re.fullmatch(r"[^\s<>,;]+@[^\s<>,;@]+", wire), wire


def test_an_agent_can_not_be_made_to_smuggle_either(desk: Desk) -> None:
    ticket = desk.ticket()
    for cc in (
        "a@b.example\r\nBcc: evil@evil.example",
        "a@b.example, evil@evil.example",
        "a@b.example\0",
        "<a@b.example>",
    ):
        with pytest.raises(InvalidInput):
            desk.reply(ticket, cc=(cc,))
    accepted = desk.reply(ticket, text=".\r\n.\r\nQUIT\r\nMAIL FROM:<evil@evil.example>\r\n", cc=("b@c.example",))
    desk.send(accepted)
    assert [taken.recipients for taken in desk.taken] == [["ann@customer.example", "b@c.example"]]
    assert "QUIT" in desk.taken[0].message.text


@pytest.mark.parametrize("end", [b"\r\n.\r\n", b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"\r\n\0.\r\n"])
def test_no_body_ends_the_mail_for_a_second_one_to_begin(desk: Desk, end: bytes) -> None:
    """SMTP smuggling: what one server takes for the end of a mail, the next takes for more of it."""
    smuggled = "x" + end.decode("latin-1") + "MAIL FROM:<evil@evil.example>\r\nRCPT TO:<victim@v.example>\r\nDATA\r\n"
    desk.send(desk.reply(desk.ticket(), text=smuggled))
    assert len(desk.taken) == 1
    on_the_wire = desk.taken[0].raw
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", on_the_wire), (
        "a line end that some servers take for one and others not"
    )


# -- a reflector


def wanted(number: int, address: str) -> WantedResponse:
    return WantedResponse(number, Address("", address), "", "", f"{number}@x", ())


def test_automatic_answers_stop_at_an_address_a_domain_and_a_tenant() -> None:
    same = [wanted(n, "Ann@x.example") for n in range(20)]
    assert len(autorespond.within_caps(same, answered=(), recent={})) == MOST_PER_ADDRESS
    many = [wanted(n, f"a{n}@X.example") for n in range(MOST_PER_DOMAIN + 20)]
    assert len(autorespond.within_caps(many, answered=(), recent={})) == MOST_PER_DOMAIN
    assert len(autorespond.within_caps(many, answered=(), recent={}, domains={"x.example": MOST_PER_DOMAIN - 1})) == 1
    everybody = [wanted(n, f"a@d{n}.example") for n in range(30)]
    known = {f"e{n}.example": 100 for n in range(MOST_PER_TENANT // 100 - 1)} | {"f.example": 90}
    assert len(autorespond.within_caps(everybody, answered=(), recent={}, domains=known)) == 10


def test_the_database_counts_what_was_answered_by_domain(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autorespond, "MOST_PER_DOMAIN", 3)
    desk.box.run()
    desk.world.inboxes.change(desk.box.inbox_id, auto_response_enabled=True, auto_response_body="Thank you.")
    for batch in range(3):
        desk.box.deliver(
            *(mail(sender=f"v{batch}{n}@Victim.example") for n in range(2)), mail(sender=f"w{batch}@other.example")
        )
        desk.box.run()
    rows = desk.box.query(
        "SELECT recipients #>> '{to,0,address}' FROM messages WHERE tenant_id = %s AND type = 'auto_response'",
        desk.tenant_id,
    )
    assert (
        sorted(str(address).rpartition("@")[2].lower() for (address,) in rows)
        == ["other.example"] * 3 + ["victim.example"] * 3
    )


# -- somebody else's ticket


def test_guessed_numbers_ids_and_markers_lead_into_nobodys_ticket(desk: Desk, victim: Victim) -> None:
    """By a stranger who knows the ticket's number, its ids in the database, the form of our ids and markers, and the subject."""
    ticket = desk.ticket(subject="Invoice 7", id="known")
    accepted = desk.reply(ticket)
    [(number,)] = desk.box.query("SELECT ticket_number FROM tickets WHERE id = %s", ticket)
    a = "a" * 26
    host = desk.box.inbox.email_address.rpartition("@")[2]
    stolen = accepted.message_id_header.replace(f".{ticket}.", f".{victim.ids['ticket_id']}.", 1)
    made = {
        "a number": mail(f"Re: Invoice 7 [#{number}]", sender="evil@evil.example"),
        "the subject": mail("Re: Invoice 7", sender="evil@evil.example"),
        "an id of our form": mail("x", sender="evil@evil.example", more=f"In-Reply-To: <io.{ticket}.{accepted.message_id}.{a}@{host}>"),
        "another ticket's signature": mail(
            "x", sender="evil@evil.example", more=f"References: <{stolen}>",
        ),
        "a marker": mail("x", sender="evil@evil.example", body=f"[ref:{ticket}:{'a' * 16}]"),
        "a marker of another key": mail("x", sender="evil@evil.example", body=ids.make_body_marker(ticket, SigningKey(b"another key"))),
        "a thread of the provider": mail("x", sender="evil@evil.example", more="Thread-Topic: Invoice 7\r\nThread-Index: AAAA"),
    }  # fmt: skip
    before = victim.rows()
    for what, raw_mail in made.items():
        desk.box.deliver(raw_mail)
        desk.box.run()
        [(count,)] = desk.box.query(
            "SELECT count(*) FROM messages WHERE ticket_id = %s AND direction = 'inbound'", ticket
        )
        assert count == 1, what
    assert victim.rows() == before


def test_a_true_id_in_a_strangers_hand_is_marked_and_never_answered_by_itself(desk: Desk) -> None:
    """Whoever was sent a copy knows the id: the mail joins, the sender shows as unknown, and replies still go to the customer."""
    ticket = desk.ticket(id="root")
    accepted = desk.reply(ticket)
    desk.box.deliver(mail("Re", sender="evil@evil.example", more=f"In-Reply-To: <{accepted.message_id_header}>"))
    desk.box.run()
    rows = desk.box.query(
        "SELECT from_address, unknown_sender FROM messages WHERE ticket_id = %s AND direction = 'inbound' ORDER BY id",
        ticket,
    )
    assert rows == [("ann@customer.example", False), ("evil@evil.example", True)]
    desk.send(desk.reply(ticket))
    assert desk.taken[-1].recipients == ["ann@customer.example"]


def test_where_a_reply_goes_is_shown_before_it_goes(desk: Desk, http_client: object) -> None:
    """Reply-To is the stranger's to fill; a copy goes to nobody whom no agent named."""
    from tests.api.conftest import keys

    api = keys(http_client, desk.world, desk.box.inbox.tenant, None)  # type: ignore[arg-type]
    more = "Reply-To: Evil <evil@evil.example>\r\nCc: boss@acme.example, everybody@lists.example"
    ticket = desk.ticket(more=more)
    shown = api.get(f"/tickets/{ticket}").json()["messages"][0]
    assert shown["reply_to"] == [{"name": "Evil", "address": "evil@evil.example"}]
    assert shown["sender"]["address"] == "ann@customer.example"
    desk.send(desk.reply(ticket))
    assert desk.taken[0].recipients == ["evil@evil.example"]
    after = api.get(f"/tickets/{ticket}").json()["messages"][-1]
    assert [one["address"] for one in after["to"]] == ["evil@evil.example"]


# -- bombs


def timed(work: Callable[[], object], *, seconds: float) -> None:
    began = time.process_time()
    work()
    assert time.process_time() - began < seconds


def bomb() -> bytes:
    """A zip whose 20 kB are 20 MB, in a zip, in a zip."""
    content = b"0" * 20_000_000
    for name in ("a.txt", "b.zip", "c.zip"):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, content)
        content = packed.getvalue()
    return content


LAUGHS = (
    "<!DOCTYPE l [<!ENTITY a 'ha'>"
    + "".join(f"<!ENTITY {chr(98 + n)} '{f'&{chr(97 + n)};' * 10}'>" for n in range(12))
    + "]><l>&m;</l>"
)
XXE = "<!DOCTYPE l [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><l>&x;</l>"


def winmail(*files: tuple[str, bytes]) -> bytes:
    """[MS-OXTNEF], as Outlook writes it, with these files."""

    def attribute(level: int, name: int, data: bytes) -> bytes:
        return struct.pack("<BII", level, name, len(data)) + data + struct.pack("<H", sum(data) & 0xFFFF)

    stream = struct.pack("<IH", 0x223E9F78, 1)
    for name, content in files:
        stream += attribute(2, 0x00069002, b"\x01\x00" + b"\0" * 12)
        stream += attribute(2, 0x00018010, name.encode() + b"\0")
        stream += attribute(2, 0x0006800F, content)
    return stream


def carrying(content_type: str, name: str, content: bytes) -> bytes:
    import base64

    encoded = base64.encodebytes(content).decode()
    body = f'--b\nContent-Type: {content_type}; name="{name}"\nContent-Disposition: attachment; filename="{name}"\n'
    return raw(
        f"{body}Content-Transfer-Encoding: base64\n\n{encoded}\n--b--\n",
        MIME_Version="1.0",
        Content_Type="multipart/mixed; boundary=b",
    )


@pytest.mark.parametrize(
    ("content_type", "name", "content"),
    [
        ("application/zip", "a.zip", bomb()),
        ("application/ms-tnef", "winmail.dat", winmail(("a.zip", bomb()))),
        ("application/ms-tnef", "winmail.dat", winmail(("a.xml", LAUGHS.encode()), ("b.xml", XXE.encode()))),
        ("application/ms-tnef", "winmail.dat", winmail(*((f"{n}.txt", b"x") for n in range(3_000)))),
        ("application/gzip", "a.gz", zlib.compress(b"0" * 20_000_000)),
        ("text/xml", "a.xml", LAUGHS.encode()),
        ("image/svg+xml", "a.svg", XXE.encode()),
        (
            "text/calendar; method=REPLY",
            "a.ics",
            b"BEGIN:VCALENDAR\n" + b"BEGIN:VEVENT\nRRULE:FREQ=SECONDLY;COUNT=999999999\n" * 20_000,
        ),
        ("text/calendar", "a.ics", LAUGHS.encode() * 100),
        ("text/calendar", "a.ics", b"A" * 3_000_000),
        ("text/html", "a.html", b"<div>" * 200_000),
        ("message/rfc822", "a.eml", b"Content-Type: message/rfc822\n\n" * 5_000),
    ],
    ids=str.split("zip tnef-zip tnef-xml tnef-many gzip xml svg calendar calendar-xml calendar-line html nested"),
)
def test_what_is_packed_is_kept_as_it_is_and_costs_next_to_nothing(
    content_type: str, name: str, content: bytes
) -> None:
    """Nothing that came in a mail is unpacked or resolved: a file stays the bytes that it was."""
    carried = carrying(content_type, name, content)

    def work() -> None:
        message = parse(carried)
        assert sum(one.size_bytes for one in message.attachments) <= max(FILE_BYTES, len(content))
        assert "root:" not in str(message.text) + message.html

    timed(work, seconds=5)


def test_winmail_is_opened_without_its_paths() -> None:
    found = tnef.opened(winmail(("../../etc/passwd", b"x"), ("C:\\Windows\\evil.exe", b"y")))
    assert found is not None
    assert [safe_file_name(one.file_name, content_type=one.content_type) for one in found.attachments] == [
        "passwd",
        "evil.exe",
    ]


# -- what is shown

NASTY = [
    "\x1b[2J\x1b[31mred", "\x1b]0;owned\x07", "\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\", "\x1b]52;c;ZXZpbA==\x07", "\x9b2J", "\x1bP+q\x1b\\",
    "a\rb", "a\nINFO forged line", "a\u2028b", "\x00", "\x08\x08\x08gone", "\x7f", "\u202egnp.exe", "\u2066x\u2069", "\u200bzero", "\ufeffmark", "\ue000private", "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("nasty", NASTY, ids=ascii)
def test_nothing_that_came_by_mail_moves_a_terminal_or_forges_a_line(nasty: str) -> None:
    safe = printable(f"a{nasty}b")
    assert all(unicodedata.category(char)[0] != "C" for char in safe)
    assert len(safe.splitlines()) == 1


@pytest.mark.parametrize("nasty", NASTY, ids=ascii)
def test_an_address_in_a_log_is_one_word_that_moves_nothing(nasty: str) -> None:
    """It stands as a mark; where an operator has addresses shown, with everything escaped that is not visible."""
    address = f"{nasty}@evil.example"
    assert re.fullmatch(r"~[0-9a-f]+", hidden(address, key=KEY.current))
    shown = escaped(address)
    assert shown.isprintable()
    assert shown.endswith("@evil.example")
    assert shown.encode("latin-1", "backslashreplace").decode("unicode_escape") == address


@pytest.mark.parametrize("shown", [False, True], ids=["as marks", "shown"])
def test_the_log_of_a_task_holds_nothing_that_moves_a_terminal(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, shown: bool
) -> None:
    monkeypatch.setattr(desk.world, "settings", desk.world.settings.model_copy(update={"log_addresses": shown}))
    structlog.reset_defaults()  # a command run in this process may have kept warnings alone
    nasty = [one.encode("utf-8", "surrogatepass") for one in NASTY if not set(one) & set("\r\n\0")]
    plain = mail(sender="EVIL@evil.example")
    desk.box.deliver(
        *(
            plain.replace(b"EVIL@", b'"a%s" <a%sb@' % (one, one)).replace(b"evil.example", b"evil.example>", 1)
            for one in nasty
        )
    )
    with capture_logs() as lines:
        desk.box.run()
    filed = [line for line in lines if line["event"] == "mail_filed"]
    assert len(filed) == len(nasty)
    assert any("evil.example" in line["customer"] for line in filed) is shown
    for line in lines:
        assert str(line).isprintable()
        assert all(value.isprintable() for value in line.values() if isinstance(value, str)), line


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd", "..\\..\\windows\\system32\\evil.dll", "/etc/passwd", "C:\\evil.exe", "\\\\host\\share\\evil.exe", "a/../../b", "....//....//b", "..", ".", "",
        "a\0.txt", "a\r\nX-Injected: yes", "con", "aux.txt", "NUL.tar.gz", "COM1", "evil.exe ", "evil.exe.", "\u202egnp.exe", "a\u2215b\uff0fc", "x" * 5000 + ".pdf",
        "file:///etc/passwd", "a;b.txt", 'a".txt', "%2e%2e%2fpasswd", "$(reboot).txt", "`reboot`.txt", "-rf", "~root", "a|b>c<d", "\x1b[2J.txt", ".htaccess",
    ],
    ids=ascii,
)  # fmt: skip
def test_no_name_of_a_file_leaves_its_folder_or_its_header(name: str) -> None:
    safe = safe_file_name(name, content_type="application/pdf")
    assert safe not in {"", ".", ".."}
    assert not set(safe) & set('/\\<>:"|?*')
    assert all(unicodedata.category(char)[0] != "C" for char in safe)
    assert len(safe.encode()) <= 160
    for given in (name, safe):
        header = content_disposition(given)
        assert header.isascii()
        assert header.isprintable()
        assert header.startswith('attachment; filename="')
        assert not set(header.split('"')[1]) & set("/\\%;")
        assert not any(unicodedata.category(char)[0] == "C" for char in unquote(header.rpartition("''")[2]))


@pytest.mark.parametrize(
    "given", ["text/html\r\nX-A: b", "text/html; charset=x", "../x", "", "a/b/c", "text/html\0", "*/*", "text/ü"]
)
def test_no_type_of_a_file_is_more_than_a_type(given: str) -> None:
    assert re.fullmatch(r"[\w.+!#$&^-]+/[\w.+!#$&^-]+", media_type(given))
    assert media_type(given) in {"text/html", "application/octet-stream"}
