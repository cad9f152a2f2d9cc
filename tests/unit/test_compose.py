"""docker-compose.yml: nothing open by default, everything watched, every command there. No engine is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from worker.cli.main import roster

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def test_the_services_are_those_of_the_documentation() -> None:
    assert set(SERVICES) == {"redis", "postgres", "worker", "beat", "web", "flower", "sandbox"}
    assert SERVICES["sandbox"]["profiles"] == ["demo"]


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_is_published_beyond_this_machine(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))
    assert "network_mode" not in SERVICES[name]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_watched_and_cannot_gain_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "privileged" not in service


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned_to_a_version(name: str) -> None:
    tag = SERVICES[name]["image"].partition(":")[2]
    assert tag.count(".") >= 1
    assert tag[0].isdigit()


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"postgres"}))
def test_services_cannot_change_their_own_files(name: str) -> None:
    assert SERVICES[name]["read_only"] is True
    assert SERVICES[name]["cap_drop"] == ["ALL"]


def test_redis_and_postgresql_are_reached_from_inside_alone() -> None:
    assert COMPOSE["networks"]["inside"]["internal"] is True
    assert SERVICES["redis"]["networks"] == SERVICES["postgres"]["networks"] == ["inside"]
    assert not {"ports", "expose"} & (SERVICES["redis"].keys() | SERVICES["postgres"].keys())


def test_no_password_stands_in_the_file_and_make_secrets_makes_each() -> None:
    made = (ROOT / "worker" / "make_secrets.sh").read_text("utf-8")
    assert set(COMPOSE["secrets"]) == {name for name in COMPOSE["secrets"] if name in made}
    wanted = {name for service in SERVICES.values() for name in service.get("secrets", [])}
    assert wanted == set(COMPOSE["secrets"])


@pytest.mark.parametrize("name", ["web", "sandbox"])
def test_a_command_of_roster_in_the_file_is_a_command_of_roster(name: str) -> None:
    program, command, *options = SERVICES[name]["command"]
    assert program == "roster"
    known = {opt for option in roster.commands[command].params for opt in option.opts}
    assert {option for option in options if option.startswith("--")} <= known


def test_a_worker_has_longer_to_end_than_celery_lets_it_take() -> None:
    from worker.celery import _life  # noqa: PLC0415 - a second that only this test costs
    from worker.settings import Settings  # noqa: PLC0415

    grace = int(SERVICES["worker"]["stop_grace_period"].removesuffix("s"))
    assert grace >= _life(Settings())["worker_soft_shutdown_timeout"] + 10
    assert "REMAP_SIGTERM=SIGQUIT" in (ROOT / "worker" / "Dockerfile").read_text("utf-8")
