"""Files: upload for a reply, download by a link."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.responses import StreamingResponse

from api.access import Agent
from api.models import Download, Id, Put, Upload, UploadRequest
from inboxops.core.download import content_disposition
from inboxops.errors import InvalidInput
from inboxops.stories import files

router = APIRouter(prefix="/v1/attachments", tags=["attachments"])

_CONTENT: dict[int | str, dict[str, Any]] = {
    200: {"description": "Its bytes.", "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}
}

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": UploadRequest.model_json_schema()},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
        },
    }
}


@router.post("", status_code=201, openapi_extra=_BODY)
async def upload(request: Request, visit: Agent) -> Upload:
    """Bring a file: describe it as JSON and PUT it to the link that comes back, or send it here as a form's `file`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _take(request, visit)
    if kind != "application/json":
        raise HTTPException(415, "send application/json or multipart/form-data")
    try:
        wanted = UploadRequest.model_validate(json.loads(await request.body()))
    except ValidationError as exc:
        raise RequestValidationError([{**error, "loc": ("body", *error["loc"])} for error in exc.errors()]) from exc
    except (ValueError, RecursionError) as exc:
        raise InvalidInput("the body is no JSON") from exc
    link = await run_in_threadpool(
        files.begin_upload,
        visit.tenant_id,
        visit.world.attachments,
        visit.world.objects,
        file_name=wanted.file_name,
        content_type=wanted.content_type,
        size_bytes=wanted.size_bytes,
    )
    return Upload(id=link.id, file_name=link.file_name, upload=Put(url=link.url, headers=dict(link.headers)))


@router.get("/{attachment_id}")
def download(visit: Agent, attachment_id: Id) -> Download:
    """A link to the file that works for 15 minutes."""
    file, url = files.link(visit.tenant_id, attachment_id, visit.world.attachments, visit.world.objects)
    return Download(
        id=file.id, file_name=file.file_name, content_type=file.content_type, size_bytes=file.size_bytes, url=url
    )


@router.get("/{attachment_id}/content", response_class=StreamingResponse, responses=_CONTENT)
def content(visit: Agent, attachment_id: Id) -> StreamingResponse:
    """The file itself, through here: for browsers that can't reach the object store. Saved, never rendered."""
    file, type_, pieces = files.read(visit.tenant_id, attachment_id, visit.world.attachments, visit.world.objects)
    headers = {
        "Content-Disposition": content_disposition(file.file_name),
        "Content-Length": str(file.size_bytes),
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    return StreamingResponse(pieces, media_type=type_, headers=headers)


async def _take(request: Request, visit: Agent) -> Upload:
    async with request.form(max_files=1, max_fields=0) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise InvalidInput("the form has no `file`")
        content = await file.read()
        name, type_ = file.filename or "", file.content_type or ""
    stored = await run_in_threadpool(
        files.take_upload,
        visit.tenant_id,
        visit.world.attachments,
        visit.world.objects,
        file_name=name,
        content_type=type_,
        content=content,
    )
    return Upload(id=stored.id, file_name=stored.file_name, upload=None)
