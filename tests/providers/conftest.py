"""Every kind of mailbox that the contract suite runs against."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from inboxops.testing.mailserver import MailServer
from tests.providers.kits import KITS, Kit


@pytest.fixture(params=sorted(KITS))
def kit(request: pytest.FixtureRequest, mail_server: MailServer) -> Iterator[Kit]:
    made = KITS[request.param](mail_server)
    yield made
    made.close()
