"""docs/deploy: the units and the manifests start what is there, with the rights and the times that it needs."""

from __future__ import annotations

import configparser
from pathlib import Path
from typing import Any

import pytest
import yaml

from worker.cli.main import roster

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "docs" / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
MANIFESTS: list[dict[str, Any]] = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text("utf-8")))
DEPLOYMENTS = {each["metadata"]["name"]: each["spec"] for each in MANIFESTS if each["kind"] == "Deployment"}


def unit(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    parser.read_string(path.read_text("utf-8"))
    return parser


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_runs_without_rights_and_is_limited(path: Path) -> None:
    service = unit(path)["Service"]
    assert service["User"] == "roster"
    assert service["NoNewPrivileges"] == "true"
    assert service["ProtectSystem"] == "strict"
    assert service["MemoryMax"]
    assert service["TasksMax"]
    program, *words = service["ExecStart"].split()
    assert Path(program).name in {"roster", "celery"}
    assert words[0] in roster.commands or words[:2] == ["-A", "worker"]


def test_a_worker_is_stopped_as_in_its_container_and_beat_has_no_secret() -> None:
    worker, beat = (unit(DEPLOY / "systemd" / f"roster-{name}.service") for name in ("worker@", "beat"))
    assert worker["Service"]["KillSignal"] == "SIGQUIT"
    assert f"{worker['Service']['TimeoutStopSec']}s" == COMPOSE["worker"]["stop_grace_period"]
    assert "EnvironmentFile" not in beat["Service"]


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_pod_has_probes_limits_and_no_rights(name: str) -> None:
    pod = DEPLOYMENTS[name]["template"]["spec"]
    (container,) = pod["containers"]
    assert {"livenessProbe", "readinessProbe"} & container.keys()
    assert container["resources"]["limits"]["memory"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["securityContext"]["runAsUser"] == 10001
    # A Service called roster would otherwise add ROSTER_… variables.
    assert pod["enableServiceLinks"] is False
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted <= {volume["name"] for volume in pod["volumes"]}


@pytest.mark.parametrize("name", ["web", "worker", "beat"])
def test_a_pod_runs_what_its_container_runs(name: str) -> None:
    (container,) = DEPLOYMENTS[f"roster-{name}"]["template"]["spec"]["containers"]
    assert container["command"] == COMPOSE[name]["command"]
    assert container["image"] == COMPOSE[name]["image"]


def test_there_is_exactly_one_beat_without_the_secrets_of_an_lms() -> None:
    beat = DEPLOYMENTS["roster-beat"]
    assert beat["replicas"] == 1
    assert beat["strategy"] == {"type": "Recreate"}
    assert "roster-lms" not in str(beat)
    assert "roster-files" not in str(beat)


def test_a_pod_of_a_worker_has_longer_to_end_than_it_takes() -> None:
    grace = DEPLOYMENTS["roster-worker"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert f"{grace}s" == COMPOSE["worker"]["stop_grace_period"]
