"""The one way to a server: a name is looked up once, all that it leads to is looked at, and that is connected to."""

from __future__ import annotations

import socket

from inboxops.core.reach import Reach
from inboxops.outward.allowance import Allowance

_SHARES = 3  # of the time that is left: an address that is silent leaves some for the next


def addresses(reach: Reach | None, host: str) -> list[str]:
    """What the name leads to, at least one. reach: None where an operator named it.

    Raises InvalidInput when one of them is none that may be reached, socket.gaierror when it leads nowhere or nobody can say.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError as exc:
        raise socket.gaierror(socket.EAI_NONAME, "no host name") from exc
    listed = list(dict.fromkeys(str(one[4][0]) for one in found))
    if reach is not None:
        reach.check(host, listed)
    return listed


def connected(reach: Reach | None, host: str, port: int, seconds: float) -> socket.socket:
    """A TCP connection with the first address that answers, all of them together tried so long; reads then wait so long, too.

    The address itself is connected to, not the name: it could lead elsewhere a moment later. Whoever speaks TLS verifies the name.
    How long names are looked up is the system's to say (resolv.conf(5)). Raises what `addresses` does, and OSError.
    """
    allowance = Allowance(seconds, 0)
    listed = addresses(reach, host)
    for number, address in enumerate(listed, start=1):
        share = allowance.wait() / min(_SHARES, len(listed) - number + 1)
        try:
            line = socket.create_connection((address, port), share)
        except OSError as exc:
            failed = exc
            continue
        line.settimeout(seconds)
        return line
    raise failed
