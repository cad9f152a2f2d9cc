"""`roster check`: what a roster would do, for people and as JSON."""

from __future__ import annotations

import pytest

HEADINGS = "email,first_name,last_name,course_id,date_of_birth"


@pytest.fixture
def mixed(terminal):
    lines = [
        "a@x.example,Ann,Lee,58,1990-05-03",
        "b@x.example,Bo,Lee,58,soon",
        "A@X.example,Ann,Lee,58,1990-05-03",
        "c@x.example,Cem,Lee,,later",
        "a@x.example,Ann,Lee,59,1990-05-03",
        "a@x.example,Ann,Lee,58,1990-05-03",
    ]
    return terminal.write("mixed.csv", "\n".join([HEADINGS, *lines, ""]))


def test_the_json_says_what_would_be_sent_what_is_wrong_and_what_repeats(lms, terminal, mixed):
    result = terminal.type("check", "mixed.csv", "--json")

    checked = result.json
    assert result.code == 1
    assert (checked["job"], checked["state"], checked["calls"], checked["reports"]) == (None, None, {}, [])
    assert (checked["total"], checked["would_send"]) == (6, 2)
    assert checked["planned_calls"] == 3  # a person, and a call for each course
    assert checked["planned_seconds"] is None
    assert sorted(checked["problems"], key=str) == [
        {"code": "course_missing", "column": "course_id", "rows": 1},
        {"code": "invalid_date", "column": "date_of_birth", "rows": 2},
    ]
    assert checked["skipped"] == [{"row": 4, "repeats": 2}, {"row": 7, "repeats": 2}]
    assert (lms.calls(), terminal.jobs()) == (0, [])


def test_people_read_which_rows_are_skipped_and_which_they_repeat(terminal, mixed):
    result = terminal.type("check", "mixed.csv")

    assert "Rows 4, 7: Duplicate of row 2 (same person and course): Ann Lee, a@x.example\n" in result.err
    assert "checked, nothing was sent" in result.out
    for untrue in ("job 1", "Received", "0 calls", "nothing left to do"):
        assert untrue not in result.out + result.err


def test_a_duplicate_with_another_value_says_which_value_is_not_sent(terminal):
    rows = ["a@x.example,Ann,Lee,58,1990-05-03", "a@x.example,Ann,Jones,58,"]
    terminal.write("two.csv", "\n".join([HEADINGS.replace("last_name", "Surname"), *rows, ""]))

    result = terminal.type("check", "two.csv")

    assert "Duplicate of row 2 (same person and course): Ann Jones, a@x.example." in result.err
    assert (
        'Surname is "Jones" here and "Lee" there; date_of_birth is empty here and "1990-05-03" there' in result.err
    )


def test_a_file_that_is_a_job_already_is_named(lms, terminal):
    terminal.people("spring.csv", 3)
    lms.rules("create_candidate:401")
    held = terminal.run("spring.csv")
    assert held.state == "held"

    again, other = terminal.type("check", "spring.csv"), terminal.type("check", "spring.csv", "--json")
    terminal.people("summer.csv", 4)
    part = terminal.type("check", "summer.csv")
    terminal.type("cancel", held.job)
    ended = terminal.type("check", "spring.csv")

    assert (
        "This file is already job 1 (action needed); `roster run` continues it and sends nothing twice" in again.err
    )
    assert other.json["related"]["repeats"] == [1]
    assert "3 of these rows are also in job 1, which has not ended; the job that comes first sends them" in part.err
    assert "This file was submitted before, as job 1 (cancelled)" in ended.err


def test_a_problem_of_many_rows_is_one_sentence(terminal):
    rows = "".join(f"p{n}@x.example,Ann,58\n" for n in range(30))
    terminal.write("many.csv", f"email,First Name (given),course_id\n{rows}")

    result = terminal.type("check", "many.csv", "--to", "north")

    assert result.err.count("first_name is missing") == 1
    assert "Rows 2 to 31 (first_name" in result.err


def test_several_rosters_are_a_list_with_an_error_for_one_that_cannot_be_opened(lms, terminal):
    terminal.people("good.csv", 2)
    terminal.write("bad.csv", b"%PDF-1.7")

    result = terminal.type("check", "good.csv", "bad.csv", "gone.csv", "--json")

    good, bad, gone = result.json
    assert result.code == 2
    assert (good["roster"], good["would_send"]) == ("good.csv", 2)
    assert (bad["roster"], "PDF" in bad["error"]) == ("bad.csv", True)
    assert (gone["roster"], "gone.csv" in gone["error"]) == ("gone.csv", True)


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_roster_that_cannot_be_opened_is_an_error_in_json(lms, terminal, command):
    result = terminal.type(command, "gone.csv", "--json")

    assert result.code == 2
    assert (result.json["roster"], "gone.csv" in result.json["error"]) == ("gone.csv", True)
    assert "gone.csv" in result.err


def test_of_several_rosters_to_run_the_json_names_the_one_that_cannot_be_opened(lms, terminal):
    terminal.people("good.csv", 2)

    result = terminal.type("run", "good.csv", "gone.csv", "--json")

    assert (result.code, lms.calls()) == (2, 0)
    assert [(each["roster"], "gone.csv" in each["error"]) for each in result.json] == [("gone.csv", True)]


def test_a_roster_without_rows_has_its_error_in_the_json_of_run(terminal):
    terminal.write("empty.csv", f"{HEADINGS}\n")

    result = terminal.type("run", "empty.csv", "--json")

    assert (result.code, result.json["state"]) == (2, "invalid")
    assert result.json["error"] == result.json["reason"]


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_roster_may_come_from_standard_input(lms, terminal, command):
    terminal.people("good.csv", 2)

    result = terminal.type(command, "-", "--json", stdin="good.csv")

    assert (result.code, result.json["roster"], result.json["total"]) == (0, "stdin", 2)
    assert len(lms.standing) == (2 if command == "run" else 0)
    if command == "run":
        assert (terminal.folder / "reports" / "stdin.results.csv").is_file()


def test_a_workbook_from_standard_input_is_known_by_its_content(lms, terminal, samples):
    terminal.write("piped", (samples / "messy.xlsx").read_bytes())

    piped = terminal.type("check", "-", "--json", stdin="piped")
    named = terminal.type("check", samples / "messy.xlsx", "--json")

    assert piped.json["roster"] == "stdin"
    assert piped.json | {"roster": ""} == named.json | {"roster": ""}


@pytest.mark.parametrize("command", ["check", "run"])
def test_standard_input_is_taken_among_files(lms, terminal, command):
    terminal.people("good.csv", 2)
    terminal.people("more.csv", 1, first=3)

    result = terminal.type(command, "more.csv", "-", "--json", stdin="good.csv")

    assert [(each["roster"], each["total"]) for each in result.json] == [("more.csv", 1), ("stdin", 2)]


def test_standard_input_can_be_read_once(terminal):
    result = terminal.type("check", "-", "-", "--json")

    assert result.code == 2
    assert "can be read once" in result.err
    assert [each["roster"] for each in result.json] == ["stdin"]


def test_standard_input_is_as_large_as_an_upload_at_most(lms, terminal):
    terminal.environment["ROSTER_SERVE__MAX_UPLOAD_MB"] = "1"
    terminal.write("large.csv", b"email,first_name\n" + b"a@x.example,Ann\n" * 70_000)

    result = terminal.type("run", "-", "--json", stdin="large.csv")

    assert (result.code, result.json["roster"], lms.calls()) == (2, "stdin", 0)
    assert "more than 1 MB" in result.json["error"]
    assert not [path for path in (terminal.folder / "roster-files" / "tmp").iterdir() if path.is_dir()]


def test_several_submitted_rosters_are_a_list_and_an_unopened_one_an_error(sandbox, office, queue):
    terminal = office(sandbox())
    queue(terminal)
    terminal.people("one.csv", 1)
    terminal.people("two.csv", 1, first=2)

    both = terminal.type("submit", "one.csv", "two.csv", "--json")
    bad = terminal.type("submit", "one.csv", "gone.csv", "--json")
    alone = terminal.type("submit", "gone.csv", "--json")

    assert [each["job"] for each in both.json] == [1, 2]
    assert [(each["roster"], "error" in each) for each in bad.json] == [("gone.csv", True)]
    assert (alone.code, alone.json["roster"]) == (2, "gone.csv")
