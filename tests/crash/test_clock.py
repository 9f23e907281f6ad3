"""A host whose clock is off by ten minutes: the life of an inbox goes its way there, at every kind of provider."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crash.process import Processes
from tests.crash.scenes import Scene
from tests.crash.servers import SCENES


@pytest.fixture(scope="session")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that puts the clock of whoever loads it off."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler, which is not installed (apt-get install gcc libc6-dev)")
    library = tmp_path_factory.mktemp("clock") / "clock.so"
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", library, source], check=True)
    return library


@pytest.fixture(params=[600, -600], ids=["ahead", "behind"])
def processes(request: pytest.FixtureRequest, clock: Path) -> Iterator[Processes]:
    """Tasks run where the clock is off; database, object store and mail servers have the right one."""
    made = Processes({"LD_PRELOAD": str(clock), "CLOCK_OFF": str(request.param)})
    yield made
    made.stop()


@pytest.mark.parametrize("kind", SCENES)
def test_mail_goes_its_way_on_a_host_whose_clock_is_off(stage: Callable[[str], Scene], kind: str) -> None:
    scene = stage(kind)
    ended = scene.live()
    assert not ended.error, ended.error
    scene.check()
