"""Starting a stand-in, and the settings that point an installation at it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from inboxops.demo import certificates
from inboxops.errors import InvalidInput
from inboxops.standins.authority import CLIENT_ID, CLIENT_SECRET
from inboxops.standins.gmail import Gmail
from inboxops.standins.graph import Graph
from inboxops.standins.http import Serving

CA_FILE, CHAIN_FILE = "ca.pem", "chain.pem"
STAND_INS: dict[str, Callable[[], Gmail | Graph]] = {"gmail": Gmail, "graph": Graph}


def run(kind: str, *, port: int, users: Sequence[str], ask: bool, folder: Path) -> Serving:
    """Serve with TLS (msal takes nothing else), with an authority of our own in `folder`, made on first use.

    Raises InvalidInput for an unknown kind, OperatorError when the port is taken.
    """
    if kind not in STAND_INS:
        raise InvalidInput(f"there is no stand-in {kind!r}", fix=f"Known: {', '.join(STAND_INS)}")
    folder.mkdir(parents=True, exist_ok=True)
    certificates.make(folder / CA_FILE, folder / CHAIN_FILE)
    stand_in = STAND_INS[kind]()
    stand_in.authority.auto_consent = not ask
    for address in users:
        stand_in.mailbox(address)
    return Serving(stand_in, port=port, chain_file=folder / CHAIN_FILE, ca_file=folder / CA_FILE)


def settings_for(kind: str, url: str, ca_file: Path | None) -> dict[str, str]:
    """The INBOXOPS_* variables that make an installation take the stand-in for the real one."""
    trusted = {"INBOXOPS_PROVIDER_CA_FILE": str(ca_file)} if ca_file else {}
    if kind == "gmail":
        return {
            "INBOXOPS_GOOGLE_CLIENT_ID": CLIENT_ID,
            "INBOXOPS_GOOGLE_CLIENT_SECRET": CLIENT_SECRET,
            "INBOXOPS_GOOGLE_AUTHORIZE_URL": f"{url}/o/oauth2/v2/auth",
            "INBOXOPS_GOOGLE_TOKEN_URL": f"{url}/token",
            "INBOXOPS_GOOGLE_REVOKE_URL": f"{url}/revoke",
            "INBOXOPS_GOOGLE_API_URL": url,
            "INBOXOPS_GOOGLE_CERTS_URL": f"{url}/oauth2/v3/certs",
            **trusted,
        }
    return {
        "INBOXOPS_MICROSOFT_CLIENT_ID": CLIENT_ID,
        "INBOXOPS_MICROSOFT_CLIENT_SECRET": CLIENT_SECRET,
        "INBOXOPS_MICROSOFT_AUTHORITY": f"{url}/organizations",
        "INBOXOPS_MICROSOFT_GRAPH_URL": url,
        **trusted,
    }
