"""Whoever runs the installation is told when mail stands still: by this process, which needs none of what may be away for that.

Airflow, the database, Redis and the object store may all be down; a notice that had to go through one of them would not come.
When this process itself is down, whatever asks `/livez` says so; the one after it finds in a file what was told last.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import structlog

from inboxops.cancelling import cancelled
from inboxops.core.standing import Standing, Word
from inboxops.errors import InvalidInput, OperatorError
from inboxops.events.webhook import signature
from inboxops.settings import Settings

EVERY_SECONDS = 10.0
POST_SECONDS = 10.0

log = structlog.get_logger("inboxops.standing")


@contextlib.asynccontextmanager
async def watched(settings: Settings, wrong: Callable[[], Awaitable[str]], kept: Path) -> AsyncIterator[None]:
    """Meanwhile look at the installation. wrong: "" or what keeps mail. Each change is logged, and posted where a URL is set.

    kept: the file that holds what was told last; where its folder is gone with the process, the next one begins anew.
    Raises OperatorError for a URL or a secret that is none.
    """
    _checked(settings)
    watching = asyncio.create_task(_watch(settings, wrong, kept))
    try:
        yield
    finally:
        await cancelled([watching])


def _checked(settings: Settings) -> None:
    url, secret = settings.operator_webhook_url, settings.operator_webhook_secret.get_secret_value()
    if url and not url.startswith(("https://", "http://")):
        raise OperatorError(f"{url!r} is no URL of a webhook", fix="INBOXOPS_OPERATOR_WEBHOOK_URL begins with https://")
    try:
        signature(secret, "", 0, b"")
    except InvalidInput as exc:
        raise OperatorError(
            "the secret of the operator's webhook is none", fix="INBOXOPS_OPERATOR_WEBHOOK_SECRET is whsec_ and base64"
        ) from exc


async def _watch(settings: Settings, wrong: Callable[[], Awaitable[str]], kept: Path) -> None:
    standing = Standing(datetime.now(UTC), _last(kept))
    async with httpx.AsyncClient(timeout=POST_SECONDS, trust_env=False) as http:
        while True:
            try:
                found = await wrong()
            except Exception as exc:  # whatever it is, it must not end the watch unseen
                log.exception("standing_not_known")
                found = f"not known: {type(exc).__name__}"
            word = standing.look(found, now=datetime.now(UTC))
            if word and await _told(http, settings, word):
                standing.told(word)
                _keep(kept, word)
            await asyncio.sleep(EVERY_SECONDS)


async def _told(http: httpx.AsyncClient, settings: Settings, word: Word) -> bool:
    """Whether it needs no further try."""
    url = settings.operator_webhook_url
    if url:
        body = content(word)
        id_ = f"standing_{int(word.since.timestamp())}_{'over' if word.over else 'begun'}"
        headers = {"Content-Type": "application/json", "User-Agent": "InboxOps"}
        if secret := settings.operator_webhook_secret.get_secret_value():
            headers |= signature(secret, id_, int(time.time()), body)
        try:
            async with asyncio.timeout(POST_SECONDS), http.stream("POST", url, content=body, headers=headers) as answer:
                answer.raise_for_status()  # the body says nothing to us, and is not read
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as exc:
            log.warning("operator_not_told", why=f"{type(exc).__name__}: {exc}"[:300], word=word.text)
            return False
    log.warning("mail_moves_again" if word.over else "mail_stands_still", since=word.since.isoformat(), said=word.said)
    return True


def content(word: Word) -> bytes:
    """JSON whose `text` chat servers show as it is; `data` is for programs."""
    return json.dumps(
        {"type": "inboxops.standing", "text": word.text, "data": _data(word)}, ensure_ascii=False
    ).encode()


def _data(word: Word) -> dict[str, object]:
    return {"well": word.over, "since": word.since.isoformat(), "said": word.said}


def _last(kept: Path) -> Word | None:
    """None as well for a file that was cut off."""
    try:
        data = json.loads(kept.read_text())
        return Word(bool(data["well"]), datetime.fromisoformat(data["since"]), str(data["said"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(kept: Path, word: Word) -> None:
    draft = kept.with_suffix(".new")
    try:
        draft.write_text(json.dumps(_data(word)))
        draft.replace(kept)
    except OSError as exc:  # it was told all the same; should we be started anew before it is over, it is told again
        log.warning("standing_not_kept", file=str(kept), why=str(exc))
