"""Attachments: names that are safe to store and to download, and how much of them a message may bring."""

from __future__ import annotations

import mimetypes
import re
import unicodedata
from collections.abc import Collection, Iterable

from inboxops.core.model import Attachment

FILE_BYTES = 25 * 1024 * 1024
MESSAGE_FILES = 10
MESSAGE_BYTES = 25 * 1024 * 1024
NAME_BYTES = 150
"""UTF-8 bytes of a safe name: with tenant, message and number in front it stays far below the 1,024 of an S3 key."""

_TYPES = mimetypes.MimeTypes(filenames=())  # the standard library's own table: a machine's may differ
_EXTENSIONS = {
    "application/x-zip-compressed": ".zip",
    "application/x-pdf": ".pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
    "application/vnd.ms-excel.sheet.macroenabled.12": ".xlsm",
    "application/vnd.oasis.opendocument.text": ".odt",
    "application/vnd.oasis.opendocument.spreadsheet": ".ods",
    "application/vnd.oasis.opendocument.presentation": ".odp",
    "application/msexcel": ".xls",
    "application/x-msexcel": ".xls",
    "application/vnd.ms-outlook": ".msg",
    "application/gzip": ".gz",
    "application/x-gzip": ".gz",
    "application/vnd.rar": ".rar",
    "application/x-rar-compressed": ".rar",
    "application/x-7z-compressed": ".7z",
    "text/rtf": ".rtf",
    "text/vcard": ".vcf",
    "audio/wav": ".wav",
    "audio/wave": ".wav",
    "audio/mp4": ".m4a",
    "audio/m4a": ".m4a",
    "audio/x-m4a": ".m4a",
    "audio/amr": ".amr",
    "audio/ogg": ".ogg",
    "video/3gpp": ".3gp",
    "image/x-png": ".png",
    "image/x-ms-bmp": ".bmp",
    "image/jpg": ".jpg",
    "image/pjpeg": ".jpg",
    "audio/mp3": ".mp3",
    "application/ics": ".ics",
    "text/calendar": ".ics",
    "text/plain": ".txt",
    "application/pgp-signature": ".asc",
    "application/pkcs7-signature": ".p7s",
    "application/x-pkcs7-signature": ".p7s",
}
"""What mail says and the table does not know, or knows under a name that nobody uses."""
_SEEN_OR_HEARD = frozenset({"image", "audio", "video"})

_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)  # device names of Windows
_FORBIDDEN = re.compile(r'[<>:"|?*]')
_SPACES = re.compile(r"\s+")
_EXTENSION_BYTES = 20


def safe_file_name(name: str, *, content_type: str, taken: Collection[str] = ()) -> str:
    """A name that is only a name: no path, no control or direction characters, bounded, unlike any in `taken`.

    The extension survives shortening. A name with nothing left becomes what `unnamed` says. Names
    are compared without case, because some file systems do so: the second `a.PDF` becomes `a (2).PDF`.
    """
    text = unicodedata.normalize("NFC", name.encode("utf-8", "replace").decode("utf-8"))
    text = "".join(" " if char.isspace() else char for char in text if char.isspace() or not _invisible(char))
    text = text.replace("\\", "/").rstrip("/ ").rpartition("/")[2]
    text = _SPACES.sub(" ", _FORBIDDEN.sub("_", text)).strip(" .")
    if not text:
        text = unnamed(content_type)
    if _RESERVED.fullmatch(text):
        text = f"_{text}"
    stem, extension = _split(text)
    used = {other.casefold() for other in taken}
    number, mark = 1, ""
    while True:
        candidate = _cut(stem, NAME_BYTES - len((mark + extension).encode())) + mark + extension
        if candidate.casefold() not in used:
            return candidate
        number += 1
        mark = f" ({number})"


def unnamed(content_type: str) -> str:
    """The name of a file that has none, made from its type: `image.jpg`, `attachment.pdf`."""
    kind = content_type.partition("/")[0]
    extension = _EXTENSIONS.get(content_type) or _TYPES.guess_extension(content_type, strict=False) or ".bin"
    return ("invite" if extension == ".ics" else kind if kind in _SEEN_OR_HEARD else "attachment") + extension


def within_limits(
    attachments: Iterable[Attachment],
) -> tuple[tuple[Attachment, ...], tuple[tuple[Attachment, str], ...]]:
    """(kept, omitted): what may be stored, in order, and what may not, each with a reason a person understands."""
    kept: list[Attachment] = []
    omitted: list[tuple[Attachment, str]] = []
    total = 0
    for attachment in attachments:
        if attachment.size_bytes > FILE_BYTES:
            omitted.append((attachment, f"larger than {FILE_BYTES // 1024**2} MB"))
        elif len(kept) == MESSAGE_FILES:
            omitted.append((attachment, f"more than {MESSAGE_FILES} files in one message"))
        elif total + attachment.size_bytes > MESSAGE_BYTES:
            omitted.append((attachment, f"more than {MESSAGE_BYTES // 1024**2} MB in one message"))
        else:
            kept.append(attachment)
            total += attachment.size_bytes
    return tuple(kept), tuple(omitted)


def _invisible(char: str) -> bool:
    """Control, format (direction marks among them), private, surrogate and unassigned characters."""
    return unicodedata.category(char)[0] == "C"


def _split(name: str) -> tuple[str, str]:
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > _EXTENSION_BYTES:
        return name, ""
    return stem, dot + extension


def _cut(text: str, size: int) -> str:
    return text.encode()[:size].decode("utf-8", "ignore").rstrip(" .") or "_"
