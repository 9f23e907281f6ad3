"""A tenant can't have us knock at doors of our own network, by whatever name it calls them."""

from __future__ import annotations

from typing import Any

import pytest

from inboxops.composition import mailboxes
from inboxops.composition.world import World
from inboxops.core.reach import Reach
from inboxops.errors import InvalidInput, OperatorError
from inboxops_lab.testing.mailserver import MailServer
from tests.stories.conftest import connect

INSIDE = [
    *("127.0.0.1", "127.8.9.1", "0.0.0.0", "10.1.2.3", "172.16.0.9", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
    *("::1", "::", "fe80::1%eth0", "fd00::1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"),
    *("2002:7f00:1::", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
    *(
        "::127.0.0.1",
        "::ffff:0:7f00:1",
        "64:ff9b:1::a9fe:a9fe",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
        "fec0::1",
        "3fff::1",
        "100::1",
    ),
    *(
        "192.0.0.192",
        "100.100.100.200",
        "168.63.129.16",
        "fd00:ec2::254",
        "192.88.99.1",
        "198.18.0.1",
    ),  # clouds' metadata, and more
]


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_of_our_own_are_refused_however_they_are_written(address: str) -> None:
    with pytest.raises(InvalidInput, match="no public address"):
        Reach().check("mail.example.com", [address])


def test_one_address_of_our_own_among_public_ones_is_enough() -> None:
    Reach().check("mail.example.com", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
    with pytest.raises(InvalidInput):
        Reach().check("mail.example.com", ["93.184.215.14", "10.0.0.1"])


def test_what_the_operator_lists_may_be_named() -> None:
    reach = Reach.of("mail.corp.example, 192.168.7.0/24 10.0.0.5")
    reach.check("Mail.Corp.Example", ["172.16.0.1"])
    reach.check("other.example", ["192.168.7.20", "10.0.0.5"])
    with pytest.raises(InvalidInput):
        reach.check("other.example", ["192.168.8.1"])
    with pytest.raises(OperatorError, match="no network"):
        Reach.of("192.168.7.0/99")


@pytest.mark.parametrize(
    "connection",
    [
        {"host": "localhost", "port": 1},
        {"host": "2130706433", "port": 1},  # as inet_aton reads it
        {"host": "127.1", "port": 1},
    ],
)
def test_a_tenants_admin_names_no_server_inside(world: World, connection: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="no public address"):
        mailboxes.try_connection(
            world, "imap", "a@b.example", connection | {"public_only": True}, {"password": "secret password"}
        )


def test_an_operator_names_whatever_he_wants(world: World, tenant: str, mail_server: MailServer) -> None:
    box = connect(world, tenant, mail_server)
    assert mailboxes.look(world, box.inbox).messages == 0
