"""How much a request may send. What is over the limit is refused while it comes in, not after."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inboxops.core.attachments import FILE_BYTES

BODY_BYTES = 4 * 1024 * 1024
UPLOAD_BYTES = FILE_BYTES + 64 * 1024  # a form around a file
UPLOADS = "/v1/attachments"
WEBHOOK_BYTES = 256 * 1024  # a full batch of Graph's notifications has about half of that
WEBHOOKS = "/api/webhooks/"


class BodyLimit:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = _most(scope["path"])
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
        taken = 0

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > most or (declared.isdigit() and int(declared) > most):
                raise HTTPException(413, f"a request here has {most} bytes at most")
            return message

        await self._app(scope, bounded, send)


def _most(path: str) -> int:
    if path.startswith(WEBHOOKS):
        return WEBHOOK_BYTES
    return UPLOAD_BYTES if path == UPLOADS else BODY_BYTES
