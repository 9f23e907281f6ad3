"""The one folder that holds everything the local stack keeps, and the secrets in it."""

from __future__ import annotations

import base64
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dotenv.parser import parse_stream

from inboxops import settings
from inboxops.errors import OperatorError
from inboxops.settings import ENV_FILE
from inboxops_local.stack.ports import Ports
from inboxops_local.standins.client import settings_for

SUPPORT = "support@demo.example"
CUSTOMER = "customer@demo.example"


@dataclass(frozen=True, slots=True)
class Home:
    path: Path

    @property
    def env_file(self) -> Path:
        return self.path / ENV_FILE

    @property
    def record(self) -> Path:
        return self.path / "stack.json"

    @property
    def lock(self) -> Path:
        return self.path / "stack.lock"

    @property
    def mail(self) -> Path:
        return self.path / "mail"

    @property
    def ca_file(self) -> Path:
        return self.mail / "ca.pem"

    @property
    def standins(self) -> Path:
        return self.path / "standins"

    @property
    def airflow(self) -> Path:
        return self.path / "airflow"

    def make(self) -> None:
        """Make the folder for ourselves alone and see that it can be written and has room.

        Raises OperatorError, leaving nothing behind.
        """
        with writing(self.path):
            _need_room(self.path)
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
            probe = self.path / ".probe"
            probe.touch()
            probe.unlink()


ROOM_BYTES = 100_000_000
"""What the servers write before the first mail comes, and then some."""


def _need_room(path: Path) -> None:
    """Raises OperatorError when the disk of `path`, which need not exist, is all but full."""
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    usage = shutil.disk_usage(existing)
    if usage.total and usage.free < ROOM_BYTES:  # a file system that counts no blocks says why itself
        raise OperatorError(
            f"the disk of {path} has {usage.free // 1_000_000} MB free, {ROOM_BYTES // 1_000_000} MB are needed",
            fix="Make room, or set INBOXOPS_HOME to a folder of yours on another disk",
        )


@contextmanager
def writing(path: Path, *, fix: str = "Set INBOXOPS_HOME to a folder of yours with free space") -> Iterator[None]:
    """Turn a failure to write below `path` into one that says what to do."""
    try:
        yield
    except OSError as exc:
        raise OperatorError(f"can't write {exc.filename or path}: {exc.strerror}", fix=fix) from exc


@dataclass(frozen=True, slots=True)
class Secrets:
    """What is generated once and kept in `inboxops.env`. The `STACK_` ones are for the stack's own servers alone."""

    values: dict[str, str]

    def __getitem__(self, name: str) -> str:
        return self.values[name]

    def __repr__(self) -> str:
        return f"Secrets({', '.join(self.values)})"


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def _password() -> str:
    return secrets.token_hex(16)


GENERATED = {
    "INBOXOPS_CREDENTIAL_KEYS": _fernet_key,
    "INBOXOPS_SIGNING_KEY": lambda: secrets.token_hex(32),
    "INBOXOPS_S3_ACCESS_KEY": lambda: secrets.token_hex(10),
    "INBOXOPS_S3_SECRET_KEY": lambda: secrets.token_hex(20),
    "INBOXOPS_AIRFLOW_PASSWORD": _password,
    "STACK_POSTGRES_PASSWORD": _password,
    "STACK_OWNER_PASSWORD": _password,
    "STACK_TASKS_PASSWORD": _password,
    "STACK_API_PASSWORD": _password,
    "STACK_AIRFLOW_DATABASE_PASSWORD": _password,
    "STACK_REDIS_PASSWORD": _password,
    "STACK_AIRFLOW_ADMIN_PASSWORD": _password,
    "STACK_AIRFLOW_FERNET_KEY": _fernet_key,
    "STACK_AIRFLOW_JWT_SECRET": lambda: secrets.token_hex(32),
    "STACK_AIRFLOW_SECRET_KEY": lambda: secrets.token_hex(32),
    "STACK_SUPPORT_PASSWORD": _password,
    "STACK_CUSTOMER_PASSWORD": _password,
}


PREVIOUS_S3_KEY = "STACK_PREVIOUS_S3_KEY"
"""ACCESS:SECRET@UNTIL: the object store takes what it signed until then, so that links which were given out go on."""

PREVIOUS_POSTGRES_PASSWORD = "STACK_PREVIOUS_POSTGRES_PASSWORD"  # noqa: S105  # a name
"""By which the superuser's password is changed to the one of now, when that is not known yet."""

MADE_WITH = ("INBOXOPS_CREDENTIAL_KEYS", "INBOXOPS_SIGNING_KEY", "STACK_POSTGRES_PASSWORD")
"""What data is made with: new ones would open neither the database nor a mailbox's credentials."""


def _check_secrets(home: Home, values: Mapping[str, str]) -> None:
    """Raises OperatorError for a file that was emptied or cut off."""
    has_data = os.path.lexists(home.path / "postgres")
    for name in GENERATED:
        if values.get(name) == "":
            raise OperatorError(
                f"{name} in {home.env_file} is empty",
                fix="Put its value back, or delete the line to have a new one made",
            )
        if name in MADE_WITH and name not in values and has_data:
            raise OperatorError(
                f"{name} is missing in {home.env_file}, and the data beside it was made with it",
                fix="Put the file back from a backup, or begin anew with another INBOXOPS_HOME",
            )
    if not re.fullmatch(r"(\w+:\w+@\d{4}-\d\d-\d\dT[\d:.]+\+00:00)?", values.get(PREVIOUS_S3_KEY, "")):
        raise OperatorError(f"{PREVIOUS_S3_KEY} in {home.env_file} is not ACCESS:SECRET@UNTIL", fix="Delete the line")
    for key in values.get("INBOXOPS_CREDENTIAL_KEYS", _fernet_key()).split(","):
        if not re.fullmatch(r"[A-Za-z0-9_-]{43}=", key.strip()):
            raise OperatorError(
                f"INBOXOPS_CREDENTIAL_KEYS in {home.env_file} holds what is no key: was it cut off?",
                fix="Put the file back from a backup",
            )


def load_or_make_secrets(home: Home, ports: Ports) -> Secrets:
    """The secrets of this home, generated where missing, and the addresses that follow from `ports`; both written to the file.

    The file holds what this installation made, and what somebody wrote into it: a value that was changed there is kept, an emptied
    one stays empty. Raises OperatorError for secrets that were emptied or cut off, and for an environment that names other servers
    than ours.
    """
    values = read_env(home.env_file)
    for name, value in _of_stand_ins(home, _ports_of(values, ports)).items():
        if values.get(name) == value:
            del values[name]
    _check_secrets(home, values)
    if (ends := ends_at(values)) and ends <= datetime.now(UTC):
        del values[PREVIOUS_S3_KEY]
    # Up to 0.1 the API's account was `admin`: that is a person's now, who goes on with its password.
    if values.get("INBOXOPS_AIRFLOW_USERNAME") == "admin":
        values["STACK_AIRFLOW_ADMIN_PASSWORD"] = values.pop("INBOXOPS_AIRFLOW_PASSWORD")
    for name, make in GENERATED.items():
        values.setdefault(name, make())
    host = "127.0.0.1"
    values |= {
        "INBOXOPS_DATABASE_URL": f"postgresql://inboxops_tasks:{values['STACK_TASKS_PASSWORD']}@{host}:{ports.postgres}/inboxops",
        "INBOXOPS_OWNER_DATABASE_URL": f"postgresql://inboxops:{values['STACK_OWNER_PASSWORD']}@{host}:{ports.postgres}/inboxops",
        "INBOXOPS_API_DATABASE_URL": f"postgresql://inboxops_api:{values['STACK_API_PASSWORD']}@{host}:{ports.postgres}/inboxops",
        "INBOXOPS_REDIS_URL": f"redis://:{values['STACK_REDIS_PASSWORD']}@{host}:{ports.redis}/0",
        "INBOXOPS_S3_ENDPOINT": f"http://{host}:{ports.s3}",
        "INBOXOPS_S3_BUCKET": "inboxops",
        "INBOXOPS_AIRFLOW_URL": f"http://{host}:{ports.airflow}",
        "INBOXOPS_AIRFLOW_USERNAME": "inboxops",
    }
    foreign = [name for name in OURS if os.environ.get(name, values[name]) != values[name]]
    if foreign:
        raise OperatorError(
            f"{', '.join(foreign)} in the environment name other servers than those that this stack starts",
            fix="Unset them, or run the parts by hand with them: docs/operations.md",
        )
    if _LOOPBACK_URL.fullmatch(values.get("INBOXOPS_API_URL", f"http://{host}:0")):
        # It moves with the ports; a public one is somebody's word.
        values["INBOXOPS_API_URL"] = f"http://{host}:{ports.api}"
    with writing(home.path):
        write_env(home.env_file, values)
    return Secrets(values)


def ends_at(values: Mapping[str, str]) -> datetime | None:
    """When the object store's previous key ends; None without one."""
    _, _, until = values.get(PREVIOUS_S3_KEY, "").rpartition("@")
    return datetime.fromisoformat(until) if until else None


OURS = (
    *(name for name in GENERATED if name.startswith("INBOXOPS_")), "INBOXOPS_DATABASE_URL", "INBOXOPS_API_DATABASE_URL",
    "INBOXOPS_OWNER_DATABASE_URL",
    "INBOXOPS_REDIS_URL", "INBOXOPS_S3_ENDPOINT", "INBOXOPS_S3_BUCKET", "INBOXOPS_AIRFLOW_URL", "INBOXOPS_AIRFLOW_USERNAME",
)  # fmt: skip
"""What the stack decides itself, since it starts the servers. Everything else an environment may set, and it wins over the file."""

_LOOPBACK_URL = re.compile(r"http://127\.0\.0\.1:(\d+)")


def _ports_of(values: Mapping[str, str], now: Ports) -> Ports:
    """Where the stack stood when it wrote these values."""
    found = _LOOPBACK_URL.fullmatch(values.get("INBOXOPS_S3_ENDPOINT", ""))
    return Ports(base=int(found[1]) - now.s3 + now.base) if found else now


def _of_stand_ins(home: Home, ports: Ports) -> dict[str, str]:
    """What versions up to 0.1 wrote here for the demonstration, where it stood in the way of real accounts. Another endpoint on
    this machine, a stand-in of one's own too, is somebody's word and stays. ports: those of the start that wrote the file."""
    trusted = home.standins / "ca.pem"
    gmail = settings_for("gmail", f"https://localhost:{ports.gmail}", trusted)
    return gmail | settings_for("graph", f"https://localhost:{ports.graph}", trusted)


def read_env(path: Path) -> dict[str, str]:
    """What a file sets, read as `inboxops.settings` reads it; nothing when it does not exist."""
    return {name: value or "" for name, value in settings.read_env(path).items()}


def write_env(path: Path, values: Mapping[str, str]) -> None:
    """Have the file set exactly these, in one step. A line that says so already stays as it was written, and so do comments."""
    kept, left, lines = read_env(path), dict(values), []
    if path.exists():
        with path.open() as file:
            bindings = list(parse_stream(file))
        last = {one.key: number for number, one in enumerate(bindings)}
        for number, binding in enumerate(bindings):
            name = binding.key
            if name is None or last[name] == number:  # of two lines the later counts, as dotenv reads them
                if name is None or (name in left and kept.get(name) == left[name]):
                    lines.append(binding.original.string.removesuffix("\n"))
                elif name in left:
                    lines.append(f"{name}={left[name]}")
                left.pop(name or "", None)
    lines += (f"{name}={value}" for name, value in sorted(left.items()))
    write_private(path, "".join(f"{line}\n" for line in lines))


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step, whatever happens meanwhile; only its owner may ever read it."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)  # else a machine that loses its power may be left with the name and nothing in it
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
