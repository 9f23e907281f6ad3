"""Mail that somebody passes on within his own: the header block that mail programs write above it, in the language of who forwards.

A block is a line that names an author, with at least two of date, recipient and subject near it. Gmail, Outlook, Apple Mail,
Thunderbird, Yahoo, Notes and their like differ in the order, the marks around it and the words, not in this.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from inboxops.core.model import Address
from inboxops.core.recipients import ADDRESS

_SCANNED = 20_000  # characters: what is forwarded stands near the top
_NEAR = 7  # lines of a block above and below its author

_LABELS = {
    "from": """from von de da van från fra lähettäjä od от від από kimden gönderen feladó expéditeur remitente emisor mittente afzender
        absender avsändare afsender avsender nadawca odesílatel odosielateľ отправитель відправник expeditor pošiljatelj saatja nuo no
        šalje шаље từ dari pengirim từ จาก מאת من 发件人 寄件者 寄件人 發件人 差出人 送信者 送信元""",
    "date": """date sent datum gesendet envoyé enviado enviada data inviato verzonden skickat skickades sendt dato lähetetty päivämäärä
        päiväys wysłano odesláno odoslané отправлено дата надіслано ημερομηνία στάλθηκε gönderildi gönderme tarih elküldve dátum trimis
        изпратено послато išsiųsta nosūtīts saadetud enviat fecha poslano kuupäev datums dikirim tanggal ngày วันที่ תאריך נשלח التاريخ 发送时间 发送日期 日期 寄件日期 傳送時間 寄件時間 日時 送信日時 날짜""",
    "to": """to an à a al para per aan till til vastaanottaja do komu кому προς kime alıcı címzett către destinataire destinatario
        destinatário empfänger ontvanger mottagare modtager mottaker adresát получатель kepada đến tới kam adressaat kellele prima прима za ถึง אל إلى 收件人 收件者 宛先""",
    "subject": """subject betreff objet sujet asunto assunto oggetto onderwerp ämne emne aihe otsikko temat předmět predmet тема θέμα konu
        tárgy subiect zadeva tema teema tēma относно наслов perihal subjek chủ เรื่อง נושא الموضوع 主题 主旨 主題 件名 제목""",
}
_SEVERAL_WORDS = {"보낸 사람": "from", "보낸사람": "from", "de la": "from", "보낸 날짜": "date", "받는 사람": "to", "chủ đề": "subject",
                  "reply-to": "reply", "antwort an": "reply", "répondre à": "reply", "responder a": "reply", "rispondi a": "reply",
                  "sent by": "from", "envoyé le": "date", "per a": "to", "от кого": "from", "đã gửi": "date", "enviado el": "date", "gesendet am": "date"}  # fmt: skip
_KINDS = {word: kind for kind, words in _LABELS.items() for word in words.split()} | _SEVERAL_WORDS
_LINE = re.compile(
    r"^[\s>|*_•-]{0,20}([^\s:：*<>@][^:：*<>@\n]{0,24}?)\s{0,3}[*_]{0,2}\s{0,3}[:：]\s{0,8}[*_]{0,2}\s*(.*)$"
)
_NAME_END = re.compile(r"\s*[<\[(\"']*\s*(?:mailto:)?\s*$", re.IGNORECASE)

_MARK = re.compile(
    r"forwarded (?:message|mail|by)|weitergeleitete[nr]? (?:nachricht|mail|e-?mail)|message (?:transféré|réexpédié)|mensaje reenviado"
    r"|mensagem (?:encaminhada|reencaminhada)|messaggio (?:inoltrato|originale inoltrato)|doorgestuurd (?:bericht|e-?mail)"
    r"|vidarebefordra[dt]|videresendt|välitetty viesti|(?:przekazana|przesłana dalej) wiadomość|wiadomość przekazana|přeposlan|preposlan"
    r"|пересланное|пересылаемое|переслане|转发(?:的)?(?:邮件|消息|信息)|轉寄(?:的)?(?:郵件|訊息)|転送(?:された|した)?(?:メッセージ|メール)"
    r"|전달된 (?:메시지|메일)|(?:yönlendirilen|iletilen) (?:ileti|mesaj)|továbbított|mesaj redirecționat|προωθημένο",
    re.IGNORECASE,
)
_PREFIX = re.compile(
    r"^\s*(?:\[[^\]]{1,40}\]\s*)?(?:fwd?|wg|tr|rv|enc|i|vb|vl|pd|doorst|továbbítás|továbbít|ilt|yml|пересл|переслано|πρθ|προωθ"
    r"|转发|轉寄|転送|전달|vs|vidarebefordrat)\s*(?:\[\d{1,3}\])?\s*[:：]",
    re.IGNORECASE,
)
_REPLY = re.compile(
    r"^\s*(?:\[[^\]]{1,40}\]\s*)?(?:re|aw|antw|sv|odp|r|rif|res|ref|ynt|απ|отв|ответ|回复|回覆|答复|答覆|返信|회신|vá)\s*(?:\[\d{1,3}\])?\s*[:：]",
    re.IGNORECASE,
)


def is_forward(subject: str, text: str, *, answers: bool) -> bool:
    """Whether a mail passes another one on, rather than answers it below its own words. answers: it names a mail it answers."""
    if _PREFIX.match(subject[:200]) or _MARK.search(text[:_SCANNED]):
        return True
    return not answers and not _REPLY.match(subject[:200])


def authors(text: str) -> Iterator[Address]:
    """Who wrote what is passed on within a text, by its header blocks, the outermost first, as far as they name an address; behind
    each whom an answer was to go to."""
    lines = text[:_SCANNED].splitlines()
    labels = [label(line) for line in lines]
    for number, (kind, value) in enumerate(labels):
        if mark := _MARK.search(lines[number][:500]):
            yield from _beside_mark(lines[number][mark.end() :], lines[number + 1 : number + 4])
        if kind != "from":
            continue
        near = labels[max(0, number - _NEAR) : number + _NEAR + 1]
        if len({other for other, _ in near} & {"date", "to", "subject"}) < 2:
            continue
        if "@" not in value and number + 1 < len(lines) and not labels[number + 1][0]:
            value = f"{value} {lines[number + 1]}"  # a long name takes the line
        if found := ADDRESS.search(value):
            yield _address(value, found)
        for other, answered in near:
            if other == "reply" and (found := ADDRESS.search(answered)):
                yield _address(answered, found)


def _beside_mark(behind: str, below: list[str]) -> Iterator[Address]:
    """The author where the whole block stands in the mark's line (Yahoo), or a line that ends in a colon in its place (Yandex)."""
    kind, value = label(behind.lstrip(" -*_"))
    introductions = [line.strip()[:500] for line in below if line.rstrip().endswith(":")]
    for text in ([value] if kind == "from" else []) + introductions:
        if found := ADDRESS.search(text):
            name = _NAME_END.sub("", text[: found.start()]).rpartition(", ")[2]
            yield Address(name.strip(" \"'"), _lower_domain(found[0].strip(".'")))


def label(line: str) -> tuple[str, str]:
    """(kind, what stands behind the label) of a line of a header block; ("", "") of any other."""
    found = _LINE.match(line[:500])
    kind = _KINDS.get(" ".join(found[1].casefold().split()), "") if found else ""
    return (kind, found[2].strip()) if found and kind else ("", "")


def _address(value: str, found: re.Match[str]) -> Address:
    return Address(_NAME_END.sub("", value[: found.start()]).strip(" \"'"), _lower_domain(found[0].strip(".'")))


def _lower_domain(address: str) -> str:
    local, _, domain = address.rpartition("@")
    return f"{local}@{domain.lower()}"
