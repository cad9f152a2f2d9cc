"""Schedules by the API: listed, added, changed, paused, resumed, run and removed."""

from __future__ import annotations

import pytest

from tests.web_server import problem
from worker.web import schemas

#: A body, and what the refusal says.
WRONG = [
    ({"cron": "0 2 * *"}, "cron"),
    ({"cron": None}, "cron"),
    ({"zone": "Mars"}, "Mars"),
    ({"connection": "nowhere"}, "nowhere"),
    ({"set": ["behavior"]}, "set takes NAME=VALUE"),
    ({"hidden_rows": "perhaps"}, "hidden_rows"),
    ({"heading_row": 0}, "heading_row"),
    ({"expect_by": "late"}, "expect_by"),
    ({"cuorse": "58"}, "cuorse"),
    ({"course": "5\0"}, "NUL"),
]


@pytest.fixture
def wanted(terminal):
    source = terminal.people("today.csv", 2)
    return {"name": "nightly", "cron": "0 2 * * *", "zone": "UTC", "source": str(source), "course": "58"}


def test_a_schedule_is_added_changed_paused_run_and_removed(web_server, terminal, lms, wanted):
    served = web_server(terminal)
    client, path = served.client, "/api/schedules/nightly"

    added = client.post("/api/schedules", json=wanted)

    assert (added.status_code, added.headers["location"]) == (201, path)
    schemas.ScheduleInfo.model_validate(added.json())
    assert client.get("/api/schedules").json() == [added.json()] == [client.get(path).json()]
    assert terminal.type("schedule", "list", "--json").json == [added.json()]

    edited = client.patch(path, json={"missed": "skip", "course": None, "set": ["behavior=1"], "strict": True})
    assert edited.json() == added.json() | {
        "missed": "skip",
        "options": added.json()["options"] | {"course": None, "set_values": {"behavior": "1"}, "strict": True},
    }
    assert client.patch(path, json={"course": "58"}).json()["options"]["course"] == "58"

    paused = client.post(f"{path}/pause").json()
    assert (paused["next_at"], bool(paused["paused_at"])) == (None, True)
    assert "is paused already" in problem(client.post(f"{path}/pause"), 409)
    run = client.post(f"{path}/run")
    assert (run.status_code, run.headers["location"]) == (202, f"/api/jobs/{run.json()['id']}")
    assert served.until(run.json()["id"])["by_status"]["registered"] == 2
    assert client.get(path).json()["last_job"] == run.json()["id"]
    assert client.post(f"{path}/resume").json()["paused_at"] is None

    details = [(problem(client.patch(path, json=body), 422), expected) for body, expected in WRONG]
    assert [pair for pair in details if pair[1] not in pair[0] or "--" in pair[0]] == []
    assert "`PATCH /api/schedules/nightly` changes it" in problem(client.post("/api/schedules", json=wanted), 422)
    assert "`GET /api/schedules`" in problem(client.get("/api/schedules/other"), 404)
    assert problem(client.patch(path, content=b"{"), 400)

    assert client.delete(path).status_code == 204
    assert problem(client.delete(path), 404)
    acts = [each["act"] for each in reversed(terminal.type("audit", "--json").json)]
    assert [act for act in acts if act.startswith("schedule")] == [
        *("schedule add", "schedule edit", "schedule edit", "schedule pause", "schedule run", "schedule resume"),
        "schedule remove",
    ]


def test_rights_are_those_of_the_page_and_only_an_administrator_names_files_of_the_server(
    web_server, terminal, wanted
):
    served = web_server(terminal)
    viewer, operator, admin = (served.with_token(role, role) for role in ("viewer", "operator", "admin"))
    path = "/api/schedules/nightly"

    assert problem(operator.post("/api/schedules", json=wanted), 403)
    assert admin.post("/api/schedules", json=wanted).status_code == 201
    assert problem(operator.patch(path, json={"source": "/etc/passwd"}), 403)
    assert viewer.get(path).status_code == 200
    for act in ("pause", "resume", "run"):
        assert problem(viewer.post(f"{path}/{act}"), 403)
    assert problem(viewer.delete(path), 403)
    assert operator.post(f"{path}/pause").status_code == 200
    assert operator.delete(path).status_code == 204
