"""`inboxops rotate`: new secrets for an installation that runs.

The file of secrets is the one place that says what is true; the supervisor follows it. Each step can be cut off and done again:
what is sealed or signed with an old secret keeps it in the file until nothing needs it any more.
"""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from inboxops.composition import upkeep
from inboxops.composition.world import World
from inboxops.core import signing
from inboxops.errors import InvalidInput, OperatorError
from inboxops.settings import Settings
from inboxops_local.stack import airflow
from inboxops_local.stack.home import (
    GENERATED,
    PREVIOUS_POSTGRES_PASSWORD,
    PREVIOUS_S3_KEY,
    Home,
    Secrets,
    read_env,
    write_env,
    writing,
)
from inboxops_local.stack.launch import RENEW
from inboxops_local.stack.layout import Layout
from inboxops_local.stack.lock import exclusive, held
from inboxops_local.stack.ports import Ports
from inboxops_local.stack.record import Record
from inboxops_local.stack.show import SETTLED

SIGNS_ON = timedelta(hours=1)
"""How long what runs may go on signing with a key that was replaced: until it was started anew, also by hand."""
LINKS_LAST = timedelta(hours=1)
"""Longer than any link to an object: the API's are good for minutes."""
SECONDS = 330.0
"""For the supervisor to have everything ready again."""

ON_DEMAND: Mapping[str, Callable[[], str]] = {
    "INBOXOPS_METRICS_TOKEN": lambda: secrets.token_hex(32),
    "INBOXOPS_OPERATOR_WEBHOOK_SECRET": lambda: f"whsec_{base64.b64encode(os.urandom(32)).decode()}",
}
"""What an operator sets, or not, and we can make. Whoever is at the other end has to be told."""

SIGNS_TWICE = "INBOXOPS_OPERATOR_WEBHOOK_SECRET"
"""The one before goes on signing beside it, so that a receiver may change over."""

S3_KEY = ("INBOXOPS_S3_ACCESS_KEY", "INBOXOPS_S3_SECRET_KEY")
SEALING = ("INBOXOPS_CREDENTIAL_KEYS", "STACK_AIRFLOW_FERNET_KEY")
"""Lists of keys of which the first seals and all open."""

KNOWN = (*GENERATED, *ON_DEMAND)


@dataclass(frozen=True, slots=True)
class Rotated:
    """The names whose values are new."""

    names: tuple[str, ...]


def renewed(
    values: Mapping[str, str], names: Collection[str], *, now: datetime, forget: bool = False
) -> dict[str, str]:
    """The file's values with new ones for these names, and the old ones kept where something was made with them.

    forget: the old ones leaked, so what they signed counts no more (sealed things are sealed anew in any case). Raises InvalidInput
    for a name that is no secret of ours, and for an old value that can't be kept.
    """
    chosen = set(names) | ({*S3_KEY} if set(S3_KEY) & set(names) else set())
    if unknown := sorted(chosen - set(KNOWN)):
        raise InvalidInput(f"{', '.join(unknown)} can't be made here", fix=f"Known: {', '.join(KNOWN)}")
    if absent := sorted(chosen - set(ON_DEMAND) - set(values)):
        raise InvalidInput(f"there is no {', '.join(absent)} to be renewed", fix="Rotate them where they are kept")
    made = {name: {**GENERATED, **ON_DEMAND}[name]() for name in KNOWN if name in chosen}
    after = {**values, **made}
    for name in SEALING:
        if name in made and values.get(name):
            after[name] = f"{made[name]},{values[name]}"
    if SIGNS_TWICE in made and values.get(SIGNS_TWICE) and not forget:
        after[SIGNS_TWICE] = f"{made[SIGNS_TWICE]} {values[SIGNS_TWICE].split()[0]}"
    if "INBOXOPS_SIGNING_KEY" in made:
        after["INBOXOPS_PREVIOUS_SIGNING_KEYS"] = "" if forget else _previous_keys(values, now + SIGNS_ON)
    if S3_KEY[0] in made:
        after.pop(PREVIOUS_S3_KEY, None)
        if not forget:
            after[PREVIOUS_S3_KEY] = f"{values[S3_KEY[0]]}:{values[S3_KEY[1]]}@{(now + LINKS_LAST).isoformat()}"
    if "STACK_POSTGRES_PASSWORD" in made:
        after[PREVIOUS_POSTGRES_PASSWORD] = values["STACK_POSTGRES_PASSWORD"]
    return after


def _previous_keys(values: Mapping[str, str], until: datetime) -> str:
    try:
        return signing.replace(
            values["INBOXOPS_SIGNING_KEY"], values.get("INBOXOPS_PREVIOUS_SIGNING_KEYS", ""), until=until
        )
    except ValueError as exc:
        raise InvalidInput(f"INBOXOPS_SIGNING_KEY: {exc}", fix="Rotate it with --forget") from exc


def finished(values: Mapping[str, str]) -> dict[str, str]:
    """Without the keys that nothing is sealed with any more, once everything was sealed anew."""
    after = {name: value for name, value in values.items() if name != PREVIOUS_POSTGRES_PASSWORD}
    return after | {name: after[name].split(",")[0] for name in SEALING if name in after}


def rotate(home: Home, names: Collection[str], *, forget: bool = False) -> Rotated:
    """Renew these secrets of the running local stack, and wait until all of it works with them; without names read the file again.

    Raises OperatorError when the stack of this home does not run or does not become ready, InvalidInput as `renewed` does. Cut off
    or failed, it is done again with the same names.
    """
    record = Record.read(home.record)
    if record is None or not held(home.lock):
        raise OperatorError(f"nothing is running in {home.path}", fix="Start it with `inboxops up`")
    if set_ := sorted(name for name in names if name in os.environ):
        raise OperatorError(
            f"{', '.join(set_)} is set in the environment, which wins over {home.env_file}",
            fix="Unset it here and where `inboxops up` runs",
        )
    with exclusive(home.path / "rotate.lock", said="secrets in {} are being renewed already"):
        before = read_env(home.env_file)
        with writing(home.env_file):
            write_env(home.env_file, renewed(before, names, now=datetime.now(UTC), forget=forget))
        follow(home, record)
        kept = read_env(home.env_file)  # with the addresses that follow from the passwords
        if {*SEALING} & set(names):
            seal_anew(Layout(home, Ports(base=record.port_base), Secrets(kept)))
        if (done := finished(kept)) != kept:
            with writing(home.env_file):
                write_env(home.env_file, done)
            follow(home, Record.read(home.record) or record)
    return Rotated(tuple(sorted(name for name in KNOWN if before.get(name) != done.get(name))))


def rotate_file(path: Path, names: Collection[str], *, forget: bool, finish: bool) -> Rotated:
    """The same in a file of secrets that other processes are started with, which somebody has to restart.

    finish: drop the keys that nothing is sealed with any more. Raises OperatorError for a file that can't be read or written.
    """
    before = read_env(path)
    if not before:
        raise OperatorError(f"{path} holds no secrets", fix="Name the file that docker-compose.yaml reads")
    if "STACK_POSTGRES_PASSWORD" in names:
        raise InvalidInput(
            "the superuser's password stands in the server, not in a role that a step of Compose brings up to date",
            fix="docs/operations.md, Keys, says how to change it",
        )
    after = finished(before) if finish else renewed(before, names, now=datetime.now(UTC), forget=forget)
    after.pop(PREVIOUS_S3_KEY, None)  # Compose's object store has one key
    with writing(path, fix="Name a file that you may write to"):
        write_env(path, after)
    return Rotated(tuple(sorted(name for name in KNOWN if before.get(name) != after.get(name))))


def follow(home: Home, record: Record) -> None:
    """Have the supervisor read the secrets again, and wait. Raises OperatorError saying which part is not ready."""
    os.kill(record.supervisor.pid, RENEW)
    deadline = time.monotonic() + SECONDS
    while True:
        now = Record.read(home.record)
        if now is None or not record.supervisor.alive:
            raise OperatorError("the stack was stopped meanwhile", fix="Start it with `inboxops up`, then do it again")
        if now.renewals > record.renewals and now.refused:
            raise OperatorError(f"the stack goes on with the old secrets: {now.refused}", fix="Then do it again")
        if now.renewals > record.renewals and now.all_in(SETTLED):
            return
        if time.monotonic() > deadline:
            late = ", ".join(name for name, part in now.parts.items() if part.state not in SETTLED)
            raise OperatorError(f"not ready with the new secrets: {late}", fix=f"See {home.path / 'logs'}")
        time.sleep(0.1)


def seal_anew(layout: Layout) -> None:
    """What is sealed in our database and Airflow's, with the first key of each list."""
    ours = {name.removeprefix("INBOXOPS_").lower(): value for name, value in layout.secrets.values.items()}
    world = World(Settings.model_validate(ours))
    try:
        upkeep.reseal(world)
    finally:
        world.close()
    for each in airflow.instances(layout):
        if not (each.folder / "passwords.json").exists():
            continue  # `--only services`: Airflow has no tables yet
        done = subprocess.run(
            [sys.executable, "-m", "airflow", "rotate-fernet-key"],
            env=airflow.environment(layout, each),
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise OperatorError(
                f"airflow rotate-fernet-key failed: {' '.join(done.stderr.split())[-300:]}", fix="Do it again"
            )
