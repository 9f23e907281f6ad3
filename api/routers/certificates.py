"""Certificates: that every mail of a day is accounted for, or what is not. For admins."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Path

from api import paging
from api.access import Admin
from api.certificate_models import Certificate, CertificateLine
from api.paging import Cursor, Limit, Page
from inboxops.composition import certifying

router = APIRouter(prefix="/v1/certificates", tags=["certificates"])


@router.get("")
def list_certificates(visit: Admin, limit: Limit = 50, cursor: Cursor = None) -> Page[CertificateLine]:
    """What each certificate says, the newest first."""
    before = min(paging.decode(cursor, int)[0], 2**31 - 1) if cursor is not None else None
    made = visit.world.certificates.listed(visit.tenant_id, before=before, limit=limit + 1)
    page = made[:limit]
    next_ = paging.encode(page[-1].number) if len(made) > limit else None
    return Page(items=[CertificateLine.of(one) for one in page], next=next_)


@router.get("/{day}")
def get_certificate(visit: Admin, day: Annotated[date, Path(description="In UTC.")]) -> Certificate:
    """The last certificate of a day, with the very text that was signed."""
    return Certificate.of(certifying.of_day(visit.world, visit.tenant_id, day))
