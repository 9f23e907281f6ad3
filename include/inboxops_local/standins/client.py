"""What an installation has to know to take a stand-in for the real provider. Light: the supervisor imports it."""

from __future__ import annotations

from pathlib import Path

CLIENT_ID, CLIENT_SECRET = "stand-in-client", "stand-in-secret"


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
