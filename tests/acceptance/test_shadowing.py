"""A file of the current folder that Celery imports in place of Roster's packages is reported in one sentence."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.queues import Queue
from worker.shadowing import shadowing_warning


@pytest.fixture
def terminal(office, redis_server):
    terminal = office()
    terminal.connect("http://127.0.0.1:9", "north", allow_http=True)
    terminal.environment["ROSTER_BROKER"] = redis_server.connection_url + "/0"
    return terminal


def write(terminal, name):
    path = terminal.folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("", "utf-8")


@pytest.mark.parametrize("name", ["worker.py", "worker/__init__.py", "tasks.py", "tasks/__init__.py"])
def test_a_module_with_the_name_of_a_package_of_roster_is_found(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()

    warning = shadowing_warning(tmp_path)

    assert warning is not None
    assert warning.startswith(f"{tmp_path} has {name.replace('__init__.py', '')}, which")


@pytest.mark.parametrize("name", ["worker.csv", "tasks/today.csv", "workers.py"])
def test_what_celery_does_not_import_is_not_reported(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()

    assert shadowing_warning(tmp_path) is None


def test_the_checkout_of_roster_hides_nothing(pytestconfig):
    assert shadowing_warning(pytestconfig.rootpath) is None


@pytest.mark.parametrize("command", ["worker", "beat"])
def test_celery_ends_with_a_sentence_when_tasks_is_not_rosters(terminal, command):
    write(terminal, "tasks/__init__.py")
    queue = Queue(terminal, terminal.environment["ROSTER_BROKER"])
    try:
        service = queue.start(command)
        queue.until(lambda: service.is_over, "the end")
    finally:
        queue.close()

    assert service.process.returncode == 1
    assert service.said().splitlines()[-1] == shadowing_warning(terminal.folder)
    assert "Traceback" not in service.said()


def test_doctor_and_submit_warn_of_a_worker_py(terminal):
    write(terminal, "worker.py")
    warning = shadowing_warning(terminal.folder)

    doctor = terminal.type("doctor")
    submit = terminal.type("submit", terminal.people("roster.csv", 1))

    assert f"FIX  queue: {warning}" in doctor.out.splitlines()
    assert submit.code == 0
    assert f"Warning: {warning}" in submit.err.splitlines()


def test_serve_warns_of_a_worker_py(terminal, wait_until):
    write(terminal, "worker.py")

    serve = terminal.start("serve", "--port", "0")
    wait_until(lambda: "Roster is at" in serve.err.read_text("utf-8"))
    address = re.search(r"http://[^/]+", serve.err.read_text("utf-8"))[0]
    wait_until(lambda: httpx.get(f"{address}/healthz").status_code)
    serve.interrupt()

    assert f"Warning: {shadowing_warning(terminal.folder)}" in serve.result().err.splitlines()


def test_without_a_broker_nothing_is_said(terminal):
    del terminal.environment["ROSTER_BROKER"]
    write(terminal, "worker.py")

    assert "worker.py" not in terminal.type("doctor").out
