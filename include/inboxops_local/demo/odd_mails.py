"""The demonstration mail that a parser has to be patient with."""

from __future__ import annotations

import base64

from inboxops_local.demo.draft import INVOICE, TEXT, Draft, attachment

LONG_ID = "thread-" + "0123456789abcdef" * 256 + "@verylong.example"  # over 4 kB, as some gateways write

ODD: tuple[Draft, ...] = (
    Draft(
        58.0,
        None,  # no Message-ID at all
        f"From: Altes Faxgateway <fax@gateway.example>\nSubject: Fax from +49 30 1234567\n{TEXT}",
        b"One page received. Resolution fine.\n",
    ),
    Draft(
        55.0,
        "jp-1@tokyo.example",
        "From: =?ISO-2022-JP?B?GyRCOzNFRBsoQg==?= <yamada@tokyo.example>\nSubject: =?ISO-2022-JP?B?GyRCJCpMZCQkOWckbyQ7GyhC?=\n"
        "Content-Type: text/plain; charset=ISO-2022-JP\nContent-Transfer-Encoding: 7bit",
        "注文番号1234の商品が届いていません。ご確認ください。\n".encode("iso-2022-jp"),
    ),
    Draft(
        53.0,
        "ru-1@moskva.example",
        "From: =?windows-1251?B?yOLg7SDP5fLw7uI=?= <ivan@moskva.example>\nSubject: =?windows-1251?B?zvjo4ergIPHg6fLg?=\n"
        "Content-Type: text/plain; charset=windows-1251\nContent-Transfer-Encoding: 8bit",
        "Здравствуйте, на странице оплаты появляется ошибка 500.\n".encode("windows-1251"),
    ),
    Draft(
        52.0,
        "utf7-1@old.example",
        "From: Legacy Client <legacy@old.example>\nSubject: =?UTF-7?Q?Gr+APwA3w-e?=\nContent-Type: text/plain; charset=UTF-7",
        b"Der Preis von 20 +IKw- ist gut. Gr+APwA3w-e aus M+APw-nchen.\n",
    ),
    Draft(
        51.0,
        "unknown-charset@weird.example",
        "From: Weird Client <w@weird.example>\nSubject: Charset that nobody knows\nContent-Type: text/plain; charset=x-martian-8",
        "Grüße vom Mars, und zwei gute Zeilen.\nDie zweite.\n".encode(),
    ),
    Draft(
        47.0,
        "raw8bit@kafe.example",
        "From: Café Müller <kontakt@kafe.example>\nSubject: Tischreservierung für Freitag – geht das?\n" + TEXT,
        b"Acht Personen, 19 Uhr. Danke!\n",
    ),
    Draft(
        44.0,
        LONG_ID,
        f"From: Gateway User <user@verylong.example>\nSubject: Message with a very long id\n{TEXT}",
        b"My mail program makes long ids. Does my question about the warranty reach you?\n",
    ),
    Draft(
        40.0,
        "broken-1@kaputt.example",
        'From: Broken Mailer <broken@kaputt.example>\nSubject: Attachment got lost\nContent-Type: multipart/mixed; boundary="lost"',
        # The boundary never closes and the base64 stops in the middle of a group.
        b"--lost\nContent-Type: text/plain\n\nThe log is attached.\n--lost\nContent-Type: application/octet-stream; name=log.bin\n"
        b"Content-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=log.bin\n\nTG9nIGxpbmUgMQpMb2cgbGluZSAyCk",
    ),
    Draft(
        36.0,
        None,
        "",
        raw=b"From: two@dates.example\nFrom: second-from@dates.example\nTo: support@demo.example\nDate: the day before yesterday\n"
        b"Subject: =?utf-8?q?half an encoded word\nMessage-ID: no-brackets@dates.example\nThis line is no header\n"
        b"Content-Type: text/plain; charset=\n\nMy mailer breaks every rule. Can you still read that my account is locked?\n",
    ),
    Draft(
        33.0,
        "traversal-1@angreifer.example",
        'From: "../../etc/passwd" <files@angreifer.example>\nSubject: Screenshots of the error\nContent-Type: multipart/mixed; boundary="esc"',
        b"--esc\nContent-Type: text/plain\n\nTwo files.\n"
        + attachment("esc", "../../../etc/cron.d/x", "text/plain", b"* * * * * root true\n")
        + attachment("esc", "Bericht\t\u202efdp.exe", "application/pdf", INVOICE)
        + b"--esc--\n",
    ),
    Draft(
        22.0,
        "big-quote@mobil.example",
        f"From: Mobil Nutzer <m@mobil.example>\nSubject: Re: Re: AW: Re: Tarif\nIn-Reply-To: <never-seen@mobil.example>\n{TEXT}\n"
        "Content-Transfer-Encoding: base64",
        base64.encodebytes(("Passt, danke!\n\nVon meinem Telefon gesendet\n" + "> alte Zeile\n" * 200).encode()),
    ),
    Draft(
        9.0,
        "emoji-1@jung.example",
        "From: =?utf-8?B?8J+mhCBab8Or?= <zoe@jung.example>\nSubject: =?utf-8?B?4p2k77iPIHlvdXIgc2hvcCwgYnV0IA==?=\n"
        f" =?utf-8?B?8J+YoSBjaGVja291dA==?=\nReply-To: zoe.private@jung.example\n{TEXT}\nContent-Transfer-Encoding: quoted-printable",
        b"The checkout button does nothing on my phone =F0=9F=93=B1. Please fix=\n it before Friday.\n",
    ),
    Draft(
        2.0,
        "fresh-1@heute.example",
        f"From: Nina Heute <nina@heute.example>\nSubject: Delivery today?\nImportance: high\n{TEXT}",
        b"The driver just called and asked for the gate code. Who can answer him?\n",
    ),
)
