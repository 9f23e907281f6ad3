"""Mail for measurements: varied like a support mailbox, the same for the same seed, every Message-ID its own.

Shares and sizes: two thirds are conversations in plain text or text with HTML (1 to 40 KB), an eighth is written by machines
(newsletters, notices, automatic replies, bounces), a quarter brings files or inline pictures, most of them 4 to 90 KB, every
25th message has one of 100 to 600 KB, every 100th one of 0.6 to 2 MB. The demonstration mails, odd ones included, are mixed in.
"""

from __future__ import annotations

import base64
import random
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

from inboxops.errors import OperatorError
from inboxops_local.demo.draft import Mail
from inboxops_local.demo.mails import demonstration

_PEOPLE = (
    ("Anna Berg", "anna@kontor.example"), ("Jonas Weiß", "jonas@werk.example"), ("Maeve O'Neill", "maeve@shopper.example"),
    ("Zoë Laurent", "zoe@atelier.example"), ("Ivan Petrov", "ivan@moskva.example"), ("山田太郎", "yamada@tokyo.example"),
    ("Carlos Núñez", "carlos@tienda.example"), ("Priya Nair", "priya@export.example"), ("Łukasz Zając", "lukasz@sklep.example"),
)  # fmt: skip
_SUBJECTS = (
    "Order {n} has not arrived", "Rechnung {n} für März", "Password reset does not work", "Frage zu Ihrer Lieferung {n}",
    "Changement d'adresse, commande {n}", "Cannot log in since Monday", "Refund for order {n}", "注文{n}について", "Ошибка при оплате {n}",
)  # fmt: skip
_WORDS = [
    "order",
    "delivery",
    "invoice",
    "account",
    "please",
    "since",
    "yesterday",
    "thank",
    "customer",
    "printer",
    "number",
    "address",
    "contract",
    "payment",
    "refund",
    "Bestellung",
    "Lieferung",
    "Rechnung",
    "leider",
    "gestern",
    "Kunde",
    "Vertrag",
    "Anschrift",
    "commande",
    "livraison",
    "facture",
    "bonjour",
    "merci",
    "adresse",
    "pedido",
    "entrega",
    "factura",
    "gracias",
    "contraseña",
    "the",
    "and",
    "with",
    "for",
    "that",
    "not",
    "und",
    "nicht",
    "mit",
    "für",
    "daß",
    "les",
    "des",
    "pour",
    "avec",
    "sin",
    "más",
]
_FILES = (
    ("invoice.pdf", "application/pdf"),
    ("photo.jpg", "image/jpeg"),
    ("Übersicht März.xlsx", "application/vnd.ms-excel"),
    ("log.txt", "text/plain"),
)


def corpus(
    count: int, *, seed: int = 1, to: str = "support@bench.example", now: datetime | None = None
) -> Iterator[Mail]:
    """`count` messages in the order of their arrival, all within the last six days before `now`."""
    chance = random.Random(seed)
    end = now or datetime.now(UTC)
    seeds = demonstration(end)
    conversations: list[tuple[str, str]] = []
    for number in range(count):
        received = end - timedelta(days=6) * (1 - number / count)
        if number % 20 == 19:
            raw = _own_id(seeds[(number // 20) % len(seeds)].raw, f"demo-{number}-{seed}")
        else:
            raw = _Letter(chance, number, f"{number}.{seed}@bench.example", to, received, conversations).written()
        yield Mail(raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"), received)


def of_folder(folder: Path, count: int, *, now: datetime | None = None) -> Iterator[Mail]:
    """`count` messages made of the .eml files below `folder`, over and over, each time under ids of their own.

    Raises OperatorError when there is none.
    """
    end = now or datetime.now(UTC)
    files = [path.read_bytes() for path in sorted(folder.rglob("*.eml"))]
    if not files:
        raise OperatorError(f"no .eml file below {folder}", fix="Name a folder of saved mails")
    for number in range(count):
        raw = _own_id(files[number % len(files)], f"{number}")
        yield Mail(raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"), end - timedelta(days=6) * (1 - number / count))


def large(megabytes: int, *, now: datetime | None = None) -> Mail:
    """One mail of that many million bytes: a text and a file in base64."""
    content = base64.encodebytes(random.Random(megabytes).randbytes(megabytes * 1_000_000 * 3 // 4))
    head = (
        b"From: Ann <ann@customer.example>\nTo: support@bench.example\nSubject: The film\nMessage-ID: <film@customer.example>\n"
        b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nHere it is.\n"
        b'--b\nContent-Type: video/mp4\nContent-Disposition: attachment; filename="film.mp4"\n'
        b"Content-Transfer-Encoding: base64\n\n"
    )
    return Mail((head + content + b"--b--\n").replace(b"\n", b"\r\n"), now or datetime.now(UTC))


def _own_id(raw: bytes, unique: str) -> bytes:
    """One more message: its own id in front of the one it was written with, or a header of its own where it has none."""
    own, found = re.subn(rb"(?im)^(message-id: <?)", rb"\g<1>" + unique.encode() + b".", raw, count=1)
    return own if found else b"X-Copy: %s\n%s" % (unique.encode(), raw)


class _Letter:
    """One generated message. conversations: (message id, subject) of what may be answered; a new letter is added."""

    def __init__(
        self, chance: random.Random, number: int, id_: str, to: str, at: datetime, conversations: list[tuple[str, str]]
    ) -> None:
        self._chance, self._number, self._id, self._at = chance, number, id_, at
        self._head = [f"To: {to}", f"Message-ID: <{id_}>", f"Date: {format_datetime(at)}", "MIME-Version: 1.0"]
        self._conversations = conversations

    def written(self) -> bytes:
        kind = self._chance.random()
        if kind < 0.08:
            return self._by_a_machine()
        if kind < 0.12:
            return self._bounce()
        return self._conversation()

    def _conversation(self) -> bytes:
        chance = self._chance
        name, address = chance.choice(_PEOPLE)
        subject = chance.choice(_SUBJECTS).format(n=chance.randrange(1000, 9999))
        quoted = ""
        if self._conversations and chance.random() < 0.45:
            parent, subject = chance.choice(self._conversations[-200:])
            subject = subject if subject.startswith("Re: ") else f"Re: {subject}"
            self._head += [f"In-Reply-To: <{parent}>", f"References: <{parent}>"]
            quoted = f"\n\nOn Tue, 3 Mar 2026 at 10:11, Support wrote:\n{self._prose(chance.randint(20, 300), '> ')}"
        self._conversations.append((self._id, subject))
        self._head += [f"From: {_word(name)} <{address}>", f"Subject: {_word(subject)}", *self._trace()]
        text = f"Hello,\n\n{self._prose(chance.randint(15, 400))}\n\nRegards\n{name}{quoted}\n"
        body = _text(text) if chance.random() < 0.45 else self._alternative(text)
        files = self._files()
        if not files:
            return self._joined(body)
        return self._joined(_multipart("mixed", f"m{self._number}", [body, *files]))

    def _by_a_machine(self) -> bytes:
        chance = self._chance
        self._head += [
            f"From: News <news@shop{chance.randrange(50)}.example>",
            f"Subject: {_word(chance.choice(_SUBJECTS).format(n=self._number))}",
            *chance.choice(
                (
                    ("List-Unsubscribe: <https://shop.example/u>", "Precedence: bulk", "List-Id: <news.shop.example>"),
                    ("Auto-Submitted: auto-generated",),
                    ("Auto-Submitted: auto-replied", "X-Autoreply: yes"),
                )
            ),
            *self._trace(),
        ]
        return self._joined(self._alternative(self._prose(chance.randint(100, 900))))

    def _bounce(self) -> bytes:
        self._head += [
            "From: MAILER-DAEMON@mx.example",
            "Subject: Undelivered Mail Returned to Sender",
            "Return-Path: <>",
        ]
        boundary = f"b{self._number}"
        status = (
            "Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example\n\nFinal-Recipient: rfc822; gone@kunde.example\n"
            "Action: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 no such user\n"
        )
        returned = f"Content-Type: message/rfc822\n\nFrom: support@bench.example\nSubject: x\nMessage-ID: <s{self._number}@bench.example>\n\nhi\n"
        parts = [_text("Your message could not be delivered.\n"), status.encode(), returned.encode()]
        return self._joined(_multipart("report; report-type=delivery-status", boundary, parts))

    def _alternative(self, text: str) -> bytes:
        """Text and the HTML that mail programs make of it: styles, tables, a span for every few words."""
        lines = "".join(
            f'<p class="MsoNormal" style="margin:0cm;font-size:11pt"><span lang="EN-US" style="font-family:Calibri">{line}</span></p>\n'
            for line in text.split("\n")
        )
        style = "p.MsoNormal{margin:0cm;font-size:11.0pt;font-family:Calibri,sans-serif}\n" * self._chance.randint(
            1, 60
        )
        html = f"<html><head><style>{style}</style></head><body>{lines}</body></html>"
        page = f"Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: base64\n\n{_base64(html.encode())}"
        return _multipart("alternative", f"a{self._number}", [_text(text), page.encode()])

    def _files(self) -> list[bytes]:
        chance = self._chance
        share = chance.random()
        if share < 0.01:
            sizes = [chance.randint(600_000, 2_000_000)]
        elif share < 0.05:
            sizes = [chance.randint(100_000, 600_000)]
        elif share < 0.28:
            sizes = [chance.randint(4_000, 90_000) for _ in range(chance.choice((1, 1, 1, 2, 3)))]
        else:
            return []
        return [self._file(size) for size in sizes]

    def _file(self, size: int) -> bytes:
        name, content_type = self._chance.choice(_FILES)
        place = "inline" if content_type.startswith("image/") and self._chance.random() < 0.5 else "attachment"
        head = (
            f'Content-Type: {content_type}; name="{_word(name)}"\nContent-Transfer-Encoding: base64\n'
            f'Content-Disposition: {place}; filename="{_word(name)}"\nContent-ID: <f{self._number}.{size}@bench.example>\n\n'
        )
        return head.encode() + _base64(self._chance.randbytes(size)).encode()

    def _prose(self, words: int, prefix: str = "") -> str:
        chosen = self._chance.choices(_WORDS, k=words)
        return "\n".join(prefix + " ".join(chosen[at : at + 12]) for at in range(0, words, 12))

    def _trace(self) -> list[str]:
        """What servers on the way write: half the headers of a mail."""
        stamp = format_datetime(self._at)
        return [
            f"Received: from mx{hop}.example (mx{hop}.example [192.0.2.{hop}])\n by mail.bench.example with ESMTPS id {self._number}x{hop};\n {stamp}"
            for hop in range(1, self._chance.randint(2, 6))
        ] + [
            f"DKIM-Signature: v=1; a=rsa-sha256; d=example; s=k1; h=from:to:subject;\n bh={self._chance.randbytes(32).hex()}; b={self._chance.randbytes(128).hex()}",
            "Authentication-Results: mail.bench.example; dkim=pass header.d=example; spf=pass",
            f"X-Mailer: Example Mail {self._chance.randint(1, 16)}.0",
        ]

    def _joined(self, body: bytes) -> bytes:
        return "\n".join(self._head).encode() + b"\n" + body


def _text(text: str) -> bytes:
    return b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n" + text.encode()


def _multipart(subtype: str, boundary: str, parts: list[bytes]) -> bytes:
    kind, _, more = subtype.partition(";")
    head = f'Content-Type: multipart/{kind}; boundary="{boundary}"{";" + more if more else ""}\n\n'
    return (
        head.encode()
        + b"".join(b"--" + boundary.encode() + b"\n" + part + b"\n" for part in parts)
        + f"--{boundary}--\n".encode()
    )


def _word(text: str) -> str:
    """An encoded word (RFC 2047) where the text needs one."""
    return text if text.isascii() else f"=?utf-8?B?{base64.b64encode(text.encode()).decode()}?="


def _base64(content: bytes) -> str:
    return base64.encodebytes(content).decode()
