"""`inboxops rehearse PATH`: exports as people have them become tickets on paper."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import pytest

from inboxops.stories.offline import rehearse

DAY = "{:02d} Nov 2026 09:00:00 +0000"


def mail(
    name: str,
    sender: str,
    subject: str,
    *,
    answers: str = "",
    day: int = 1,
    text: str = "hello",
    cc: str = "",
    id_: str = "",
) -> bytes:
    lines = [
        f"From: {sender}",
        "To: help@desk.example",
        f"Subject: {subject}",
        f"Message-ID: <{id_ or name}@x.example>",
    ]
    lines += [f"Date: {DAY.format(day)}", *([f"Cc: {cc}"] if cc else [])]
    lines += [f"In-Reply-To: <{answers}@x.example>", f"References: <{answers}@x.example>"] if answers else []
    return ("\n".join(lines) + f"\n\n{text}\n").encode()


def stored(folder: Path, **mails: bytes) -> Path:
    for name, raw in mails.items():
        (folder / f"{name}.eml").write_bytes(raw)
    return folder


def tickets(folder: Path) -> list[list[str]]:
    return sorted(sorted(Path(one["path"]).stem for one in ticket["messages"]) for ticket in rehearse([folder]).tickets)


CONVERSATION = {
    "a": mail("a", "ann@one.example", "Re: Printer", answers="unseen", cc="bob@one.example"),
    "b": mail("b", "bob@one.example", "Printer, once more", answers="unseen", cc="ann@one.example"),
    "c": mail("c", "cy@one.example", "AW: Printer", answers="a"),
    "stranger": mail("s", "mallory@else.example", "Re: something else", answers="unseen"),
}


@pytest.mark.parametrize("order", list(permutations("abc")), ids="".join)
def test_mails_that_share_a_reference_nobody_saw_are_one_conversation_in_any_order(
    tmp_path: Path, order: tuple[str, ...]
) -> None:
    days = {name: day for day, name in enumerate(order, start=1)}
    for name, raw in CONVERSATION.items():
        dated = raw.replace(DAY.format(1).encode(), DAY.format(days.get(name, 5)).encode())
        (tmp_path / f"{name}.eml").write_bytes(dated)
    assert tickets(tmp_path) == [["a", "b", "c"], ["stranger"]]


def test_a_machine_that_names_one_reference_for_ever_opens_a_ticket_for_each_subject(tmp_path: Path) -> None:
    alarm = "alarm@monitor.example"
    folder = stored(
        tmp_path,
        one=mail("1", f"no-reply-{alarm}", "disk full", answers="root"),
        two=mail("2", f"no-reply-{alarm}", "disk full", answers="root"),
        other=mail("3", f"no-reply-{alarm}", "host down", answers="root"),
    )
    assert tickets(folder) in ([["one", "two"], ["other"]], [["one"], ["other"], ["two"]])


def test_another_mail_under_a_known_id_is_a_ticket_and_its_repeat_a_duplicate(tmp_path: Path) -> None:
    lost = mail("p2", "parcels@carrier.example", "Parcel 2 lost", id_="same", day=2, text="Parcel 2 is lost.")
    folder = stored(
        tmp_path,
        first=mail("p1", "parcels@carrier.example", "Parcel 1 delayed", id_="same", text="Parcel 1 is delayed."),
        second=lost,
        again=lost,
    )
    found = rehearse([folder])
    assert len(found.tickets) == 2
    assert [(one["state"], one["reason"]) for one in found.aside] == [
        ("duplicate", "the same message was taken in before")
    ]


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ("[list] Question", "My question.\n\n-- \nlist@groups.example"),
        ("Question", "[EXTERNAL] Be careful.\nMy question."),
    ],
    ids=["a list's footer", "a scanner's banner"],
)
def test_a_copy_by_another_way_is_a_duplicate(tmp_path: Path, subject: str, text: str) -> None:
    folder = stored(
        tmp_path,
        direct=mail("d", "u@x.example", "Question", id_="same", text="My question."),
        other_way=mail("o", "u@x.example", subject, id_="same", text=text),
    )
    found = rehearse([folder])
    assert (len(found.tickets), [one["state"] for one in found.aside]) == (1, ["duplicate"])


def with_file(content: str, *, day: int = 1, dated: bool = True, text: str = "Your invoice is attached.") -> bytes:
    """What an ERP system writes that has one Message-ID for all its mail."""
    lines = [
        "From: billing@erp.example",
        "To: help@desk.example",
        "Subject: Invoice",
        "Message-ID: <constant@erp.example>",
    ]
    lines += [f"Date: {DAY.format(day)}"] if dated else []
    lines += ["MIME-Version: 1.0", "Content-Type: multipart/mixed; boundary=b", "", "--b", "", text]
    lines += ["--b", "Content-Type: application/pdf; name=invoice.pdf", "", content] if content else []
    return ("\n".join([*lines, "--b--"]) + "\n").encode()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (with_file("invoice 1"), with_file("invoice 2")),
        (with_file(""), with_file("invoice 1")),
        (with_file("", dated=False), with_file("", dated=False, text="Your invoice is attached.\nPlease pay.")),
        (mail("a", "d@x.example", "Hall 1", id_="c", text=""), mail("b", "d@x.example", "Hall 2", id_="c", text="")),
    ],
    ids=["another file of the same name", "a file more", "no date that would tell", "nothing but a subject"],
)  # fmt: skip
def test_another_mail_under_the_same_id_is_never_taken_for_a_copy(tmp_path: Path, first: bytes, second: bytes) -> None:
    found = rehearse([stored(tmp_path, first=first, second=second)])
    assert (len(found.tickets), found.aside) == (2, [])


def test_a_copy_with_the_same_files_is_a_duplicate(tmp_path: Path) -> None:
    by_list = with_file("invoice 1", text="Your invoice is attached.\n-- \nlist@groups.example")
    found = rehearse([stored(tmp_path, direct=with_file("invoice 1"), other_way=by_list)])
    assert (len(found.tickets), [one["state"] for one in found.aside]) == (1, ["duplicate"])


def test_an_mbox_is_its_mails_without_the_quoting(tmp_path: Path) -> None:
    body = "hello\n\n>From here on it is mine.\n\nFrom now on, too.\n"
    mails = [mail(str(n), f"u{n}@x.example", f"Mail {n}", day=n, text=body) for n in (1, 2, 3)]
    box = tmp_path / "Inbox"
    box.write_bytes(b"".join(b"From - Mon Nov  2 09:00:00 2026\r\n" + raw + b"\n" for raw in mails))
    found = rehearse([box])
    assert [ticket["subject"] for ticket in found.tickets] == ["Mail 1", "Mail 2", "Mail 3"]
    assert found.tickets[1]["messages"][0]["path"] == f"{box}#2"


def test_a_maildir_and_thunderbirds_indexes_beside_mail(tmp_path: Path) -> None:
    for name in ("cur", "new", "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "cur" / "1.host:2,S").write_bytes(mail("1", "a@x.example", "One"))
    (tmp_path / "new" / "2.host").write_bytes(mail("2", "b@x.example", "Two"))
    (tmp_path / "tmp" / "3.host").write_bytes(b"half a mail")
    (tmp_path / "Inbox.msf").write_bytes(b"// <!-- mork -->")
    assert [ticket["subject"] for ticket in rehearse([tmp_path]).tickets] == ["One", "Two"]


def test_what_the_mailbox_itself_wrote_opens_no_ticket(tmp_path: Path) -> None:
    folder = stored(
        tmp_path,
        ours=mail("o", "Help <help@desk.example>", "Our offer"),
        one=mail("1", "a@x.example", "One"),
        two=mail("2", "b@x.example", "Two"),
    )
    found = rehearse([folder])
    assert (found.own, len(found.tickets)) == (frozenset({"help@desk.example"}), 2)
    assert [one["state"] for one in found.aside] == ["own"]


def test_the_command_says_it_for_people_and_for_programs(tmp_path: Path) -> None:
    folder = stored(
        tmp_path, one=mail("1", "a@x.example", "One \x1b[31mred"), two=mail("1", "a@x.example", "One \x1b[31mred")
    )
    run = [sys.executable, "-m", "inboxops.cli", "rehearse", str(folder)]
    said = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert "1 tickets; set aside: 1 duplicate" in said
    assert "\x1b" not in said
    told = json.loads(subprocess.run([*run, "--json"], capture_output=True, text=True, check=True).stdout)
    assert told["tickets"][0]["customer"] == "a@x.example"
    assert told["aside"][0]["path"] == str(folder / "two.eml")


def test_a_file_whose_name_is_no_utf8_is_told_of_all_the_same(tmp_path: Path) -> None:
    Path(tmp_path, os.fsdecode(b"gr\xfc\xdfe.eml")).write_bytes(mail("1", "a@x.example", "One"))
    run = [sys.executable, "-m", "inboxops.cli", "rehearse", str(tmp_path), "--json"]
    told = json.loads(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
    assert told["tickets"][0]["messages"][0]["path"] == str(tmp_path / "gr\ufffd\ufffde.eml")
