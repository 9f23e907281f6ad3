"""Google's batch endpoint: up to 100 requests as parts of one multipart/mixed body, each answered in a part of its own."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import Message
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote, urlsplit

from inboxops_local.standins.http import Call, Reply

LARGEST = 100


def answer_batch(call: Call, dispatch: Callable[[Call], Reply]) -> Reply:
    """Parts without an Authorization header get the outer one."""
    head = f"Content-Type: {call.headers.get('content-type', '')}\r\n\r\n".encode()
    outer = message_from_bytes(head + call.body, policy=policy.HTTP)
    if not outer.is_multipart():
        return Reply.json({"error": {"code": 400, "message": "The batch request could not be parsed."}}, 400)
    parts = list(outer.iter_parts())
    if len(parts) > LARGEST:
        return Reply.json({"error": {"code": 400, "message": f"The batch has more than {LARGEST} calls."}}, 400)
    boundary = f"batch_{secrets.token_urlsafe(16)}"
    answers = []
    for part in parts:
        inner = dispatch(_inner(_content(part), call))
        content_id = str(part.get("Content-ID", "")).strip("<>")
        answers.append(
            f"--{boundary}\r\nContent-Type: application/http\r\nContent-ID: <response-{content_id}>\r\n\r\n".encode()
            + _http(inner)
        )
    body = b"\r\n".join([*answers, f"--{boundary}--\r\n".encode()])
    return Reply(200, body, {"Content-Type": f"multipart/mixed; boundary={boundary}"})


def _content(part: Message) -> bytes:
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _inner(content: bytes, outer: Call) -> Call:
    line, _, rest = content.partition(b"\n")
    method, target, _ = line.decode("ascii").split(" ", 2)
    head, _, body = rest.replace(b"\r\n", b"\n").partition(b"\n\n")
    headers = dict(outer.headers)
    for header in head.decode("latin-1").splitlines():
        name, _, value = header.partition(":")
        headers[name.strip().lower()] = value.strip()
    parts = urlsplit(target)
    fields = parse_qsl(parts.query, keep_blank_values=True)
    lists: dict[str, list[str]] = {}
    for name, value in fields:
        lists.setdefault(name, []).append(value)
    return Call(method, unquote(parts.path), dict(fields), headers, body, lists, outer.base)


def _http(reply: Reply) -> bytes:
    headers = {**reply.headers, "Content-Length": str(len(reply.body))}
    lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + reply.body
