"""How a file that a stranger named and typed is handed out: headers that can carry nothing else."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*")


def content_disposition(file_name: str) -> str:
    """`attachment` with the name in ASCII for old clients and in UTF-8 for all others (RFC 6266, RFC 8187)."""
    name = "".join(" " if unicodedata.category(char)[0] == "C" else char for char in file_name).strip() or "file"
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode("ascii")
    ascii_name = re.sub(r'["\\%/;]', "_", ascii_name).strip() or "file"
    return f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(name, safe='')}"


def media_type(content_type: str) -> str:
    """A sender's content type as far as it is one; its parameters are dropped."""
    bare = content_type.split(";")[0].strip()
    return bare if _MEDIA_TYPE.fullmatch(bare) else "application/octet-stream"
