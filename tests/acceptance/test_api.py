"""The API: a program uploads a roster, follows and controls its job and downloads the reports."""

from __future__ import annotations

import csv
import io
import zipfile

import openpyxl

from tests.conftest import FIRST_NAME, LAST_NAME
from tests.web_server import events_of, problem
from worker.web import schemas
from worker.web.routes import OPERATIONS

MANY = 40


def rows_of(answer):
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))


def test_a_roster_is_uploaded_registered_and_reported(web_server, terminal, lms):
    served = web_server(terminal)
    roster = terminal.people("spring.csv", 3)

    uploaded = served.upload(roster, connection="north")

    assert uploaded.status_code == 202
    job = uploaded.json()["id"]
    assert uploaded.json() == {"id": job}
    assert uploaded.headers["location"] == f"/api/jobs/{job}"
    summary = served.until(job)
    assert (summary["state"], summary["roster"], summary["total"]) == ("succeeded", "spring.csv", 3)
    schemas.Summary.model_validate(summary)
    assert served.client.get("/api/jobs").json() == [summary]
    assert len(lms.standing) == 3
    results = served.client.get(f"/api/jobs/{job}/results.csv")
    assert {row["_status"] for row in rows_of(results)} == {"registered"}
    assert results.headers["content-disposition"] == 'attachment; filename="spring.results.csv"'
    book = served.client.get(f"/api/jobs/{job}/results.xlsx")
    assert zipfile.ZipFile(io.BytesIO(book.content)).testzip() is None
    assert served.client.get(f"/api/jobs/{job}/summary.json").json()["total"] == 3
    assert "no rows that failed" in problem(served.client.get(f"/api/jobs/{job}/failed.csv"), 404)
    assert [served.client.get(path).status_code for path in summary["reports"]] == [200, 200, 200]


def test_the_failed_rows_can_be_corrected_and_uploaded_again(web_server, terminal, lms, people):
    served = web_server(terminal)
    roster = terminal.roster("spring.csv", [*people(2), {**people(1, first=3)[0], "email": "nobody"}])
    summary = served.run_to_end(roster)
    assert summary["state"] == "completed_with_errors"

    failed = served.client.get(f"/api/jobs/{summary['job']}/failed.csv")
    again = served.upload(terminal.write("again.csv", failed.content.replace(b"nobody", b"somebody@example.com")))

    assert served.until(again.json()["id"])["by_status"]["registered"] == 1
    assert len(lms.standing) == 3


def test_the_fields_are_the_options_of_the_command_line(web_server, terminal, lms):
    served = web_server(terminal)
    text = "email;Read this;first\nWho;Fore;Last;Nr\n" + "".join(
        f"p{n}@example.com;Ana;P{n};{n}\n" for n in range(5)
    )
    roster = terminal.write("odd.csv", text)
    fields = {
        "map": ["Who=email", "Fore=first_name", "Last=last_name"],
        "save_map": "odd",
        "course": "58",
        "set": "behavior=2",
        "heading_row": "2",
        "start_row": "4",
        "max_rows": "2",
    }

    first = served.run_to_end(roster, **fields)
    second = served.run_to_end(roster, use_map="odd", heading_row="2", course="58", encoding="utf-8", again="true")

    assert first["by_status"]["registered"] == 2
    assert set(lms.standing) >= {("p1@example.com", "58"), ("p2@example.com", "58")}
    assert second["total"] == 5


def test_hidden_rows_are_a_field(web_server, terminal, lms):
    served = web_server(terminal)
    book = openpyxl.Workbook()
    for row in (
        ["email", "first_name", "last_name", "course_id"],
        ["a@x.example", "Ana", "A", 58],
        ["b@x.example"],
    ):
        book.active.append(row)
    book.active.row_dimensions[3].hidden = True
    path = terminal.folder / "hidden.xlsx"
    book.save(path)

    refused = served.upload(path)
    summary = served.run_to_end(path, hidden_rows="skip")

    assert (refused.status_code, "`hidden_rows=skip`" in refused.json()["detail"]) == (422, True)
    assert (summary["by_status"]["registered"], summary["by_status"]["skipped"]) == (1, 1)


def test_strict_sends_nothing_and_says_why(web_server, terminal, lms, people):
    served = web_server(terminal)
    roster = terminal.roster("spring.csv", [*people(2), {**people(1, first=3)[0], "email": "nobody"}])

    summary = served.run_to_end(roster, strict="on")

    assert summary["state"] == "invalid"
    assert "1 row is invalid" in summary["reason"]
    assert lms.changes == {}


def test_a_job_with_a_later_start_waits_for_its_time(web_server, terminal, lms):
    served = web_server(terminal)

    uploaded = served.upload(terminal.people("spring.csv", 1), at="2099-01-01 06:00")

    assert served.job(uploaded.json()["id"])["state"] == "scheduled"
    assert lms.changes == {}


def test_the_same_roster_while_its_job_is_running_is_the_same_job(web_server, terminal, lms):
    lms.rules("create_candidate:hold")
    served = web_server(terminal)
    roster = terminal.people("spring.csv", 8)

    ids = {served.upload(roster).json()["id"] for _ in range(3)}
    lms.rules()

    assert len(ids) == 1
    assert served.until(ids.pop())["by_status"]["registered"] == 8


WRONG = [
    ({"connection": "south"}, "no connection 'south'"),
    ({"conection": "north"}, "no field 'conection'; known fields are again, at, connection"),
    ({"strict": "perhaps"}, "strict: write true or false"),
    ({"max_rows": "-1"}, "max_rows: write a number"),
    ({"map": "nonsense"}, "takes NAME=VALUE"),
    ({"use_map": "nothing"}, "There is no saved map 'nothing'"),
    ({"at": "yesterday"}, "is not a time"),
    ({"course": ["58", "59"]}, "course may be given once"),
    ({"set": "coursse_id=58"}, '`set`: there is no column "coursse_id"; did you mean course_id?'),
    ({"set": "registration_date=soon"}, "`set` registration_date: "),
    ({"map": "Mail=emial"}, "did you mean email?"),
    ({"course": "name:Fire Safety"}, "identifies courses only by course_id"),
    ({"update_existing": "true"}, "this LMS cannot change people"),
]


def test_a_wrong_field_is_named_and_no_job_is_opened(web_server, terminal):
    served = web_server(terminal)
    roster = terminal.people("spring.csv", 1)

    details = [(problem(served.upload(roster, **fields), 422), expected) for fields, expected in WRONG]

    assert [expected for detail, expected in details if expected not in detail] == []
    assert served.client.get("/api/jobs").json() == []


def test_a_file_that_is_not_a_roster_is_refused_at_once(web_server, terminal, samples):
    served = web_server(terminal)

    detail = problem(served.upload(samples / "wrong_headings.xlsx"), 422)

    assert detail.startswith("wrong_headings.xlsx: ")
    assert "`map`" in detail
    assert "--" not in detail
    assert served.client.get("/api/jobs").json() == []
    assert list((terminal.folder / "roster-files" / "uploads").iterdir()) == []


def test_a_job_is_paused_resumed_cancelled_and_retried(web_server, terminal, lms):
    lms.answer_after(0.5)
    lms.rules("create_candidate:hold:after=2")
    served = web_server(terminal)
    job = served.upload(terminal.people("spring.csv", MANY)).json()["id"]
    lms.until(lambda lms: lms.calls() >= 2, "the first calls")

    def perform(action):
        return served.client.post(f"/api/jobs/{job}/{action}")

    assert perform("pause").json()["state"] == "paused"
    assert perform("resume").json()["state"] == "queued"
    assert perform("cancel").json()["state"] in {"cancelling", "cancelled"}
    lms.rules()
    assert served.until(job, "cancelled")["by_status"]["not_attempted"] > 0
    lms.answer_after(0)
    assert "has ended" in problem(perform("pause"), 409)
    assert "retry" in problem(perform("resume"), 409)
    assert perform("retry").status_code == 200
    assert served.until(job)["by_status"]["registered"] == MANY


def test_a_held_job_is_resumed_with_another_course(web_server, terminal, lms):
    served = web_server(terminal)
    job = served.run_to_end(terminal.people("spring.csv", 3, course_id="580"))["job"]
    assert served.job(job)["state"] == "held"
    resume = f"/api/jobs/{job}/resume"

    assert "course" in problem(served.client.post(resume, json={"course": 59}), 422)
    assert "no other field" in problem(served.client.post(resume, json={"cuorse": "59"}), 422)
    assert "JSON" in problem(
        served.client.post(resume, content=b"{", headers={"Content-Type": "application/json"}), 400
    )
    assert "not a number" in problem(served.client.post(resume, json={"course": "fire"}), 409)
    resumed = served.client.post(resume, json={"course": "59"})

    assert (resumed.status_code, resumed.json()["job"]) == (200, job)
    assert served.until(job)["by_status"]["registered"] == 3
    assert {course for _, course in lms.standing} == {"59"}


def test_a_job_is_undone_by_another_job(web_server, office, sandbox):
    lms = sandbox()
    terminal = office(lms, "kmi")
    served = web_server(terminal)
    job = served.run_to_end(terminal.people("spring.csv", 3, login_name=lambda n: f"p{n}"))["job"]
    assert len(lms.standing) == 3

    undone = served.client.post(f"/api/jobs/{job}/undo")

    assert undone.status_code == 200
    assert undone.json()["job"] != job
    assert undone.headers["location"] == f"/api/jobs/{undone.json()['job']}"
    assert served.until(undone.json()["job"])["by_status"]["withdrawn"] == 3
    assert lms.standing == {}
    assert "nothing to undo" in problem(served.client.post(f"/api/jobs/{job}/undo"), 409)


def test_a_row_in_doubt_is_resolved_by_a_person(web_server, office, sandbox):
    lms = sandbox(bad_days=["create_candidate:lost-after:every=2"])
    terminal = office(lms)
    served = web_server(terminal)
    summary = served.run_to_end(terminal.people("spring.csv", 2))
    assert summary["by_status"]["in_doubt"] == 1
    job = summary["job"]
    failed = rows_of(served.client.get(f"/api/jobs/{job}/failed.csv"))
    number = failed[0]["_row"]
    found = next(each for each in lms.look("candidates") if each["email"].casefold() == failed[0]["email"])
    path = f"/api/jobs/{job}/rows/{number}/resolve"

    assert "exactly one" in problem(served.client.post(path, json={}), 422)
    assert "absnt" in problem(served.client.post(path, json={"absnt": True}), 422)
    assert "JSON" in problem(served.client.post(path, content=b"{"), 400)
    assert "no row 77" in problem(
        served.client.post(path.replace(f"/{number}/", "/77/"), json={"absent": True}), 409
    )
    resolved = served.client.post(path, json={"candidate_id": str(found["id"])})
    lms.rules()
    served.client.post(f"/api/jobs/{job}/resume")

    assert resolved.json()["by_status"]["in_doubt"] == 0
    assert served.until(job)["by_status"]["registered"] == 2


def test_reports_are_written_again_when_the_job_has_changed(web_server, office, sandbox):
    lms = sandbox(bad_days=["create_candidate:reject:marker=wilhelmina.3"])
    terminal = office(lms)
    served = web_server(terminal)
    job = served.run_to_end(terminal.people("spring.csv", 4))["job"]
    assert len(rows_of(served.client.get(f"/api/jobs/{job}/failed.csv"))) == 1

    lms.rules()
    served.client.post(f"/api/jobs/{job}/retry", json={"rejected": True})
    served.until(job, "succeeded")

    problem(served.client.get(f"/api/jobs/{job}/failed.csv"), 404)
    assert {row["_status"] for row in rows_of(served.client.get(f"/api/jobs/{job}/results.csv"))} == {"registered"}


def test_a_job_of_the_command_line_is_served_too_and_a_purged_one_has_no_report(web_server, terminal):
    terminal.people("spring.csv", 2)
    job = terminal.run("spring.csv").job
    served = web_server(terminal)
    assert len(rows_of(served.client.get(f"/api/jobs/{job}/results.csv"))) == 2

    assert terminal.type("purge", "--older-than", "0d").code == 0

    assert "purged" in problem(served.client.get(f"/api/jobs/{job}/results.csv"), 404)
    assert served.job(job)["reports"] == []
    left = [path.name for path in (terminal.folder / "roster-files").rglob("*") if path.is_file()]
    assert left == [".calls.json"], "the number of calls shows whether the ledger was restored"


def test_connections_are_listed_without_their_secrets(web_server, terminal):
    with (terminal.folder / "roster.toml").open("a") as file:
        file.write('[connections.kmi]\nsystem = "kmi"\nbase_url = "https://lms.example.com"\n')
    served = web_server(terminal)

    response = served.client.get("/api/connections")

    kmi, north = response.json()
    assert (north["name"], north["system"], north["problem"]) == ("north", "tahdah", None)
    assert "api_key" in kmi["problem"]
    assert "sandbox-token" not in response.text


def test_jobs_are_listed_newest_first_and_page_by_page(web_server, terminal):
    for number in range(3):
        terminal.people(f"roster{number}.csv", 1, first=number)
        terminal.run(f"roster{number}.csv")
    served = web_server(terminal)

    def listed(query=""):
        return [each["job"] for each in served.client.get(f"/api/jobs{query}").json()]

    assert listed() == [3, 2, 1]
    assert listed("?limit=2") == [3, 2]
    link = served.client.get("/api/jobs?limit=2").headers["link"]
    assert link == '</api/jobs?limit=2&before=2>; rel="next"'
    assert listed("?limit=2&before=2") == [1]
    for wrong in ("limit=0", "limit=x", "before=-1", "before=99999999999999999999"):
        problem(served.client.get(f"/api/jobs?{wrong}"), 422)


def test_every_error_is_problem_details_without_anybodys_name(web_server, terminal, people):
    served = web_server(terminal)
    name = f"{FIRST_NAME}.{LAST_NAME}.csv"
    roster = terminal.write(name, f"Vorname,Nachname\n{FIRST_NAME},{LAST_NAME}\n")
    client = served.client

    answers = {
        404: [client.get("/api/nothing"), client.get("/api/jobs/7"), client.post(f"/api/jobs/{10**30}/pause")],
        405: [client.put("/api/jobs"), client.delete("/api/jobs/7")],
        415: [client.post("/api/jobs", json={"file": "x"})],
        400: [client.post("/api/jobs", content=b"x", headers={"Content-Type": "multipart/form-data; boundary=y"})],
        422: [served.upload(roster), client.post("/api/jobs", files={"file": ("", b"")}, data={"a": "b"})],
    }

    for status, found in answers.items():
        for each in found:
            detail = problem(each, status)
            assert FIRST_NAME not in detail.replace(name, "")
    assert set(answers[405][0].headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}
    assert FIRST_NAME not in served.running.err.read_text("utf-8")


def test_a_job_is_followed_until_it_ends(web_server, terminal, lms):
    lms.quotas("bucket:10/second")
    served = web_server(terminal)
    job = served.upload(terminal.people("spring.csv", MANY)).json()["id"]

    events = list(events_of(served.client, job))

    for _, each in events:
        schemas.Progress.model_validate(each)
        assert each["total"] == sum(each["by_status"].values())
    assert [name for name, _ in events][-2:] == ["message", "end"]
    states = list(dict.fromkeys(each["state"] for _, each in events))
    assert states[-1] == "succeeded"
    assert "running" in states
    assert events[-1][1]["by_status"]["registered"] == MANY
    problem(served.client.get("/api/jobs/77/events"), 404)


def test_the_description_has_every_operation_and_nothing_else(web_server, terminal):
    served = web_server(terminal)

    description = served.client.get("/api/openapi.json").json()

    assert description["openapi"].startswith("3.1")
    described = {(method.upper(), path) for path, methods in description["paths"].items() for method in methods}
    assert described == {(each.method, each.path.replace(":number", "")) for each in OPERATIONS}
    assert ("POST", "/api/jobs/{id}/undo") in described


def test_with_a_broker_the_workers_run_the_jobs_of_the_api(web_server, terminal, queue):
    line = queue(terminal)
    line.beat()
    line.worker()
    served = web_server(terminal)

    summary = served.run_to_end(terminal.people("spring.csv", 5))

    assert summary["by_status"]["registered"] == 5
    job = summary["job"]
    assert len(rows_of(served.client.get(f"/api/jobs/{job}/results.csv"))) == 5
    assert served.client.post(f"/api/jobs/{job}/retry").status_code == 200
    assert served.until(job, "succeeded")["total"] == 5
