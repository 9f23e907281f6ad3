"""Some defences are taken out in every run of the suite, all of them by `make intruders DEFENCES=out`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.intruders.defences import QUICK, take_out


@pytest.mark.parametrize("defence", QUICK)
def test_without_it_a_test_fails(defence: str, tmp_path: Path) -> None:
    take_out(defence, tmp_path)
