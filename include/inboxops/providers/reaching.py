"""Before a connection and behind it: whether it leads where a tenant may reach."""

from __future__ import annotations

import socket

from inboxops.core.reach import Reach


def check_name(reach: Reach | None, host: str) -> None:
    """Raises InvalidInput when the name leads into our own network. A name that leads nowhere is for the connection to say."""
    if reach is None:
        return
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return
    reach.check(host, {str(one[4][0]) for one in found})


def check_peer(reach: Reach | None, host: str, connected: socket.socket | None) -> None:
    """Raises InvalidInput when the connection leads there after all: before anything was said that matters."""
    if reach is not None and connected is not None:
        reach.check(host, [str(connected.getpeername()[0])])
