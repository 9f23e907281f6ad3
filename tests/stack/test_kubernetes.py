"""deploy/kubernetes, as far as it can be judged without a cluster: Kubernetes' schemas, and the same settings as everywhere."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest
import yaml

from inboxops_local.stack.airflow import TUNING
from inboxops_local.stack.layout import checkout

FOLDER = checkout() / "deploy" / "kubernetes"
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


def test_airflow_is_tuned_as_in_the_local_stack_and_placed_as_in_compose(values: dict[str, Any]) -> None:
    used = {entry["name"]: entry["value"] for entry in values["env"]}
    assert {name: used.get(f"AIRFLOW__{name}") for name in TUNING} == {
        name: str(value) for name, value in TUNING.items()
    }
    compose = yaml.safe_load((checkout() / "docker-compose.yaml").read_text())["x-airflow"]["environment"]
    same = {name for name in used if not name.endswith(("WORKER_CONCURRENCY",))}
    assert {name: used[name] for name in same} == {name: compose.get(name) for name in same}


def test_no_secret_is_a_value(values: dict[str, Any]) -> None:
    assert not [
        entry["name"] for entry in values["env"] if any(word in entry["name"] for word in ("PASSWORD", "SECRET", "KEY"))
    ]
    assert "inboxops-env" in values["extraEnvFrom"]
