"""docker-compose.yml and the Dockerfile: nothing open, everything watched and limited. No engine is asked."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from worker import lms
from worker.cli.main import roster

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
#: What keeps running.
LASTING = sorted(set(SERVICES) - {"backup"})
DOCKERFILE = (ROOT / "worker" / "Dockerfile").read_text("utf-8")
OF_LMS = {"tahdah_token", "kmi_api_key", "kmi_api_secret", "moodle_token"}
MEGABYTES = {"m": 1, "g": 1024}


def test_the_services_are_those_of_the_documentation() -> None:
    assert set(SERVICES) == {"redis", "postgres", "backup", "worker", "beat", "web", "flower", "sandbox"}
    assert SERVICES["sandbox"]["profiles"] == ["demo"]
    assert SERVICES["backup"]["profiles"] == ["backup"]


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_is_published_beyond_this_machine(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))
    assert "network_mode" not in SERVICES[name]


@pytest.mark.parametrize("name", LASTING)
def test_every_service_is_watched_and_started_again(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_can_gain_rights_or_change_its_own_files(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not {"privileged", "cap_add", "devices"} & service.keys()


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_limits_of_memory_processes_temporary_files_and_logs(name: str) -> None:
    service = SERVICES[name]
    assert service["mem_limit"]
    assert service["pids_limit"] > 0
    assert service["init"] is True
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert all("size=" in each for each in service["tmpfs"] if each.startswith("/tmp"))  # noqa: S108


def test_redis_refuses_before_its_memory_limit_ends_it() -> None:
    (_, _, command) = SERVICES["redis"]["command"]
    limit = SERVICES["redis"]["mem_limit"]
    maximum = command.split("--maxmemory ", 1)[1].split()[0].removesuffix("mb")
    assert int(maximum) < int(limit[:-1]) * MEGABYTES[limit[-1]]


def test_a_worker_may_use_what_celery_lets_its_processes_use() -> None:
    from worker.celery import _life  # noqa: PLC0415 - a second that only this test costs
    from worker.intake.limits import MAX_MEMORY_BYTES  # noqa: PLC0415
    from worker.settings import Settings  # noqa: PLC0415

    command, limit = SERVICES["worker"]["command"], SERVICES["worker"]["mem_limit"]
    processes = int(command[command.index("--concurrency") + 1])
    kilobytes = processes * _life(Settings())["worker_max_memory_per_child"] + MAX_MEMORY_BYTES / 1024
    assert int(limit[:-1]) * MEGABYTES[limit[-1]] * 1024 > kilobytes


def test_databases_have_time_to_end() -> None:
    assert SERVICES["postgres"]["stop_grace_period"] == "60s"
    assert SERVICES["redis"]["stop_grace_period"] == "30s"


def test_one_service_builds_the_image_and_nobody_pulls_it() -> None:
    of_roster = {name for name, service in SERVICES.items() if service["image"].startswith("roster:")}
    assert of_roster == {"worker", "beat", "web", "flower", "sandbox"}
    assert [name for name in SERVICES if "build" in SERVICES[name]] == ["web"]
    assert {SERVICES[name]["pull_policy"] for name in of_roster} == {"never"}
    assert len({SERVICES[name]["image"] for name in of_roster}) == 1


def test_each_system_has_a_secret_for_each_of_its_credentials() -> None:
    wanted = {
        f"{system}_{key}"
        for system in ("tahdah", "kmi", "moodle")
        for key, field in lms.load_connector(system).Settings.model_fields.items()
        if field.annotation is SecretStr and field.is_required()
    }

    assert wanted == OF_LMS <= set(COMPOSE["secrets"])


def test_only_what_calls_an_lms_gets_its_secrets_the_rosters_and_the_way_out() -> None:
    for name, service in SERVICES.items():
        works = name in {"worker", "web"}
        assert (set(service.get("secrets", [])) >= OF_LMS) == works
        assert bool(OF_LMS & set(service.get("secrets", []))) == works
        assert ("files:/data" in service.get("volumes", [])) == works
        assert ("outside" in service["networks"]) == (works or name == "sandbox")
    assert SERVICES["beat"]["secrets"] == ["ledger_url", "broker_url"]
    assert SERVICES["flower"]["secrets"] == ["ledger_url", "broker_url", "flower_sign_in"]


def test_drop_folders_and_sources_are_where_the_page_and_the_workers_see_them() -> None:
    assert all("${ROSTERS:-rosters}:/rosters" in SERVICES[name]["volumes"] for name in ("worker", "web"))
    made = DOCKERFILE.split("install --directory", 1)[1].splitlines()[0]
    assert "--owner=roster" in made
    # A new volume gets the owner of the folder of the image that it is mounted on.
    assert {"/rosters", "/var/lib/flower"} <= set(made.split())


def test_the_health_check_of_a_worker_asks_for_the_name_that_it_has() -> None:
    command = SERVICES["worker"]["command"]
    name = command[command.index("--hostname") + 1].removesuffix("@%h")
    assert f"--destination {name}@$$HOSTNAME" in SERVICES["worker"]["healthcheck"]["test"][1]


def test_the_image_has_no_installer() -> None:
    _, build, runtime = DOCKERFILE.split("\nFROM ")
    assert "/opt/roster/bin/python -m pip uninstall --yes pip setuptools" in build
    assert "pip uninstall --yes pip setuptools wheel" in runtime
    assert runtime.index("USER roster") > runtime.index("pip uninstall")


def test_the_base_image_is_one_version_in_both_stages() -> None:
    assert len(set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE))) == 1


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned_to_a_version(name: str) -> None:
    tag = SERVICES[name]["image"].partition(":")[2]
    assert tag.count(".") >= 1
    assert tag[0].isdigit()


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
    assert "REMAP_SIGTERM=SIGQUIT" in DOCKERFILE


DOCKER = """#!/bin/sh
# A registry that has a digest for every version but one.
[ "$1 $2 $3" = "buildx imagetools inspect" ] || exit 2
case $4 in {missing}*) echo "ERROR: not found" >&2; exit 1;; esac
printf 'Name:      %s\\nDigest:    sha256:' "$4"; printf '%s' "$4" | sha256sum | cut -c1-64
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("docker-compose.yml", "worker/Dockerfile", "worker/pin_images.sh"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text("utf-8"), encoding="utf-8")
    return tmp_path


def pin(checkout: Path, missing: str = "none") -> subprocess.CompletedProcess[str]:
    """Run what `make digests` runs, with a `docker` that knows digests."""
    programs = checkout / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "docker").write_text(DOCKER.replace("{missing}", missing), encoding="utf-8")
    (programs / "docker").chmod(0o755)
    script = ["sh", str(checkout / "worker" / "pin_images.sh")]
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(script, env={"PATH": path}, capture_output=True, text=True, check=False)


def digest_of(image: str) -> str:
    return f"{image}@sha256:{hashlib.sha256(image.encode()).hexdigest()}"


def test_make_digests_pins_every_image_that_is_not_our_own_and_can_be_repeated(checkout: Path) -> None:
    assert pin(checkout).returncode == 0
    once = (checkout / "docker-compose.yml").read_text("utf-8")
    assert pin(checkout).returncode == 0

    services = yaml.safe_load((checkout / "docker-compose.yml").read_text("utf-8"))["services"]
    bare = {name: SERVICES[name]["image"].partition("@")[0] for name in SERVICES}
    for name, image in bare.items():
        assert services[name]["image"] == (image if image.startswith("roster:") else digest_of(image))
    bases = re.findall(
        r"^FROM (\S+)(?: AS \w+)?$", (checkout / "worker" / "Dockerfile").read_text("utf-8"), re.MULTILINE
    )
    assert bases == [
        digest_of(base.partition("@")[0]) for base in re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    ]
    assert (checkout / "docker-compose.yml").read_text("utf-8") == once


def test_make_digests_changes_nothing_when_an_image_is_missing(checkout: Path) -> None:
    result = pin(checkout, "redis")
    assert result.returncode == 1
    assert "nothing was changed" in result.stderr
    for name in ("docker-compose.yml", "worker/Dockerfile"):
        assert (checkout / name).read_text("utf-8") == (ROOT / name).read_text("utf-8")
