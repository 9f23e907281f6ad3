"""Every kind of mailbox that the contract suite runs against."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.providers.cloud_kits import GmailKit, GmailServer, GraphKit, GraphServer
from tests.providers.jmap_kit import JmapKit
from tests.providers.kits import ImapKit, Kit

KITS = {
    "imap": (ImapKit, "mail_server"),
    "gmail": (GmailKit, "gmail_server"),
    "jmap": (JmapKit, "jmap_server"),
    "microsoft": (GraphKit, "graph_server"),
}
"""Kind of mailbox -> its kit and the fixture that is its server."""


@pytest.fixture(params=sorted(KITS))
def kit(request: pytest.FixtureRequest) -> Iterator[Kit]:
    make, server = KITS[request.param]
    made = make(request.getfixturevalue(server))
    yield made
    made.close()


@pytest.fixture
def gmail(gmail_server: GmailServer) -> Iterator[GmailKit]:
    kit = GmailKit(gmail_server)
    yield kit
    kit.close()


@pytest.fixture
def graph(graph_server: GraphServer) -> Iterator[GraphKit]:
    kit = GraphKit(graph_server)
    yield kit
    kit.close()
