"""`python -m inboxops_local.demo`: wait until the demonstration inbox has been read, show what became of its mail."""

from __future__ import annotations

import sys

from rich.console import Console

from inboxops import settings
from inboxops.cli.world import opened
from inboxops_local.demo.seed import demonstrate
from inboxops_local.stack.home import Home
from inboxops_local.stack.ports import Ports

if __name__ == "__main__":
    with opened() as world:
        sys.exit(demonstrate(world, Home(settings.home()), Ports(), Console()))
