"""What mail servers and mail programs say, in the languages they say it in.

A table is a text: phrases between ` | ` and line ends, each a regular expression. All are plain alternations without nested
repetition, so they are linear; whoever uses one hands it at most 50 KB of lower-cased text: without the flag for case the same
search takes a quarter of the time. Sources: the bounces of Postfix, Exim, Sendmail, qmail, Exchange, Domino, GroupWise, Courier,
MDaemon, hMailServer and the large mailbox providers, and the automatic replies of Exchange, Gmail, Apple Mail and vacation(1).
"""

from __future__ import annotations

import re


def _any(table: str) -> str:
    phrases = (phrase for line in table.strip().splitlines() for phrase in line.strip().split(" | "))
    return "(?:" + "|".join(phrases) + ")"


_AUTOMATIC_ANSWER = _any(r"""
    out[- ]of[- ](?:the[- ])?office | \bauto(?:matic|mated|matically)?[- ]?(?:generated )?(?:reply|response|responder)\b
    auto: .{1,80}\bout of the office | \bvacation (?:reply|message|response|notice) | abwesenheit | \babwesend\b
    automatische (?:rück)?antwort | accusé de réception automatique | urlaubs(?:benachrichtigung|meldung|notiz) | réponse automatique | reponse automatique
    absence du bureau | absent(?:e|\(e\))? du bureau | (?:message|notification|réponse) d.absence | respuesta autom[aá]tica
    fuera de (?:la )?oficina | ausente de la oficina | resposta autom[aàá]tica | fora do escrit[óo]rio
    fora de l.oficina | aus[êe]ncia tempor[áa]ria | ausente do escrit[óo]rio | erantzun automatiko | risposta automatica
    fuori (?:sede|ufficio) | assenza dall.ufficio | automatische? (?:ant|beant)woord | outomatiese antwoord | \bafwezig
    автоматическ\w+ ответ | автоответ | вне офиса | автоматична відповідь | автовідповідь | поза офісом
    аўтаматычны адказ | автоматичен отговор | извън офиса | а[ув]томатски одговор | автоматты (?:түрде )?жауап
    odpowied[źz] automatyczna | automatyczna odpowied[źz] | poza biurem | \bnieobecno | autosvar | automatiskt? svar
    sjálfvirkt svar | frånvaro|frånvarande | \bfraværs? | automaattinen vastaus | poissa toimistosta | poissaolo
    automaat(?:ne )?vastus | kontorist väljas | automātisk[aā] atbilde | ārpus biroja | automatinis atsakymas
    automatick[áa] odpov[ěe] | mimo kancel[áa] | nep[řr]ítomnos[tť] | samodejni odgovor | \bodsotnost\b
    automatski odgovor | izvan ureda | van kancelarije | automatikus v[áa]lasz | h[áa]zon k[íi]v[üu]l
    otomatik (?:yan[ıi]t|cevap) | ofis d[ıi][şs][ıi]nda | avtomatik cavab | r[ăa]spuns automat | përgjigje automatike
    αυτόματη απάντηση | εκτός γραφείου | freagra uathoibríoch | (?:ateb|ymateb) awtomatig | ავტომატური პასუხი
    ավտոմատ պատասխան | (?:balasan|jawaban|jawapan) (?:otomatis|automatik) | di luar kantor | awtomatikong (?:tugon|sagot)
    (?:trả lời|phản hồi) tự động | (?:การ)?(?:ตอบกลับ|ตอบรับ|ตอบ)(?:โดย)?อัตโนมัติ | ไม่อยู่ที่สำนักงาน | स्वचालित (?:उत्तर|जवाब|प्रत्युत्तर) | स्वतः उत्तर
    自動(?:応答|返信|回覆|回復|答覆) | 不在(?:通知|連絡|のお知らせ|にして) | 自动(?:回复|答复|应答) | 不在办公室
    자동 ?(?:응답|회신|답장) | 부재 ?중 | תשובה אוטומטית | מענה אוטומטי | מחוץ למשרד | (?:ال)?رد (?:ال)?تلقائي
    خارج المكتب | پاسخ خودکار | خودکار جواب
""")
"""What programs call their own answer, Outlook in each of its languages."""

_AWAY = _any(r"""
    away from (?:my|the|our) (?:office|desk|mail|e-?mail) | \b(?:i am|i'm) (?:currently )?(?:away|out of)\b
    \bon (?:annual |maternity |parental |sick )?(?:vacation|holiday|holidays|leave)\b
    ^(?:ooo|away)\b | ^absence ?: | ^ausente\b | ^aus[êe]ncia\b | \b(?:bin|sind) im urlaub\b
    nicht im (?:hause?|büro) | urlaubsvertretung | außer haus | hors du bureau | en congés?\b | \bde vacaciones\b
    niet aanwezig | \bв отпуске\b | нет на месте | (?:inte|ikke) på kontoret | 休暇(?:中|の)
""")
"""What people write above such an answer, and about their holidays in any other mail."""

OUT_OF_OFFICE_SUBJECT = re.compile(f"{_AUTOMATIC_ANSWER}|{_AWAY}")
OUT_OF_OFFICE_PREFIX = re.compile(
    rf"\s*(?:\[[^\[\]]{{1,40}}\]\s*){{0,3}}{_AUTOMATIC_ANSWER}\w*\s*(?:[:：|(\[]|\s[-–—]|$)"
)
"""As programs write it: in front of the subject that they answer, or alone. A gateway's `[EXTERNAL]` may stand before it."""

OUT_OF_OFFICE_NOTES = re.compile(rf"\s*auto ?: .{{1,120}}(?:{_AUTOMATIC_ANSWER}|{_AWAY})")
"""As HCL Notes writes it, with the person's name in between."""
NOTE_OF_A_PROGRAM = re.compile(
    r"automat\w{1,4} (?:response|reply) to your (?:message|e-?mail)|automatische antwort auf ihre nachricht"
    r"|réponse automatique à votre message|respuesta automática a su mensaje|risposta automatica al (?:suo|tuo|vostro) messaggio"
)
"""What HCL Notes and others put below it, in lower-cased text."""

_ANSWERS = (
    r"(?:re|aw|antw|antwort|sv|vs|vb|vl|odp|pd|atb|bls|rif|ref|res|r|fwd?|wg|tr|trs|rv|enc|i|doorst|ynt|ilt|yml|vá|továbbít(?:ás)?|ang|hl|na"
    r"|απ|σχετ|πρθ|προωθ|ответ|отв|от|пересл(?:ано)?|回复|回覆|答复|答覆|转发|轉寄|返信|転送|회신|전달|رد|תגובה|השב|trả lời|ตอบกลับ)"
    r"\s*(?:\[\d{1,4}\]|\(\d{1,4}\)|\*\d{1,4})?\s*[:：]"
)
REPLY_PREFIX = re.compile(
    rf"^\s*(?:\[(?!bounce|undeliver|return|fail|postmaster)[^\[\]]{{1,40}}\]\s*){{0,3}}{_ANSWERS}"
)
"""A person answers or passes on: whatever subject follows is not this mail's own."""

COMPARED_BEHIND = re.compile(rf"\s*(?:{_ANSWERS}|\[\#[0-9]{{1,18}}\])", re.IGNORECASE)
"""What stands before a subject in some mails of a conversation and not in others, our ticket's number too."""

BOUNCE_SUBJECT = re.compile(
    _any(r"""
    \bundeliver(?:able|ed)\b | \bnon[- ]?deliver(?:y|able)\b | \bun[- ]?successful (?:mail )?delivery\b
    mail delivery\b
    \bdelivery (?:status|state|failure|failed|problem|error|report|has failed|unsuccessful|delay|notification)
    delivery subsystem | \bmessage (?:delivery|delayed|undeliver|not delivered|status)
    \bfail(?:ed|ure)(?: of)?(?: in)? (?:mail|delivery|notice|message)
    \b(?:mail|message|e-?mail) (?:system )?(?:fail(?:ed|ure)|error|could not be|not delivered|not deliverable|undeliver|bounced|was not|has been)
    \breturned (?:mail|message|e-?mail|to sender) | \breturning (?:mail|message|to sender) | \bmail returned\b
    \bfailure notice\b | \bwarning: (?:message|could not|mail|e-?mail|.{0,80}delayed)
    \bcould not (?:be delivered|deliver|send) | \bcannot (?:be delivered|deliver|send)  | \bunable to deliver
    \bnot (?:yet )?been delivered\b | \bnot delivered\b | \bdelayed (?:mail|message|delivery)\b
    \bdelayed \d+ (?:hours|days) | \bbounced? (?:mail|message|e-?mail) | \[bounce\] | error sending your (?:mail|message) | \bmailbox (?:is )?full | \buser unknown\b
    \bunknown user\b | \bprocessing error\b | \bautomatically rejected mail\b | \bpostmaster notify\b
    \bnameserver error report\b | \brejected (?:mail|message|e-?mail)\b | \bmail rejected\b
    \bdsn\b.{0,30}\b(?:fail|delay) | \bndr\b | \bmessage (?:you sent )?(?:was )?blocked\b | \bdelivery has been delayed\b | unzustellbar
    nicht zustellbar | nicht zugestellt | zustell(?:ung|fehler|status|barkeit)
    zurückgesand?te? (?:mail|nachricht|e-?mail) | non remis | non distribu | non d[ée]livr
    [ée]chec de (?:la )?(?:remise|livraison|distribution|l.envoi) | [ée]tat de remise
    notification d.[ée]tat de remise | non recens[ée] | no se (?:ha )?(?:pudo|podido|puede) (?:entregar|enviar)
    no entregado | no se entreg | entrega (?:fallida|no realizada) | error (?:de|en la) entrega | devuelto
    n[ãa]o (?:foi )?entreg | falha (?:na|de) entrega | n[ãa]o (?:foi |é )?poss[íi]vel (?:a )?entreg
    mancat[oa] (?:recapito|consegna) | recapito non riuscito | non (?:è stato )?(?:recapitat|consegnat)
    impossibile (?:recapitare|consegnare) | non recapitabile | onbestelbaar | niet (?:te )?(?:bezorg|aflever|bestel)
    bezorging (?:mislukt|is mislukt) | kunde inte leverera | (?:kan inte|går inte att) leverera | ej levererat
    (?:kunne|kan) ikke (?:leveres|afleveres) | ikke leveret | ikke levert | levering (?:mislyktes|mislykkedes)
    toimitus epäonnistui | toimittaminen epäonnistui | ei (?:voitu|voi|voida) toimittaa | toimittamat(?:on|ta) viesti
    nie (?:zosta[łl][ao]? )?dostarczon | niedostarcz | zwrot (?:wiadomo|poczty) | nedoru[čc] | nelze doru[čc]it
    nem k[ée]zbes[íi]t | k[ée]zbes[íi](?:t[ée]si? (?:hiba|sikertelen)|thetetlen) | teslim edileme | iletileme | μη παραδο
    δεν (?:είναι|ήταν) δυνατή η παράδοση | nelivra(?:t|bil) | (?:imposibil|nu (?:se poate|a putut)) (?:de |fi )?livra
    ni (?:mogoče|bilo mogoče) dostaviti | nedostav(?:ljiv|ljen) | ni(?:je)? (?:bilo )?moguće (?:isporuč|dostav) | (?:ni)?je isporučen | neisporuč
    није (?:било )?могуће (?:испоруч|достав) | неиспоруч | недоставим | не може да (?:бъде|се) достав | kohale(?: ei)? toimeta
    kättetoimetamat | nepristatyt | nepavyko pristatyti | nav piegād | nepiegād | no (?:s'ha pogut|es pot) lliurar
    không (?:thể )?gửi được | không thể gửi | tidak (?:dapat|bisa) (?:di)?kirim | tidak terkirim | ไม่สามารถส่ง | ส่งไม่สำเร็จ
    αποτυχία παράδοσης | не(?: было| был)? ?доставлен | недоставлен | не удалось доставить | невозможно доставить
    сбой доставки | ошибка доставки | возврат (?:письма|почты) | не вдалося доставити | 配信(?:不能|でき|エラー|に失敗|失敗)
    配送(?:不能|でき|エラー) | 送信(?:エラー|できません|失敗) | 不達 | エラーメール | (?:メール|送信|配信)?エラー通知 | 未配(?:信|達) | 届けでき
    (?:邮件|郵件|信件|信息)?(?:投递|投遞|传输|傳輸|发送|發送|傳送|递送|遞送)(?:失败|失敗|错误|錯誤|不成功) | 退信
    (?:无法|無法|未能)(?:投递|投遞|送达|送達|传递|傳遞|傳送|发送|寄達) | 被退回 | 배달되지 않 | 전송 ?실패 | 배달 ?실패 | 반송 | 발송 ?실패 | לא ניתן למסירה
    تعذر (?:ال)?تسليم
    """)
)

FAILURE = re.compile(
    _any(r"""
    (?:could not|couldn't|cannot|can't|can not|could'nt|was not|wasn't|were not|has not been|have not been|not be|not been) (?:be )?(?:successfully )?delivered
    not delivered to | not (?:yet )?been delivered
    (?:wasn't|was not|weren't|were not|not|isn't) able to (?:be )?deliver | unable to (?:be )?deliver
    unable to send (?:your|the) (?:mail|message) | \bundeliver(?:able|ed)\b | \bnon-delivery\b
    deliver[yt](?: of.{1,80}?)?(?: to.{1,80}?)?(?: has)? (?:failed|been delayed|been postponed|was aborted)
    delevery to | failed to deliver | delivery (?:failure|problem|error|status notification|attempt)
    fatal (?:delivery )?errors? | did not (?:reach|receive) | could not (?:be reached|deliver|send)
    (?:trouble|had a problem) delivering | address (?:not found|couldn't be found|could not be found) | error (?:delivering|while delivering|occurred while|detected while) | problem delivering
    mail (?:delivery|transport) (?:failed|agent|software|sub ?system|system)
    this is the (?:mail|postfix|sendmail|exim|qmail)
    this message was created automatically by (?:mail|the mail|a mail)
    returned (?:to (?:the )?sender|mail|message|because|below|for the following)
    returning (?:message|mail|it) to (?:the )?sender | user (?:is )?unknown
    unknown (?:user|recipient|address|host|local) | no such (?:user|mailbox|address|recipient|domain|account)
    (?:user|mailbox|recipient|account|address|domain|host)(?: name)?(?: is)?(?: was)?(?:n't| not) (?:be )?(?:found|exist|recogni[sz]ed|known|valid|listed|available|active|reachable)
    does ?(?:n't| not) have a(?:n)? (?:\S{1,60} )?(?:account|mailbox)
    (?:account|mailbox|user|address|recipient)(?: here)?(?: that does)?(?: does)?(?:n't| not)? exist
    no mailbox here | no longer (?:valid|active|in use|available)
    (?:mailbox|quota|inbox|storage|account)(?: size| limit)?(?: is| has| are)?(?: been)? (?:full|exceed|over)
    over ?quota | quota (?:violation|exceed|limit)
    exceed(?:s|ed|ing)? (?:the |their |his |its |your |maximum |storage )*(?:quota|limit|size|maximum|delivery attempts)
    mailbox (?:is )?(?:unavailable|disabled|inactive|locked|not found)
    (?:recipient|sender|address|message|mail|relay|access)(?: address)?(?: was| is| has been| been| access)? (?:rejected|denied|refused|blocked|disabled|returned)
    relay(?:ing)? (?:not |is not )?(?:allowed|denied|permitted)
    (?:account|user|address|mailbox)(?: has been| is| was)? (?:disabled|suspended|deactivated|discontinued|invalid|inactive|unknown)
    invalid (?:recipient|address|mailbox|user|final delivery) | bad (?:destination|recipient|address)
    permission denied | host(?: or domain)?(?: name)? not found | too many hops | mail loop
    message (?:looping|bounced|rejected|expired|refused) | no valid recipients | intended recipients?[ \t]*:
    failed recipients? | recipients? (?:failed|rejected) | rejected your message | did not like our
    remote (?:host|server) (?:said|replied|returned|issued|closed) | smtp error | error code
    this is a permanent error | given up | retry time(?:out)? (?:not|exceeded) | will (?:be )?retried
    still being retried | delivery attempts will continue | we will (?:continue|keep) (?:to try|trying|to attempt)
    been postponed | encountered (?:an error|delivery problems) | mail box space not enough
    nicht (?:an .{1,80}? )?(?:zugestellt|zustellbar|übermittelt|ausgeliefert) | unzustellbar
    zustellung .{0,80}(?:fehlgeschlagen|gescheitert|nicht möglich) | konnte .{0,60}nicht zustellen
    (?:n'a|n’a|na) (?:pas )?pu? ?(?:pu )?[êe]tre (?:remis|d[ée]livr|distribu|livr|achemin|envoy|transmis)
    n'a pas pu [êe]tre | impossible de (?:remettre|distribuer|d[ée]livrer|livrer|transmettre)
    [ée]chec de (?:la )?(?:remise|livraison|distribution) | adresse .{0,60}n'existe pas
    no (?:se )?(?:ha )?(?:pudo|podido|puede|fue posible) (?:ser )?(?:entreg|envi) | no fue (?:posible )?entregad
    imposible entregar | no se entreg[óo] | n[ãa]o (?:p[ôo]de|pode|foi|foi poss[íi]vel)(?: ser)? (?:entreg|envi)
    falha na entrega | (?:impossibile|non è stato possibile) (?:recapitare|consegnare|inviare)
    non (?:è stato|ha potuto essere|può essere) (?:recapitat|consegnat)
    (?:kan|kon) niet worden (?:bezorgd|afgeleverd|verzonden|bereikt) | niet (?:bezorgd|afgeleverd)
    n[ãa]o (?:foi|é) poss[íi]vel (?:a )?entreg | kunde inte levereras | (?:går|gick) inte att leverera | leveransen misslyckades
    (?:kunne|kan) ikke (?:leveres|afleveres) | levering .{0,60}(?:mislyktes|mislykkedes) | ei (?:voitu|voida|voi) toimittaa
    toimi(?:tus|ttaminen) .{0,80}epäonnistui
    nie (?:mog[łl][ao]|m[óo]g[łl]|mo[żz]na|zosta[łl][ao]?|uda[łl]o si[ęe])(?: by[ćc]| zosta[ćc]| go| jej)? ?dostarcz
    (?:nelze|ne[šs]lo|nebylo mo[žz]n[ée]|nebolo mo[žz]n[ée]) doru[čc]i[tť] | nepoda[řr]ilo (?:se |sa )?doru[čc]i[tť]
    doru[čc]en[íi]e? .{0,80}nezda[řr]ilo | nem (?:lehetett|siker[üu]lt|tudtuk|lehet) k[ée]zbes[íi]teni | nem k[ée]zbes[íi]thet
    teslim edilem | iletilem | δεν (?:ήταν δυνατή|είναι δυνατή|μπόρεσε) | nu (?:a|au|poate|s-a) (?:putut )?(?:fi )?livra
    livrarea .{0,80}(?:eșuat|nereușit) | ni (?:bilo )?mogoče dostaviti | dostava .{0,80}ni uspela
    ni(?:je)? (?:bilo )?moguće (?:isporuč|dostav) | није (?:било )?могуће (?:испоруч|достав) | ei (?:saanud|saa|õnnestunud) .{0,40}toimetada
    pristatyti nepavyko | nepavyko pristatyti | (?:nevarēja|neizdevās) piegādāt | no (?:s'ha pogut|es pot|s’ha pogut) lliurar
    không (?:thể )?gửi được | không thể gửi | tidak (?:dapat|bisa) (?:di)?kirim | ไม่สามารถส่ง
    не (?:может быть|могло быть|удалось|было|был|может)(?: быть)? (?:доставл?[еи]|отправл) | не удалось (?:доставить|выполнить доставку)
    невозможно доставить | не доставлено | не вдалося доставити | пользователь не найден
    не може да (?:бъде|се) достав | не може бути доставлен
    配(?:信|送|達)(?:でき|が?できなかった|に失敗|不能|されません) | 送信(?:でき|に失敗|エラー) | 届け(?:でき|ることができ)
    (?:宛先|あて先).{0,30}(?:見つか|存在し|不明|ありません) | エラー(?:メール|内容) | 受信者.{0,20}(?:存在し|見つか)
    (?:无法|無法|不能|未能)(?:正常)?(?:投递|投遞|送达|送達|传递|傳遞|傳送|发送|發送|寄達|接收|接受) | (?:投递|投遞|传输|傳輸|发送|發送|傳送)失[败敗] | 退信
    (?:地址|用户|用戶|帐号|收件人).{0,10}(?:不存在|错误) | 배달(?:되지|하지|할 수) | 전송(?:되지|하지|할 수|에 실패) | 반송되 | لم يتم تسليم|تعذر تسليم
    לא ניתן היה למסור
    """)
)
"""What a server says in a body when it could not deliver."""

DELAY = re.compile(
    _any(r"""
    not (?:yet )?been delivered to (?:one or more|all|some|the)? | has not (?:yet )?been delivered
    (?:delivery|message|mail).{0,60}(?:has been|is|was)?(?: being)? (?:delayed|postponed|deferred)
    delayed \d+ (?:hours|days) | still being retried | warning message only | this is (?:just )?a warning
    do not need to (?:resend|take any) | no action is required
    will (?:continue|keep) (?:to try|trying|to attempt|to be) | delivery attempts will continue | will be retried
    \(delay\) | verzögert | wird weiter versucht | retard[ée] ?(?:e|s)?\b.{0,30}(?:remise|livraison)
    remise .{0,80}retard | retras(?:o|ad[oa]) | (?:recapito|consegna).{0,60}ritard | ritard.{0,30}(?:recapito|consegna) | opóźni
    (?:entrega|mensagem).{0,60}atras | atras.{0,30}entrega | vertraag | vertraging | försen(?:ad|ing) | forsinke | viiväst | zpožd[ěe]n
    opožd[ěe]n | oneskor | késlelte | késik | gecik(?:ti|me) | καθυστέρ | întârzi | затрим | забав(?:я|ен) | 지연 | 遅れて
    задерж | 遅延|配信が遅れ | 延迟|延遲|暫時無法
    """)
)
"""... when it has not delivered yet ..."""

GIVEN_UP = re.compile(
    _any(r"""
    permanent(?:ly)? | given up | will not (?:be )?(?:retr|try) | could not be delivered | giving up | was aborted
    returned to sender | endgültig | définitive | definitiv
    """)
)
"""... and when it will not try again."""

_REPLY_CODE = r"(?:421|45[0-2]|511|521|530|535|55[0-6]|571)[ :-]{1,2}"
SMTP_REPLY = re.compile(
    r"\b[45]\d\d[ -]{1,2}#?[45]\.\d{1,3}\.\d{1,3}\b|\(#?[45]\.\d\.\d{1,3}\)"
    rf"|(?:[:;=<>(\[\])\"'][ \t]{{0,2}}|\b(?:said|code|error|reply|response|with|returned|status)[ \t]{{1,2}}){_REPLY_CODE}[^\s\d]"
    rf"|^[^\w\n]{{0,20}}{_REPLY_CODE}(?=[^\n]{{0,80}}(?:\bno[nt]?\b|\bun|fail|re[jf]|den[iy]|invalid|quota|full|\btoo\b|exceed|block|error|defer|timed? ?out"
    r"|box|recipient|relay|message|service|spam|verif))",
    re.MULTILINE,
)
"""What an SMTP server answered (RFC 5321, 4.2; RFC 3463), in lower-cased text. Three digits alone are also part of a telephone
number, a price or an address: they count where somebody is quoted, or begin a line that tells of a failure."""

RETURNED_MARK = re.compile(
    r"^[ \t>|*=_#~.-]{0,100}"
    + _any(r"""
    this is a copy of (?:the|your) | below (?:this|the next) line is a copy | attachment is a copy of
    (?:a )?copy of (?:the|your) (?:original )?(?:message|mail|header) | here is a copy of | included is a copy of
    start of returned message
    (?:returned|unsent|undelivered|undeliverable|failed|bounced) (?:message|mail|e-?mail)(?: text| header| body| headers)?(?: follows| below|:|[ \t]*-)
    (?:returned|unsent) (?:message|mail)\b
    original (?:message|mail|e-?mail)(?: text| headers?| body| details)?(?: follows| below| attached| as received|[ \t]*-{2,}|[ \t]*:|[ \t]*$|\.)
    message (?:headers?|text|body|contents?) (?:follows?|below|removed|suppressed) | message headers? follows?
    the (?:headers?|first \d+ lines|body)(?: and.{0,30})?(?: of (?:the|your) (?:original )?message| follows)
    the headers?(?: and.{0,40})? of the (?:original )?message | header of the source mail | your message reads
    (?:old|old-|received) message: | forwarded message | (?:text|summary) of (?:the )?undelivered message
    a summary of the undelivered message | end of message | ursprüngliche (?:nachricht|mail|e-?mail)
    originalnachricht | kopie der (?:nachricht|mail) | message (?:original|d'origine|d’origine) | copie du message
    mensaje original | copia del mensaje | mensagem original | messaggio originale | oorspronkelijk bericht
    originele bericht | oryginalna wiadomo | исходн\w+ (?:сообщени|письм) | ниже этой линии | копия сообщения
    元の(?:メッセージ|メール) | 以下は.{0,20}(?:メッセージ|メール) | 原始(?:邮件|郵件) | 原信件 | 附件中的内容 | 원본 메시지
    """),
    re.IGNORECASE | re.MULTILINE,
)
"""A line behind which the returned message begins. People's mail programs write some of these too: it splits, it proves nothing."""
