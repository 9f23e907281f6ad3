"""All settings, read from the environment (`INBOXOPS_*`) and then from `$INBOXOPS_HOME/inboxops.env`.

`inboxops up` writes that file (mode 0600) with generated secrets; in production the environment is the only source.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from inboxops.core.cells import MAIN, valid_cell
from inboxops.core.inbox import IDLE_INBOXES, LOOK_RUN_MINUTES, POLL_MINUTES
from inboxops.errors import OperatorError

ENV_FILE = "inboxops.env"


def home() -> Path:
    """The one folder of the local stack: `$INBOXOPS_HOME`; without it, or when it is empty, `.inboxops` in the working folder."""
    return Path(os.environ.get("INBOXOPS_HOME") or ".inboxops").absolute()


class Settings(BaseSettings):
    """Where the parts are and how they behave. Every field is `INBOXOPS_<NAME>` in the environment."""

    model_config = SettingsConfigDict(env_prefix="INBOXOPS_", extra="ignore")

    database_url: SecretStr = Field(description="libpq URL of the role of tasks, triggers and commands: inboxops_tasks")
    owner_database_url: SecretStr | None = Field(
        default=None,
        description="libpq URL of the role that owns the tables, for `inboxops prepare`; else database_url",
    )
    api_database_url: SecretStr | None = Field(
        default=None, description="libpq URL of the API's role, under row-level security"
    )
    redis_url: SecretStr = Field(description="redis://[:password@]host:port/0")
    s3_endpoint: str = Field(default="", description="base URL of the object store; empty for AWS itself")
    s3_region: str = Field(
        default="us-east-1", description="the region that requests to the object store are signed for"
    )
    s3_bucket: str = Field(
        default="inboxops", description="holds raw mail, files, and uploads: `inboxops prepare` makes it"
    )
    s3_access_key: str = Field(
        default="", description="the object store's access key; may read, write, list and delete"
    )
    s3_secret_key: SecretStr = Field(default=SecretStr(""), description="what belongs to s3_access_key")
    credential_keys: SecretStr = Field(description="comma-separated Fernet keys; the first encrypts, all decrypt")
    signing_key: SecretStr = Field(
        description="signs our Message-IDs, markers, links, sessions, canaries and certificates; at least 32 characters"
    )
    previous_signing_keys: SecretStr = Field(
        default=SecretStr(""), description="comma-separated KEY@UNTIL: what they signed before then goes on being ours"
    )
    airflow_url: str = Field(default="http://127.0.0.1:8080", description="base URL of Airflow's API server")
    airflow_username: str = Field(default="inboxops", description="the account that starts runs: docs/operations.md")
    airflow_password: SecretStr = Field(default=SecretStr(""), description="what airflow_username logs in with")
    cell: str = Field(
        default=MAIN, description="which cell this Airflow, or that at airflow_url, works for: docs/scale.md"
    )
    cells: SecretStr = Field(
        default=SecretStr(""),
        description='the Airflow of each other cell, as JSON: {"b": {"url": ..., "username": ..., "password": ...}}',
    )
    api_url: str = Field(default="http://127.0.0.1:8081", description="public base URL of our own API")
    google_client_id: str = Field(default="", description="OAuth client for Gmail: see docs/connect-gmail.md")
    google_client_secret: SecretStr = Field(default=SecretStr(""), description="what belongs to google_client_id")
    google_may_modify: bool = Field(
        default=False, description="consents cover gmail.modify, too, which deleting canaries needs: docs/canaries.md"
    )
    google_authorize_url: str = Field(
        default="https://accounts.google.com/o/oauth2/v2/auth",
        description="Google's consent page; a stand-in has another",
    )
    google_token_url: str = Field(
        default="https://oauth2.googleapis.com/token",
        description="where a consent becomes tokens, and a token is renewed",
    )
    google_revoke_url: str = Field(
        default="https://oauth2.googleapis.com/revoke", description="where a consent is taken back"
    )
    google_api_url: str = Field(default="https://gmail.googleapis.com", description="base URL of the Gmail API")
    microsoft_client_id: str = Field(default="", description="app registration: see docs/connect-microsoft.md")
    microsoft_client_secret: SecretStr = Field(default=SecretStr(""), description="what belongs to microsoft_client_id")
    microsoft_authority: str = Field(
        default="https://login.microsoftonline.com/organizations", description="a directory, or `organizations`"
    )
    microsoft_graph_url: str = Field(
        default="https://graph.microsoft.com", description="base URL of Microsoft Graph; national clouds have others"
    )
    google_pubsub_topic: str = Field(default="", description="projects/P/topics/T; without it Gmail inboxes are polled")
    google_pubsub_audience: str = Field(default="", description="audience of the push subscription's tokens")
    google_pubsub_service_account: str = Field(default="", description="e-mail of the account that signs them")
    google_certs_url: str = Field(
        default="https://www.googleapis.com/oauth2/v3/certs",
        description="the keys that Pub/Sub's tokens are verified with",
    )
    graph_push_notification_url: str = Field(
        default="", description="public URL of /api/webhooks/graph-push; without it Microsoft inboxes are polled"
    )
    webhook_limit_per_second: float = Field(default=500, gt=0, description="calls of webhooks from one address")
    wake_gap_seconds: float = Field(default=6, ge=0, le=15, description="least time between two wake-ups of an inbox")
    log_addresses: bool = Field(
        default=False, description="show customers' addresses in task logs; else a mark of each"
    )
    metrics_token: SecretStr = Field(
        default=SecretStr(""),
        description="bearer token of /metrics; without it there is none",
    )
    provider_ca_file: str = Field(default="", description="PEM to trust for Google's and Microsoft's endpoints, too")
    notify_smtp_url: SecretStr = Field(
        default=SecretStr(""), description="relay for notices to admins: smtps://user:password@host[:port]"
    )
    notify_from: str = Field(default="", description="the address that notices to admins come from")
    operator_webhook_url: str = Field(
        default="", description="where the API tells whoever runs this that mail stands still, and that it moves again"
    )
    operator_webhook_secret: SecretStr = Field(
        default=SecretStr(""),
        description="signs that, as Standard Webhooks has it: whsec_ and base64, or two with a space between; unsigned without",
    )
    poll_minutes: int = Field(
        default=POLL_MINUTES, ge=1, description="how often each inbox is polled; read when Airflow reads its DAGs"
    )
    idle_poll_minutes: int | None = Field(
        default=None, ge=1, description="the same for inboxes held in IDLE; poll_minutes unless it is set"
    )
    look_minutes: int | None = Field(
        default=None,
        ge=1,
        description="look at each inbox so often without a run, for large installations; unset: each look is a run",
    )
    look_run_minutes: int = Field(
        default=LOOK_RUN_MINUTES,
        ge=1,
        description="how often an inbox that is looked at has a run by the clock all the same",
    )
    idle_inboxes: int = Field(
        default=IDLE_INBOXES, ge=0, description="IMAP inboxes held in IDLE at most; 0 turns it off"
    )
    private_hosts: str = Field(
        default="",
        description="our own hosts, addresses and networks (CIDR) where tenants' inboxes and webhooks may stand; else public ones",
    )
    fetch_limit_per_hour: int = Field(default=60, ge=1, description="fetches of one inbox in an hour; more coalesce")
    keep_runs_days: int = Field(default=7, ge=1, description="Airflow's runs and logs; an inbox makes 288 runs a day")
    keep_listed_days: int = Field(default=90, ge=1, description="set-aside mail: listed, dropped, duplicate")
    keep_replays_days: int = Field(
        default=30, ge=1, description="replays with the old readings that they keep: so long they can be taken back"
    )
    keep_outbox_days: int = Field(default=7, ge=1, description="delivered events and errands")

    @field_validator("cell")
    @classmethod
    def _is_a_cell(cls, name: str) -> str:
        if not valid_cell(name):
            raise ValueError("a cell's name is lower-case letters, digits and dashes, at most 31")
        return name

    @property
    def owner_dsn(self) -> str:
        """By which the tables are made."""
        return (self.owner_database_url or self.database_url).get_secret_value()


NOT_SETTINGS = frozenset({
    "INBOXOPS_HOME", "INBOXOPS_PORT_BASE", "INBOXOPS_PASSWORD", "INBOXOPS_DAGS_FOLDER", "INBOXOPS_STACK_RUN",
    "INBOXOPS_WORKER_CONCURRENCY", "INBOXOPS_MAIL_SET", "INBOXOPS_PICTURES", "INBOXOPS_FUZZ_EXAMPLES",
})  # fmt: skip
"""Names of ours that say something else: where the home is, what a command asks for, what Compose or the tests are told."""

_HTTP, _LIBPQ = ("http://", "https://"), ("postgresql://", "postgres://")
URLS = {
    "database_url": _LIBPQ, "owner_database_url": _LIBPQ, "api_database_url": _LIBPQ,
    "redis_url": ("redis://", "rediss://", "unix://"),
    "s3_endpoint": _HTTP, "airflow_url": _HTTP, "api_url": _HTTP,
}  # fmt: skip
"""How the addresses of our own servers begin; libpq takes `name=value` as well."""

GONE = {
    "INBOXOPS_PRODUCTION": "webhooks are closed wherever nothing is set up, so there is nothing left for it to say: take it out",
    "INBOXOPS_PUBLIC_URL": "Compose reads INBOXOPS_API_URL now: give that its value, and take it out",
    "INBOXOPS_AIRFLOW_PUBLIC_URL": "Compose reads AIRFLOW__API__BASE_URL now: give that its value, and take it out",
}
"""Settings of earlier versions: what to do about them."""


@dataclass(frozen=True, slots=True)
class Told:
    """One setting as this process has it. source: "environment", "file" or "default"; a secret's value is cut."""

    name: str
    value: str
    source: str
    meaning: str


def told(known: Settings) -> list[Told]:
    """Every setting, with where it came from and what it is for."""
    file = _file()
    found = []
    for field, about in Settings.model_fields.items():
        name, value = f"INBOXOPS_{field.upper()}", getattr(known, field)
        if isinstance(value, SecretStr):
            value = f"({len(value.get_secret_value())} characters)" if value.get_secret_value() else ""
        source = "environment" if name in os.environ else "file" if name in file else "default"
        found.append(Told(name, "" if value is None else str(value), source, about.description or ""))
    return found


def _file() -> dict[str, str | None]:
    return read_env(home() / ENV_FILE)


def read_env(path: Path) -> dict[str, str | None]:
    """What a file sets; nothing when it does not exist. Raises OperatorError for one that can't be read."""
    try:
        return dict(dotenv_values(path))
    except (OSError, UnicodeDecodeError) as exc:
        raise OperatorError(
            f"{path} can't be read: {exc}", fix="Save it as UTF-8, and let the user who runs this read it"
        ) from exc


def _check_names(*places: tuple[str, Iterable[str]]) -> None:
    """Raises OperatorError for a name that means nothing, with the nearest one that does."""
    known = {f"INBOXOPS_{field.upper()}" for field in Settings.model_fields} | NOT_SETTINGS
    for where, names in places:
        for name in names:
            if name in GONE:
                raise OperatorError(f"{name} in {where} is a setting no more", fix=GONE[name])
            if name.startswith("INBOXOPS_") and name not in known and not name.startswith("INBOXOPS_TEST_"):
                near = get_close_matches(name, known, n=1)
                raise OperatorError(
                    f"{name} in {where} is no setting" + (f": is {near[0]} meant?" if near else ""),
                    fix="`inboxops settings` shows those there are",
                )


def load() -> Settings:
    """Settings of this process: the environment, then the file of the home.

    Raises OperatorError, naming the missing, wrong or unknown variables.
    """
    _check_names(("the environment", os.environ), (str(home() / ENV_FILE), _file()))
    return _checked(
        lambda: Settings(_env_file=home() / ENV_FILE),  # type: ignore[call-arg]  # pydantic-settings' own, hidden from mypy
        fix=f"Start the local stack with `inboxops up`, or set them (looked in the environment and {home() / ENV_FILE})",
    )


def load_from(file: Path) -> Settings:
    """Settings of another installation: those of the file alone. Raises OperatorError, as `load` does."""
    said = {name: value for name, value in read_env(file).items() if name.startswith("INBOXOPS_")}
    _check_names((str(file), said))
    values = {name.removeprefix("INBOXOPS_").lower(): value for name, value in said.items() if name not in NOT_SETTINGS}
    return _checked(lambda: Settings.model_validate(values), fix=f"Set them in {file}")


def _checked(read: Callable[[], Settings], *, fix: str) -> Settings:
    try:
        known = read()
    except ValidationError as exc:
        wrong = {str(error["loc"][0]): "" if error["type"] == "missing" else error["msg"] for error in exc.errors()}
        raise _wrong(wrong, fix) from exc
    if odd := {
        name: f"begins with none of {', '.join(starts)}" for name, starts in URLS.items() if _is_odd(known, name)
    }:
        raise _wrong(odd, fix)
    return known


def _is_odd(known: Settings, name: str) -> bool:
    """What is no URL of its kind, with which every client of it would end in an error of its own."""
    value = getattr(known, name)
    url = value.get_secret_value() if isinstance(value, SecretStr) else value
    return bool(url) and not url.startswith(URLS[name]) and not (name.endswith("database_url") and "=" in url)


def _wrong(why: dict[str, str], fix: str) -> OperatorError:
    """why: what is the matter with each field; "" for one that is missing."""
    names = (f"INBOXOPS_{name.upper()}" + (f" ({why[name]})" if why[name] else "") for name in sorted(why))
    return OperatorError(f"missing or wrong settings: {', '.join(names)}", fix=fix)
