"""The tickets page: one document and its modules, without a build step and without anything from another origin."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send

FOLDER = Path(__file__).resolve().parents[1]
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

router = APIRouter(include_in_schema=False)


@router.get("/")
@router.get("/login")
@router.get("/tickets/{ticket_id:int}")
@router.get("/aside/{name}")
@router.get("/certificates")
def page() -> FileResponse:
    """The same document everywhere: its script reads the address."""
    return FileResponse(FOLDER / "templates" / "page.html", headers=HEADERS)


class Static:
    """The page's modules and style. A browser asks each time whether they changed, so that an update is seen at once."""

    def __init__(self) -> None:
        self._files = StaticFiles(directory=FOLDER / "static")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                more = [(b"cache-control", b"no-cache"), (b"x-content-type-options", b"nosniff")]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        await self._files(scope, receive, with_headers)
