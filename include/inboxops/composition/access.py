"""Links that log in."""

from __future__ import annotations

from inboxops.composition.world import World


def login_link(world: World, tenant_id: int, *, name: str, role: str, minutes: int) -> str:
    """A link to the tickets page that logs in once. Behind the `#`, because what is there is sent to no server and logged
    by none."""
    link = world.api_keys.add_link(tenant_id, name=name, role=role, minutes=minutes)
    return f"{world.settings.api_url.rstrip('/')}/login#{link}"
