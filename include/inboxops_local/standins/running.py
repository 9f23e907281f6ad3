"""Starting a stand-in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from inboxops.errors import InvalidInput
from inboxops_local.demo import certificates
from inboxops_local.standins.gmail import Gmail
from inboxops_local.standins.graph import Graph
from inboxops_local.standins.http import Serving

CA_FILE, CHAIN_FILE = "ca.pem", "chain.pem"
STAND_INS: dict[str, Callable[..., Gmail | Graph]] = {"gmail": Gmail, "graph": Graph}


def run(kind: str, *, port: int, users: Sequence[str], ask: bool, folder: Path, born: float | None = None) -> Serving:
    """Serve with TLS (msal takes nothing else), with an authority of our own in `folder`, made on first use.

    Raises InvalidInput for an unknown kind, OperatorError when the port is taken.
    """
    if kind not in STAND_INS:
        raise InvalidInput(f"there is no stand-in {kind!r}", fix=f"Known: {', '.join(STAND_INS)}")
    folder.mkdir(parents=True, exist_ok=True)
    certificates.make(folder / CA_FILE, folder / CHAIN_FILE)
    stand_in = STAND_INS[kind](born=born)
    stand_in.authority.auto_consent = not ask
    for address in users:
        stand_in.mailbox(address)
    return Serving(stand_in, port=port, chain_file=folder / CHAIN_FILE, ca_file=folder / CA_FILE)
