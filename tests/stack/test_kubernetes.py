"""deploy/kubernetes, as far as it can be judged without a cluster: Kubernetes' schemas, and the same settings as everywhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from inboxops_local.stack.airflow import PARALLELISM, POOLS, TUNING
from inboxops_local.stack.home import GENERATED, OURS
from inboxops_local.stack.layout import checkout

FOLDER = checkout() / "deploy" / "kubernetes"
SIMPLE = "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER"
OBJECTS = list(yaml.safe_load_all((FOLDER / "api.yaml").read_text()))


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    return dict(yaml.safe_load((FOLDER / "airflow-values.yaml").read_text()))


@pytest.mark.parametrize("shape", OBJECTS, ids=lambda shape: shape["kind"])
def test_every_object_is_one_that_kubernetes_takes(shape: dict[str, Any]) -> None:
    kubernetes_validate.validate(shape, "1.33", strict=True)


@pytest.mark.parametrize(
    "shape", [shape for shape in OBJECTS if shape["kind"] in ("Job", "Deployment")], ids=lambda s: s["kind"]
)
def test_containers_are_locked_and_know_nothing_of_the_cluster(shape: dict[str, Any]) -> None:
    pod = shape["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    for container in pod["containers"]:
        rights = container["securityContext"]
        assert (rights["readOnlyRootFilesystem"], rights["allowPrivilegeEscalation"]) == (True, False)
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def test_what_is_away_behind_the_api_neither_restarts_it_nor_takes_it_off_the_service() -> None:
    (pod,) = [shape["spec"]["template"]["spec"] for shape in OBJECTS if shape["kind"] == "Deployment"]
    (container,) = pod["containers"]
    assert {name: probe["httpGet"]["path"] for name, probe in container.items() if name.endswith("Probe")} == {
        "startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/livez",
    }  # fmt: skip


def test_airflow_is_tuned_as_in_the_local_stack_and_placed_as_in_compose(values: dict[str, Any]) -> None:
    used = {entry["name"]: entry["value"] for entry in values["env"]}
    assert {name: used.get(f"AIRFLOW__{name}") for name in TUNING} == {
        name: str(value) for name, value in TUNING.items()
    }
    compose = yaml.safe_load((checkout() / "docker-compose.yaml").read_text())["x-airflow"]["environment"]
    same = {name for name in used if not name.endswith(("WORKER_CONCURRENCY", "MANAGER_USERS"))}
    assert {name: used[name] for name in same} == {name: compose.get(name) for name in same}


@pytest.mark.parametrize("shape", ["local", "compose", "kubernetes"])
def test_the_pools_leave_one_slot_of_all_workers_to_the_pulse(values: dict[str, Any], shape: str) -> None:
    compose = yaml.safe_load((checkout() / "docker-compose.yaml").read_text())
    if shape == "local":
        pools, workers = {name: slots for name, (slots, _) in POOLS.items()}, PARALLELISM
    elif shape == "compose":
        pools = pools_of(compose["services"]["init"]["command"][-1])
        workers = int(re.findall(r"\d+", compose["x-airflow"]["environment"]["AIRFLOW__CELERY__WORKER_CONCURRENCY"])[0])
    else:
        pools = pools_of(values["migrateDatabaseJob"]["args"][-1])
        slots = {entry["name"]: entry["value"] for entry in values["env"]}["AIRFLOW__CELERY__WORKER_CONCURRENCY"]
        workers = int(slots) * values["workers"]["replicas"]
    assert set(pools) == set(POOLS)
    assert sum(pools.values()) + 1 == workers


def pools_of(script: str) -> dict[str, int]:
    return {name: int(slots) for name, slots in re.findall(r"airflow pools set (\w+) (\d+)", script)}


LOG_IN = """
import json
from airflow.api_fastapi.app import get_auth_manager_cls
manager = get_auth_manager_cls()
manager().init()
users = {user.username: [user.role, manager.get_passwords()[user.username]] for user in manager.get_users()}
print(json.dumps([f"{manager.__module__}.{manager.__name__}", users]))
"""


def test_airflows_log_in_is_ours_and_its_users_have_their_passwords(values: dict[str, Any], tmp_path: Path) -> None:
    """By the script of the values itself, and Airflow's own reading of what it leaves."""
    used = {entry["name"]: entry["value"] for entry in values["env"]}
    server, file = values["apiServer"], tmp_path / "passwords.json"
    given = {entry["name"]: entry["valueFrom"]["secretKeyRef"]["name"] for entry in server["env"]}
    assert given == {"ADMIN_PASSWORD": "inboxops-airflow-admin"}
    (named,) = {one for one in server["args"][-1].split() if one == used[f"{SIMPLE}_PASSWORDS_FILE"]}
    script = server["args"][-1].replace(named, str(file)).replace("exec airflow api-server", "")
    passwords = {"ADMIN_PASSWORD": "a person's", "INBOXOPS_AIRFLOW_PASSWORD": "the API's"}
    subprocess.run([*server["args"][:-1], script], env={**os.environ, **passwords}, check=True, timeout=30)
    assert file.stat().st_mode & 0o077 == 0
    settings = {name: value for name, value in used.items() if "AUTH_MANAGER" in name}
    environment = {**os.environ, **settings, f"{SIMPLE}_PASSWORDS_FILE": str(file), "AIRFLOW_HOME": str(tmp_path)}
    asked = subprocess.run([sys.executable, "-c", LOG_IN], env=environment, check=True, capture_output=True, text=True)
    manager, users = json.loads(asked.stdout.splitlines()[-1])
    assert manager == "inboxops_airflow.auth.AuthManager"
    assert users == {"admin": ["admin", "a person's"], "inboxops": ["service", "the API's"]}


def test_every_pod_gets_the_settings_but_neither_the_owners_password_nor_the_stacks(tmp_path: Path) -> None:
    """By the command that the values' head gives, on what `inboxops up` writes."""
    (filter_,) = re.findall(
        r"--from-env-file=<\((grep .*) inboxops.env\)", (FOLDER / "airflow-values.yaml").read_text()
    )
    names = {*GENERATED, *OURS}
    told = "".join(f"{name}=x\n" for name in names)
    left = subprocess.run(["bash", "-c", filter_], input=told, capture_output=True, text=True, check=True).stdout
    assert {line.partition("=")[0] for line in left.splitlines()} == {
        name for name in names if name.startswith("INBOXOPS_") and name != "INBOXOPS_OWNER_DATABASE_URL"
    }
    knows = {shape["kind"] for shape in OBJECTS if "INBOXOPS_OWNER_DATABASE_URL" in str(shape)}
    assert knows == {"Job"}


def test_another_cell_shares_the_settings_and_none_of_what_is_airflows(values: dict[str, Any]) -> None:
    """Helm puts a second file of values over the first: maps are joined, all else is replaced."""

    def over(below: Any, above: Any) -> Any:
        if not (isinstance(below, dict) and isinstance(above, dict)):
            return above
        return below | {name: over(below.get(name), value) for name, value in above.items()}

    def secrets(of: dict[str, Any]) -> set[str]:
        return set(re.findall(r"\binboxops(?:-\w+)+", str(of)))

    cell = over(values, yaml.safe_load((FOLDER / "airflow-cell-values.yaml").read_text()))
    assert secrets(values) & secrets(cell) == {"inboxops-env"}
    assert secrets(cell) - {"inboxops-env"} == {one.replace("inboxops-", "inboxops-b-") for one in secrets(values)}
    shared = yaml.safe_load(cell["extraEnvFrom"])
    assert [one["secretRef"]["name"] for one in shared] == ["inboxops-env", "inboxops-b-env"], "of two the later counts"


def test_no_secret_is_a_value(values: dict[str, Any]) -> None:
    secret = re.compile("PASSWORD(?!S_FILE)|SECRET|KEY")
    assert not [entry["name"] for entry in values["env"] if secret.search(entry["name"])]
    assert "inboxops-env" in values["extraEnvFrom"]
