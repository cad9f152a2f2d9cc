"""A roster that cannot be run as it is: a clear message, exit 2, nothing sent."""

from __future__ import annotations

import pytest

HEADINGS = "email,first_name,last_name,course_id"
ANA = "ana@example.com,Ana,Ní,58"


def refused(lms, result, *words):
    """Assert that nothing was sent, and that the message says what is wrong in these words."""
    assert result.code == 2, (result.code, result.err)
    assert lms.calls() == 0
    message = result.err.casefold()
    assert [word for word in words if word.casefold() not in message] == [], result.err


def test_a_missing_file_is_named(lms, terminal):
    refused(lms, terminal.type("run", "nowhere.csv"), "nowhere.csv")


def test_a_folder_is_not_a_roster(lms, terminal):
    (terminal.folder / "rosters").mkdir()

    refused(lms, terminal.type("run", "rosters"), "rosters", "folder")
    refused(lms, terminal.type("check", "rosters"), "rosters", "folder")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["roster.csv"]),
        (b"\xef\xbb\xbf\r\n\r\n", ["roster.csv"]),
        (f"{HEADINGS}\n".encode(), ["roster.csv", "rows"]),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8, ["roster.csv"]),
    ],
    ids=["empty", "blank", "headings alone", "a picture"],
)
def test_a_file_without_a_roster_in_it_is_refused(lms, terminal, content, words):
    terminal.write("roster.csv", content)

    result = terminal.type("run", "roster.csv", "--json")

    refused(lms, result, *words)
    assert result.summary["state"] == "invalid"
    assert result.summary["total"] == 0


def test_headings_that_identify_no_person_are_listed(lms, terminal):
    terminal.write("roster.csv", "Delegate,Company\nIngrid,Fjordline\n")

    refused(lms, terminal.type("run", "roster.csv"), "Delegate", "Company", "email")


def test_a_heading_without_an_alias_is_matched_by_a_map(lms, terminal):
    terminal.write("roster.csv", f"Correo,first_name,last_name,course_id\n{ANA}\n")
    refused(lms, terminal.type("run", "roster.csv"), "Correo", "--map")

    result = terminal.run("roster.csv", "--map", "Correo=email")

    assert (result.code, result.counts) == (0, {"registered": 1})
    assert result.rows[0]["Correo"] == "ana@example.com"


def test_a_title_above_unknown_headings_needs_the_row_of_the_headings(lms, terminal):
    terminal.write("team.csv", f"email,our list,read this\n\nWho,Fore,Last,Where\n{ANA}\n")
    maps = [part for pair in ("Who=email", "Fore=first_name", "Last=last_name") for part in ("--map", pair)]

    refused(lms, terminal.type("run", "team.csv", "--heading-row", "2"), "--heading-row 2", "is empty")
    done = terminal.type("run", "team.csv", "--heading-row", "3", *maps, "--course", "58", "--json")

    assert done.summary["by_status"]["registered"] == 1


def test_a_map_is_saved_under_a_name_and_used_again(lms, terminal):
    terminal.write("one.csv", f"Correo,first_name,last_name,course_id\n{ANA}\n")
    terminal.write("two.csv", "Correo,first_name,last_name,course_id\nbo@example.com,Bo,Ek,58\n")
    terminal.run("one.csv", "--map", "Correo=email", "--save-map", "madrid")

    result = terminal.run("two.csv", "--use-map", "madrid")

    assert (result.code, result.counts) == (0, {"registered": 1})


def test_a_map_that_was_never_saved_is_reported(lms, terminal):
    terminal.write("roster.csv", f"{HEADINGS}\n{ANA}\n")

    refused(lms, terminal.type("run", "roster.csv", "--use-map", "lisbon"), "lisbon", "--save-map")


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (["--map", "Correo"], ["--map", "Correo"]),
        (["--map", "Phone=email"], ["Phone"]),
        (["--map", "email=emial"], ["emial", "email"]),
        (["--set", "behavior"], ["--set", "behavior"]),
        (["--set", "behaviour_code=1"], ["behaviour_code"]),
        (["--encoding", "klingon"], ["klingon"]),
        (["--course", "ext:"], ["--course"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0].startswith("--") else "",
)
def test_an_invalid_option_is_refused_by_name(lms, terminal, option, words):
    terminal.write("roster.csv", f"{HEADINGS}\n{ANA}\n")

    refused(lms, terminal.type("run", "roster.csv", *option), *words)


def test_a_course_that_tahdah_cannot_find_by_name_makes_rows_invalid(lms, terminal):
    terminal.write("roster.csv", "email,first_name,last_name\nana@example.com,Ana,Ní\n")

    result = terminal.run("roster.csv", "--course", "name:Fire Safety")

    assert result.code in {1, 2}
    assert lms.calls() == 0


def test_a_sheet_that_does_not_exist_is_refused_with_those_that_do(lms, terminal, samples):
    result = terminal.type("run", samples / "messy.xlsx", "--sheet", "Winter intake")

    refused(lms, result, "Winter intake", "Autumn intake")


def test_an_encoding_in_doubt_is_asked_for_with_the_names_in_each(lms, terminal):
    terminal.write("roster.csv", f"{HEADINGS}\nzoe@example.com,Zoë,Bak,58\n".encode("mac-roman"))

    result = terminal.type("run", "roster.csv")

    refused(lms, result, "--encoding", "Zoë")
    assert terminal.run("roster.csv", "--encoding", "mac-roman").rows[0]["first_name"] == "Zoë"


def test_strict_sends_nothing_when_one_row_is_invalid(lms, terminal, people):
    terminal.roster("roster.csv", [*people(3), {"email": "nobody at all", "course_id": "58"}])

    result = terminal.run("roster.csv", "--strict")

    refused(lms, result, "--strict")
    assert result.counts == {"not_attempted": 3, "invalid": 1}
    assert len(result.failed) == 4


def test_values_for_every_row_fill_the_empty_cells_alone(lms, office):
    terminal = office(lms, behavior=None)
    terminal.write("roster.csv", f"{HEADINGS},behavior\n{ANA},\nbo@example.com,Bo,Ek,,2\n")

    result = terminal.run("roster.csv", "--set", "behavior=1", "--course", "59")

    assert (result.code, result.counts) == (0, {"registered": 2})
    made = {each["email"]: (each["course_id"], each["behavior"]) for each in lms.look("registrations")}
    assert made == {"ana@example.com": (58, 1), "bo@example.com": (59, 2)}
    assert [row["behavior"] for row in result.rows] == ["", "2"], "the cell text stays as it stood"


@pytest.mark.parametrize("path", ["registrations", "learners"])
def test_each_row_of_a_tahdah_batch_has_its_own_behavior_and_date(lms, office, path):
    terminal = office(lms, behavior=1, registration_path=path)
    terminal.write(
        "roster.csv",
        f"{HEADINGS},behavior,registration_date\n{ANA},,2026-01-15\nbo@example.com,Bo,Ek,58,2,31/03/2026\n",
    )

    result = terminal.run("roster.csv")

    assert (result.code, result.counts) == (0, {"registered": 2})
    made = {each["email"]: (each["behavior"], each["registration_date"]) for each in lms.look("registrations")}
    assert made == {"ana@example.com": (1, "2026-01-15"), "bo@example.com": (2, "2026-03-31")}
    assert lms.calls("register") == 2


def test_without_a_behavior_anywhere_every_row_says_so(lms, office):
    terminal = office(lms, behavior=None)
    terminal.people("roster.csv", 2)

    result = terminal.run("roster.csv")

    assert result.code in {1, 2}
    assert result.counts == {"invalid": 2}
    assert all("behavior" in row["_column"] or "behavior" in row["_error"] for row in result.rows)
    assert lms.calls() == 0


def test_a_part_of_a_roster_is_sent_and_keeps_its_row_numbers(lms, terminal):
    terminal.people("roster.csv", 10)

    result = terminal.run("roster.csv", "--start-row", "4", "--max-rows", "3")

    assert result.code == 0
    assert [row["_row"] for row in result.rows] == ["4", "5", "6"]
    assert len(lms.standing) == 3


@pytest.mark.parametrize("words", [["check"], ["run", "--dry-run"]], ids=" ".join)
def test_a_rehearsal_reads_validates_plans_and_sends_nothing(lms, terminal, people, words):
    terminal.roster("roster.csv", [*people(3), {"email": "nobody at all", "course_id": "58"}])

    result = terminal.type(*words, "roster.csv", "--json")

    assert result.code == 1
    assert result.summary["total"] == 4
    assert result.counts == {"not_attempted": 3, "invalid": 1}
    assert "Row 5 (email" in result.err
    assert "5 calls" in result.err
    assert lms.calls() == 0
    assert terminal.jobs() == []


def test_a_rehearsal_of_a_good_roster_succeeds(lms, terminal):
    terminal.people("roster.csv", 3)

    assert terminal.type("check", "roster.csv").code == 0
    assert lms.calls() == 0


def test_several_rosters_in_one_run_each_have_their_report(lms, terminal):
    terminal.people("one.csv", 3)
    terminal.people("two.csv", 2, first=4)

    result = terminal.type("run", "one.csv", "two.csv", "--json")

    assert result.code == 0
    found = [(each["roster"], each["total"], each["by_status"]["registered"]) for each in result.json]
    assert found == [("one.csv", 3, 3), ("two.csv", 2, 2)]
    assert len(lms.standing) == 5
    for name in ("one", "two"):
        assert (terminal.folder / "reports" / f"{name}.results.csv").is_file()


def test_of_several_rosters_nothing_is_sent_when_one_of_them_is_missing(lms, terminal):
    """Exit 2 says that nothing was sent."""
    terminal.people("one.csv", 3)

    refused(lms, terminal.type("run", "one.csv", "gone.csv"), "gone.csv")


def test_of_several_rosters_the_gravest_exit_code_counts(lms, terminal, people):
    terminal.people("good.csv", 2)
    terminal.roster("bad.csv", [*people(1, first=3), {"email": "nobody at all", "course_id": "58"}])

    result = terminal.type("run", "good.csv", "bad.csv", "--json")

    assert result.code == 1
    assert sum(each["by_status"]["registered"] for each in result.json) == 3


def test_a_report_folder_that_cannot_be_written_loses_nothing(lms, terminal):
    terminal.people("roster.csv", 2)
    terminal.write("reports", "a file stands where the folder should")

    result = terminal.type("run", "roster.csv", "--json")

    assert "reports" in result.err
    if result.code == 2:
        assert lms.calls() == 0
    else:
        (terminal.folder / "reports").unlink()
        again = terminal.type("report", result.job, "--json")
        assert len(again.rows) == 2


def test_the_status_of_a_refused_file_says_why(sandbox, office):
    terminal = office(sandbox())
    terminal.write("roster.csv", "email,course_id\n")
    refused = terminal.run("roster.csv")
    assert refused.code == 2

    shown = terminal.type("status", refused.job)

    assert "no rows" in shown.out
