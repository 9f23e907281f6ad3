"""The demonstration mailbox: what a support team's week looks like, written by us.

Order in the list is the order of arrival (of UIDs), which is not the order in which the mail was written.
"""

from __future__ import annotations

from datetime import datetime

from inboxops_local.demo.draft import CALENDAR, INVOICE, PIXEL, TEXT, Draft, Mail, attachment, dated
from inboxops_local.demo.odd_mails import ODD

USUAL: tuple[Draft, ...] = (
    # A conversation whose second answer arrives before the question: the thread has to be put together later.
    Draft(
        143.0,
        "printer-3@kontor.example",
        "From: Anna Berg <anna@kontor.example>\nSubject: Re: Printer prints stripes\n"
        "In-Reply-To: <printer-2@kontor.example>\nReferences: <printer-1@kontor.example> <printer-2@kontor.example>\n"
        + TEXT,
        b"It is the LX-400, serial 88-1203. We tried a new cartridge already, same stripes.\n",
    ),
    Draft(
        150.0,
        "printer-1@kontor.example",
        f"From: Anna Berg <anna@kontor.example>\nSubject: Printer prints stripes\n{TEXT}",
        b"Hello,\n\nsince Monday every page has grey stripes from top to bottom. What can we do?\n\nRegards\nAnna Berg\n",
    ),
    Draft(
        146.0,
        "printer-2@kontor.example",
        "From: Jens Berg <jens@kontor.example>\nCc: anna@kontor.example\nSubject: AW: Printer prints stripes\n"
        f"In-Reply-To: <printer-1@kontor.example>\nReferences: <printer-1@kontor.example>\n{TEXT}",
        b"Same here on the second floor, so it is not one machine.\n\n> since Monday every page has grey stripes\n",
    ),
    Draft(
        140.0,
        "refund.4471@mailer.shopper.example",
        f'From: "O\'Neill, Maeve" <maeve.oneill@shopper.example>\nSubject: Refund for order 4471\n{TEXT}; format=flowed',
        b"I sent the parcel back ten days ago and the tracking says it reached you. When do I see the money?\n\n-- \nMaeve O'Neill\n",
    ),
    # Two attachments of one name, and one whose name is in RFC 2231 pieces.
    Draft(
        130.5,
        "two-invoices@buchhaltung.example",
        "From: Buchhaltung <rechnung@buchhaltung.example>\nSubject: Rechnungen =?UTF-8?Q?f=C3=BCr_M=C3=A4rz?=\n"
        'Content-Type: multipart/mixed; boundary="inv"',
        b"--inv\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n"
        + "Anbei beide Rechnungen für März.\n".encode()
        + attachment("inv", "invoice.pdf", "application/pdf", INVOICE)
        + attachment("inv", "invoice.pdf", "application/pdf", INVOICE + b"% second copy, corrected\n")
        + attachment(
            "inv",
            "x",
            "text/csv",
            b"position;amount\n1;19.90\n2;4.50\n",
            "Content-Disposition: attachment;\n filename*0*=UTF-8''Aufstellung%20M%C3;\n filename*1*=%A4rz.csv\n",
        )
        + b"--inv--\n",
    ),
    Draft(
        121.0,
        "nl-2026-02@news.gartenbote.example",
        "From: Gartenbote <news@gartenbote.example>\nSubject: February in the garden\nList-Id: <news.gartenbote.example>\n"
        "List-Unsubscribe: <https://gartenbote.example/u/1>, <mailto:leave@gartenbote.example>\nPrecedence: bulk\n"
        'Content-Type: multipart/alternative; boundary="nl"',
        b"--nl\nContent-Type: text/plain; charset=utf-8\n\nFebruary in the garden: prune now.\n"
        b"--nl\nContent-Type: text/html; charset=utf-8\n\n<h1>February in the garden</h1><p>Prune <b>now</b>.</p>\n--nl--\n",
    ),
    Draft(
        118.0,
        "bounce-1@mx.kontor.example",
        "Return-Path: <>\nFrom: Mail Delivery System <MAILER-DAEMON@mx.kontor.example>\nSubject: Undelivered Mail Returned to Sender\n"
        'Auto-Submitted: auto-replied\nContent-Type: multipart/report; report-type=delivery-status; boundary="dsn"',
        b"--dsn\nContent-Type: text/plain; charset=us-ascii\n\nYour message could not be delivered to <otto@kontor.example>.\n"
        b"--dsn\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.kontor.example\nArrival-Date: {date}\n\n"
        b"Final-Recipient: rfc822; otto@kontor.example\nAction: failed\nStatus: 5.1.1\n"
        b"Diagnostic-Code: smtp; 550 5.1.1 <otto@kontor.example>: user unknown\n\n"
        b"--dsn\nContent-Type: text/rfc822-headers\n\nFrom: Support <support@demo.example>\nTo: otto@kontor.example\n"
        b"Subject: Your question about toner\nMessage-ID: <toner-answer-1@demo.example>\n\n--dsn--\n",
    ),
    Draft(
        117.0,
        "bounce-2@mx.langsam.example",
        "Return-Path: <>\nFrom: postmaster@mx.langsam.example\nSubject: Delayed: Your question about toner\n"
        'Auto-Submitted: auto-replied\nContent-Type: multipart/report; report-type=delivery-status; boundary="dly"',
        b"--dly\nContent-Type: text/plain\n\nStill trying; nothing you need to do.\n"
        b"--dly\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.langsam.example\n\n"
        b"Final-Recipient: rfc822; eva@langsam.example\nAction: delayed\nStatus: 4.4.1\nWill-Retry-Until: {date}\n\n--dly--\n",
    ),
    Draft(
        110.0,
        "ooo-55@ferien.example",
        "From: Tom Weber <tom@ferien.example>\nSubject: Automatic reply: Your offer 2026-14\nAuto-Submitted: auto-replied\n"
        f"X-Auto-Response-Suppress: All\nIn-Reply-To: <offer-14@demo.example>\n{TEXT}",
        b"I am out of the office until the 20th and read no mail. In urgent cases call my colleagues.\n",
    ),
    Draft(
        104.0,
        "ab-1@urlaub.example",
        "From: =?utf-8?B?R3LDvG5lciBIYW5k?= <gruener@urlaub.example>\nSubject: =?utf-8?Q?Abwesenheit=3A_bin_im_Urlaub?=\n"
        f"Precedence: auto_reply\nX-Autoreply: yes\n{TEXT}\nContent-Transfer-Encoding: 8bit",
        "Vielen Dank für Ihre Nachricht. Ich bin bis zum 3. März nicht im Büro.\n".encode(),
    ),
    Draft(
        100.0,
        "prize-99182@luckywin.example",
        f"From: Lucky Draw <winner@luckywin.example>\nSubject: You have WON 950.000 EUR\nX-Spam-Flag: YES\n"
        f"X-Spam-Status: Yes, score=14.2 required=5.0\n{TEXT}",
        b"Dear friend, send your bank details today to receive your prize.\n",
    ),
    Draft(
        92.0,
        "meeting-77@nordwind.example",
        'From: Ines Costa <ines@nordwind.example>\nSubject: Invitation: Onboarding call\nContent-Type: multipart/mixed; boundary="cal"',
        b"--cal\nContent-Type: text/plain; charset=utf-8\n\nIs Monday at two fine for you?\n"
        b'--cal\nContent-Type: text/calendar; method=REQUEST; charset=utf-8; name="invite.ics"\n\n'
        + CALENDAR
        + b"--cal--\n",
    ),
    Draft(
        80.0,
        "inline-1@design.example",
        "From: Li Wei <li@design.example>\nSubject: Logo is blurred on the start page\n"
        'Content-Type: multipart/related; boundary="rel"',
        b"--rel\nContent-Type: text/html; charset=utf-8\n\n"
        b'<p>Look at the logo:</p><img src="cid:logo@design" alt="logo"><p>On a phone it is sharp.</p>\n'
        + attachment(
            "rel",
            "logo.png",
            "image/png",
            PIXEL,
            'Content-ID: <logo@design>\nContent-Disposition: inline; filename="logo.png"\n',
        )
        + b"--rel--\n",
    ),
    Draft(
        74.0,
        "html-only-1@tabelle.example",
        "From: Sofia Rossi <sofia@tabelle.example>\nSubject: Price list?\nContent-Type: text/html; charset=utf-8",
        b"<html><body><div>Hello,</div><div><br></div><div>could you send me the <b>current price list</b>?</div>"
        b"<script>alert(1)</script><blockquote>On Tuesday you wrote: see the shop.</blockquote></body></html>\n",
    ),
    # The same message twice, as a provider that moves mail between servers delivers it.
    *[
        Draft(
            66.0,
            "double-1@zweimal.example",
            f"From: Paul Zwei <paul@zweimal.example>\nSubject: Password reset does not arrive\n{TEXT}",
            b"I pressed the button three times but no mail comes. Can you look?\n",
        )
    ]
    * 2,
    Draft(
        60.0,
        "alert-1@monitor.example",
        f"From: Monitoring <noreply@monitor.example>\nSubject: [ALERT] shop.demo.example answers slowly\nAuto-Submitted: auto-generated\n{TEXT}",
        b"p95 over 2 s for 10 minutes.\n",
    ),
    Draft(
        49.0,
        "fwd-1@agentur.example",
        'From: Carla Agentur <carla@agentur.example>\nSubject: Fwd: Complaint from a customer\nContent-Type: multipart/mixed; boundary="fwd"',
        b"--fwd\nContent-Type: text/plain; charset=utf-8\n\nCan you take this one over? See below.\n"
        b"--fwd\nContent-Type: message/rfc822\n\nFrom: Unhappy <unhappy@kunde.example>\nTo: carla@agentur.example\n"
        b"Subject: Complaint\nMessage-ID: <complaint-1@kunde.example>\nContent-Type: text/plain\n\nThe chair broke after a day.\n\n--fwd--\n",
    ),
    Draft(
        30.0,
        "quote-2@shopper.example",
        "From: Maeve O'Neill <maeve.oneill@shopper.example>\nSubject: Re: Refund for order 4471\n"
        f"In-Reply-To: <refund.4471@mailer.shopper.example>\nReferences: <refund.4471@mailer.shopper.example>\n{TEXT}",
        b"Still nothing. Please answer.\n\nOn Monday, Maeve O'Neill wrote:\n> I sent the parcel back ten days ago and the tracking\n> says it reached you.\n",
    ),
)


def demonstration(now: datetime) -> list[Mail]:
    """All demonstration messages, dated within the seven days before `now`."""
    return [dated(draft, now) for draft in (*USUAL, *ODD)]
