"""What mail servers and mail programs say, in the languages they say it in.

Every expression is a plain alternation without nested repetition, so it is linear; whoever uses one hands it at most 50 KB of
lower-cased text: without the flag for case the same search takes a quarter of the time. Sources: the bounce texts of Postfix, Exim, Sendmail, qmail, Exchange, Domino, GroupWise,
Courier, MDaemon, hMailServer and the large mailbox providers, and the automatic replies of Exchange, Gmail, Apple Mail and vacation(1).
"""

from __future__ import annotations

import re


def _any(*phrases: str) -> re.Pattern[str]:
    return re.compile("|".join(phrases))


OUT_OF_OFFICE_SUBJECT = _any(
    r"out[- ]of[- ](?:the[- ])?office", r"\bauto(?:matic|mated|matically)?[- ]?(?:generated )?(?:reply|response|responder)\b",
    r"away from (?:my|the|our) (?:office|desk|mail|e-?mail)", r"\bon (?:annual |maternity |parental |sick )?(?:vacation|holiday|holidays|leave)\b",
    r"\bvacation (?:reply|message|response|notice)", r"\b(?:i am|i'm) (?:currently )?(?:away|out of)\b",
    r"abwesenheit", r"\babwesend\b", r"automatische antwort", r"nicht im (?:hause?|büro)", r"urlaubs(?:benachrichtigung|meldung|vertretung)",
    r"außer haus",
    r"réponse automatique", r"reponse automatique", r"absence du bureau", r"absente? du bureau", r"message d.absence", r"hors du bureau",
    r"en congés?\b",
    r"respuesta autom[aá]tica", r"fuera de (?:la )?oficina", r"ausente de la oficina", r"\bde vacaciones\b", r"resposta autom[aàá]tica",
    r"fora do escrit[óo]rio", r"aus[êe]ncia tempor[áa]ria", r"ausente do escrit[óo]rio",
    r"risposta automatica", r"fuori (?:sede|ufficio)", r"assenza dall.ufficio",
    r"automatisch antwoord", r"automatische? beantwoord", r"\bafwezig", r"niet aanwezig",
    r"автоматическ\w+ ответ", r"автоответ", r"\bв отпуске\b", r"нет на месте", r"автоматична відповідь",
    r"odpowied[źz] automatyczna", r"automatyczna odpowied[źz]", r"poza biurem", r"\bnieobecno",
    r"autosvar", r"automatiskt? svar", r"frånvaro|frånvarande", r"(?:inte|ikke) på kontoret", r"\bfraværs?",
    r"automaattinen vastaus", r"poissa toimistosta", r"automatick[áa] odpov[ěe]", r"mimo kancel[áa]", r"automatikus v[áa]lasz",
    r"h[áa]zon k[íi]v[üu]l", r"otomatik yan[ıi]t", r"ofis d[ıi][şs][ıi]nda", r"r[ăa]spuns automat", r"αυτόματη απάντηση", r"εκτός γραφείου",
    r"自動(?:応答|返信|回覆|回復|答覆)", r"不在(?:通知|連絡|のお知らせ|にして)", r"休暇(?:中|の)", r"自动(?:回复|答复|应答)", r"不在办公室", r"자동 ?(?:응답|회신|답장)", r"부재 ?중",
    r"תשובה אוטומטית", r"رد تلقائي",
)  # fmt: skip

REPLY_PREFIX = re.compile(
    r"^\s*(?:re|aw|sv|antw|fwd?|wg|tr|rv|vs|vb|odp|rif|enc|i|r|回复|答复|转发|轉寄|返信|転送|отв|пересл)\s*(?:\[\d+\])?\s*[:：]",
    re.IGNORECASE,
)
"""A person answers or passes on: whatever subject follows is not this mail's own."""

BOUNCE_SUBJECT = _any(
    r"\bundeliver(?:able|ed)\b", r"\bnon[- ]?deliver(?:y|able)\b", r"\bun[- ]?successful (?:mail )?delivery\b", r"mail delivery\b",
    r"\bdelivery (?:status|state|failure|failed|problem|error|report|has failed|unsuccessful|delay|notification)", r"delivery subsystem",
    r"\bmessage (?:delivery|delayed|undeliver|not delivered|status)", r"\bfail(?:ed|ure)(?: of)?(?: in)? (?:mail|delivery|notice|message)",
    r"\b(?:mail|message|e-?mail) (?:system )?(?:fail(?:ed|ure)|error|could not be|not delivered|not deliverable|undeliver|bounced|was not|has been)",
    r"\breturned (?:mail|message|e-?mail|to sender)", r"\breturning (?:mail|message|to sender)", r"\bmail returned\b", r"\bfailure notice\b",
    r"\bwarning: (?:message|could not|mail|e-?mail|.{0,80}delayed)", r"\bcould not (?:be delivered|deliver|send)", r"\bcannot (?:be delivered|deliver|send) ",
    r"\bunable to deliver", r"\bnot (?:yet )?been delivered\b", r"\bnot delivered\b", r"\bdelayed (?:mail|message|delivery)\b", r"\bdelayed \d+ (?:hours|days)",
    r"\bbounced? (?:mail|message|e-?mail)", r"\bmailbox (?:is )?full", r"\buser unknown\b", r"\bunknown user\b", r"\bprocessing error\b",
    r"\bautomatically rejected mail\b", r"\bpostmaster notify\b", r"\bnameserver error report\b", r"\brejected (?:mail|message|e-?mail)\b", r"\bmail rejected\b",
    r"\bdsn\b.{0,30}\b(?:fail|delay)", r"\bndr\b", r"\bmessage blocked\b", r"\bdelivery has been delayed\b",
    r"unzustellbar", r"nicht zustellbar", r"nicht zugestellt", r"zustell(?:ung|fehler|status|barkeit)", r"zurückgesand?te? (?:mail|nachricht|e-?mail)",
    r"non remis", r"non distribu", r"non d[ée]livr", r"[ée]chec de (?:la )?(?:remise|livraison|distribution|l.envoi)", r"[ée]tat de remise", r"notification d.[ée]tat de remise",
    r"non recens[ée]",
    r"no se (?:ha )?(?:pudo|podido) (?:entregar|enviar)", r"no entregado", r"no se entreg", r"entrega (?:fallida|no realizada)", r"error (?:de|en la) entrega", r"devuelto",
    r"n[ãa]o (?:foi )?entreg", r"falha (?:na|de) entrega", r"n[ãa]o (?:foi )?poss[íi]vel (?:a )?entreg",
    r"mancat[oa] (?:recapito|consegna)", r"recapito non riuscito", r"non (?:è stato )?(?:recapitat|consegnat)", r"impossibile (?:recapitare|consegnare)",
    r"onbestelbaar", r"niet (?:bezorgd|afgeleverd|besteld)", r"bezorging (?:mislukt|is mislukt)",
    r"kunde inte leverera", r"går inte att leverera", r"ej levererat", r"kunne ikke (?:leveres|afleveres)", r"ikke leveret", r"ikke levert", r"toimitus epäonnistui", r"ei voitu toimittaa",
    r"nie (?:zosta[łl][ao]? )?dostarczon", r"niedostarczon", r"zwrot (?:wiadomo|poczty)", r"nedoru[čc]", r"nelze doru[čc]it", r"nem k[ée]zbes[íi]t", r"k[ée]zbes[íi]t[ée]si? (?:hiba|sikertelen)",
    r"teslim edileme", r"iletileme", r"μη παραδο", r"αποτυχία παράδοσης",
    r"не(?: было| был)? ?доставлен", r"недоставлен", r"не удалось доставить", r"невозможно доставить", r"сбой доставки", r"ошибка доставки", r"возврат (?:письма|почты)", r"не вдалося доставити",
    r"配信(?:不能|でき|エラー|に失敗|失敗)", r"配送(?:不能|でき|エラー)", r"送信(?:エラー|できません|失敗)", r"不達", r"エラーメール", r"未配(?:信|達)", r"届けでき",
    r"(?:邮件|郵件|信件|信息)?(?:投递|投遞|传输|傳輸|发送|發送|傳送|递送|遞送)(?:失败|失敗|错误|錯誤|不成功)", r"退信", r"(?:无法|無法|未能)(?:投递|投遞|送达|送達|传递|傳遞|傳送|发送|寄達)", r"被退回",
    r"배달되지 않", r"전송 ?실패", r"배달 ?실패", r"반송", r"발송 ?실패", r"לא ניתן למסירה", r"تعذر (?:ال)?تسليم",
)  # fmt: skip

FAILURE = _any(
    r"(?:could not|couldn't|cannot|can't|can not|could'nt|was not|wasn't|were not|has not been|have not been|not be|not been) (?:be )?(?:successfully )?delivered",
    r"not delivered to", r"not (?:yet )?been delivered", r"(?:wasn't|was not|weren't|were not|not|isn't) able to (?:be )?deliver", r"unable to (?:be )?deliver", r"unable to send (?:your|the) (?:mail|message)",
    r"\bundeliver(?:able|ed)\b", r"\bnon-delivery\b", r"deliver[yt](?: of.{1,80}?)?(?: to.{1,80}?)?(?: has)? (?:failed|been delayed|been postponed|was aborted)", r"delevery to",
    r"failed to deliver", r"delivery (?:failure|problem|error|status notification|attempt)", r"fatal (?:delivery )?errors?", r"did not (?:reach|receive)", r"could not (?:be reached|deliver|send)",
    r"error (?:delivering|while delivering|occurred while|detected while)", r"problem delivering", r"mail (?:delivery|transport) (?:failed|agent|software|sub ?system|system)", r"this is the (?:mail|postfix|sendmail|exim|qmail)",
    r"this message was created automatically by (?:mail|the mail|a mail)", r"returned (?:to (?:the )?sender|mail|message|because|below|for the following)", r"returning (?:message|mail|it) to (?:the )?sender",
    r"user (?:is )?unknown", r"unknown (?:user|recipient|address|host|local)", r"no such (?:user|mailbox|address|recipient|domain|account)", r"(?:user|mailbox|recipient|account|address|domain|host)(?: name)?(?: is)?(?: was)?(?:n't| not) (?:be )?(?:found|exist|recogni[sz]ed|known|valid|listed|available|active|reachable)",
    r"does ?(?:n't| not) have a(?:n)? (?:\S{1,60} )?(?:account|mailbox)", r"(?:account|mailbox|user|address|recipient)(?: here)?(?: that does)?(?: does)?(?:n't| not)? exist", r"no mailbox here", r"no longer (?:valid|active|in use|available)",
    r"(?:mailbox|quota|inbox|storage|account)(?: size| limit)?(?: is| has| are)?(?: been)? (?:full|exceed|over)", r"over ?quota", r"quota (?:violation|exceed|limit)", r"exceed(?:s|ed|ing)? (?:the |their |his |its |your |maximum |storage )*(?:quota|limit|size|maximum|delivery attempts)",
    r"mailbox (?:is )?(?:unavailable|disabled|inactive|locked|not found)", r"(?:recipient|sender|address|message|mail|relay|access)(?: address)?(?: was| is| has been| been| access)? (?:rejected|denied|refused|blocked|disabled|returned)", r"relay(?:ing)? (?:not |is not )?(?:allowed|denied|permitted)",
    r"(?:account|user|address|mailbox)(?: has been| is| was)? (?:disabled|suspended|deactivated|discontinued|invalid|inactive|unknown)", r"invalid (?:recipient|address|mailbox|user|final delivery)", r"bad (?:destination|recipient|address)", r"permission denied", r"host(?: or domain)?(?: name)? not found", r"too many hops", r"mail loop",
    r"message (?:looping|bounced|rejected|expired|refused)", r"no valid recipients", r"intended recipient", r"failed recipients?", r"recipients? (?:failed|rejected)", r"rejected your message", r"did not like our", r"remote (?:host|server) (?:said|replied|returned|issued|closed)", r"smtp error", r"error code", r"this is a permanent error", r"given up", r"retry time(?:out)? (?:not|exceeded)", r"will (?:be )?retried", r"still being retried", r"delivery attempts will continue", r"we will (?:continue|keep) (?:to try|trying|to attempt)", r"been postponed", r"encountered (?:an error|delivery problems)", r"mail box space not enough",
    r"nicht (?:an .{1,80}? )?(?:zugestellt|zustellbar|übermittelt|ausgeliefert)", r"unzustellbar", r"zustellung .{0,80}(?:fehlgeschlagen|gescheitert|nicht möglich)", r"konnte .{0,60}nicht zustellen",
    r"(?:n'a|n’a|na) (?:pas )?pu? ?(?:pu )?[êe]tre (?:remis|d[ée]livr|distribu|livr|achemin|envoy|transmis)", r"n'a pas pu [êe]tre", r"impossible de (?:remettre|distribuer|d[ée]livrer|livrer|transmettre)", r"[ée]chec de (?:la )?(?:remise|livraison|distribution)", r"adresse .{0,60}n'existe pas",
    r"no (?:se )?(?:ha )?(?:pudo|podido|puede|fue posible) (?:ser )?(?:entreg|envi)", r"no fue (?:posible )?entregad", r"imposible entregar", r"no se entreg[óo]", r"n[ãa]o (?:p[ôo]de|pode|foi|foi poss[íi]vel)(?: ser)? (?:entreg|envi)", r"falha na entrega",
    r"(?:impossibile|non è stato possibile) (?:recapitare|consegnare|inviare)", r"non (?:è stato|ha potuto essere|può essere) (?:recapitat|consegnat)", r"kon niet worden (?:bezorgd|afgeleverd|verzonden)", r"niet (?:bezorgd|afgeleverd)", r"kunde inte levereras", r"kunne ikke (?:leveres|afleveres)", r"ei voitu toimittaa", r"ei voida toimittaa",
    r"nie (?:mog[łl][ao]|m[óo]g[łl]|mo[żz]na|zosta[łl][ao]?|uda[łl]o si[ęe])(?: by[ćc]| zosta[ćc]| go| jej)? ?dostarcz", r"nelze doru[čc]it", r"nepoda[řr]ilo (?:se )?doru[čc]it", r"nem (?:lehetett|siker[üu]lt) k[ée]zbes[íi]teni", r"teslim edilem", r"iletilem", r"δεν (?:ήταν δυνατή|μπόρεσε)",
    r"не (?:может быть|могло быть|удалось|было|был|может)(?: быть)? доставл?[еи]", r"не удалось доставить", r"невозможно доставить", r"не доставлено", r"не вдалося доставити", r"пользователь не найден",
    r"配(?:信|送|達)(?:でき|が?できなかった|に失敗|不能|されません)", r"送信(?:でき|に失敗|エラー)", r"届け(?:でき|ることができ)", r"(?:宛先|あて先).{0,30}(?:見つか|存在し|不明|ありません)", r"エラー(?:メール|内容)", r"受信者.{0,20}(?:存在し|見つか)",
    r"(?:无法|無法|不能|未能)(?:正常)?(?:投递|投遞|送达|送達|传递|傳遞|傳送|发送|發送|寄達|接收|接受)", r"(?:投递|投遞|传输|傳輸|发送|發送|傳送)失[败敗]", r"退信", r"(?:地址|用户|用戶|帐号|收件人).{0,10}(?:不存在|错误)", r"배달(?:되지|하지|할 수)", r"전송(?:되지|하지|할 수|에 실패)", r"반송되", r"لم يتم تسليم|تعذر تسليم", r"לא ניתן היה למסור",
)  # fmt: skip

DELAY = _any(
    r"not (?:yet )?been delivered to (?:one or more|all|some|the)?", r"has not (?:yet )?been delivered", r"(?:delivery|message|mail).{0,60}(?:has been|is|was)?(?: being)? (?:delayed|postponed|deferred)", r"delayed \d+ (?:hours|days)", r"still being retried",
    r"warning message only", r"this is (?:just )?a warning", r"do not need to (?:resend|take any)", r"no action is required", r"will (?:continue|keep) (?:to try|trying|to attempt|to be)", r"delivery attempts will continue", r"will be retried", r"\(delay\)", r"verzögert", r"wird weiter versucht",
    r"retard[ée] ?(?:e|s)?\b.{0,30}(?:remise|livraison)", r"remise .{0,30}retard", r"retras(?:o|ad[oa])", r"задерж", r"遅延|配信が遅れ", r"延迟|延遲|暫時無法",
)  # fmt: skip
GIVEN_UP = _any(
    r"permanent(?:ly)?", r"given up", r"will not (?:be )?(?:retr|try)", r"could not be delivered", r"giving up", r"was aborted", r"returned to sender", r"endgültig", r"définitive", r"definitiv",
)  # fmt: skip

SMTP_REPLY = re.compile(
    r"\b[45]\d\d[ -]{1,2}#?[45]\.\d{1,3}\.\d{1,3}\b|\(#?[45]\.\d\.\d{1,3}\)|\b(?:421|45[0-2]|511|521|530|535|55[0-6]|571)[ :-]{1,2}\S"
)

RETURNED_MARK = re.compile(
    r"^[ \t>|*=_#~.-]{0,100}(?:"
    + "|".join((
        r"this is a copy of (?:the|your)", r"below (?:this|the next) line is a copy", r"attachment is a copy of", r"(?:a )?copy of (?:the|your) (?:original )?(?:message|mail|header)", r"here is a copy of", r"included is a copy of",
        r"start of returned message", r"(?:returned|unsent|undelivered|undeliverable|failed|bounced) (?:message|mail|e-?mail)(?: text| header| body| headers)?(?: follows| below|:|[ \t]*-)", r"(?:returned|unsent) (?:message|mail)\b",
        r"original (?:message|mail|e-?mail)(?: text| headers?| body| details)?(?: follows| below| attached| as received|[ \t]*-{2,}|[ \t]*:|[ \t]*$|\.)", r"message (?:headers?|text|body|contents?) (?:follows?|below|removed|suppressed)", r"message headers? follows?",
        r"the (?:headers?|first \d+ lines|body)(?: and.{0,30})?(?: of (?:the|your) (?:original )?message| follows)", r"the headers?(?: and.{0,40})? of the (?:original )?message", r"header of the source mail", r"your message reads", r"(?:old|old-|received) message:", r"forwarded message",
        r"(?:text|summary) of (?:the )?undelivered message", r"a summary of the undelivered message", r"end of message",
        r"ursprüngliche (?:nachricht|mail|e-?mail)", r"originalnachricht", r"kopie der (?:nachricht|mail)", r"message (?:original|d'origine|d’origine)", r"copie du message", r"mensaje original", r"copia del mensaje", r"mensagem original", r"messaggio originale", r"oorspronkelijk bericht", r"originele bericht", r"oryginalna wiadomo", r"исходн\w+ (?:сообщени|письм)", r"ниже этой линии", r"копия сообщения",
        r"元の(?:メッセージ|メール)", r"以下は.{0,20}(?:メッセージ|メール)", r"原始(?:邮件|郵件)", r"原信件", r"附件中的内容", r"원본 메시지",
    ))
    + ")",
    re.IGNORECASE | re.MULTILINE,
)  # fmt: skip
"""A line behind which the returned message begins. People's mail programs write some of these too: it splits, it proves nothing."""
