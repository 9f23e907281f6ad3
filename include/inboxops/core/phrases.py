"""What mail servers and mail programs say, in the languages they say it in. Every expression is linear."""

from __future__ import annotations

import re

OUT_OF_OFFICE_SUBJECT = re.compile(
    r"out of (?:the )?office|automatic reply|auto(?:matic)?[- ]?(?:reply|response)|abwesen|absence", re.IGNORECASE
)
BOUNCE_SUBJECT = re.compile(
    r"undeliver|delivery (?:status|fail)|returned mail|failure notice|mail delivery", re.IGNORECASE
)
RETURNED_MARK = re.compile(r"(?im)^-{2,}.{0,40}(?:original|returned|copy).{0,60}-{0,}")
SMTP_REPLY = re.compile(r"\b[45]\d\d[ -]?(?:[45]\.\d{1,3}\.\d{1,3})|\b[45]\.\d\.\d{1,2}\b|\b55[0-4] ")
