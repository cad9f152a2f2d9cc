"""Nobody's work is overwritten: an edited report, or one of another roster or sheet, is kept."""

from __future__ import annotations

import openpyxl
import pytest

KINDS = (".results.csv", ".results.xlsx", ".failed.csv", ".summary.json")


@pytest.fixture
def terminal(sandbox, office, people):
    terminal = office(sandbox())
    terminal.roster("spring.csv", [*people(2), {**people(1, first=3)[0], "email": "nobody"}])
    return terminal


def names(result):
    return [path.rpartition("/")[2] for path in result.summary["reports"]]


@pytest.mark.parametrize("command", ["run", "report", "verify"])
def test_a_failed_file_that_somebody_edits_is_kept_and_the_new_reports_are_numbered(terminal, command):
    first = terminal.run("spring.csv")
    failed = first.report(".failed.csv")
    failed.write_text(failed.read_text("utf-8-sig").replace("nobody", "nobody@example.com"), "utf-8-sig")
    edited = failed.read_bytes()

    again = terminal.type(command, "spring.csv" if command == "run" else 1, "--json")

    assert failed.read_bytes() == edited
    assert names(again) == [f"spring-2{kind}" for kind in KINDS]
    assert "spring.failed.csv" in again.err
    assert "spring-2." in again.err
    third = terminal.type(command, "spring.csv" if command == "run" else 1, "--json")
    assert names(third) == names(again), "an unedited report of the same file is replaced"
    fixed = terminal.run(failed)
    assert fixed.counts == {"registered": 1}


def test_an_unedited_report_of_the_same_file_is_replaced_also_when_the_file_was_fixed(terminal, people):
    first = terminal.run("spring.csv")
    assert names(first) == [f"spring{kind}" for kind in KINDS]

    terminal.roster("spring.csv", people(3))
    again = terminal.run("spring.csv")

    assert names(again) == [f"spring{kind}" for kind in KINDS if kind != ".failed.csv"]
    assert not (terminal.folder / "reports" / "spring.failed.csv").exists()
    assert "kept" not in again.err


def test_another_roster_and_another_sheet_of_the_same_name_do_not_replace_a_report(terminal, people):
    first = terminal.run("spring.csv")
    before = first.report(".results.csv").read_bytes()
    (terminal.folder / "other").mkdir()
    terminal.roster("other/spring.csv", people(1, first=9))
    book = openpyxl.Workbook()
    for name in ("Spring", "Autumn"):
        sheet = book.create_sheet(name)
        for row in (["email", "first_name", "last_name", "course_id"], [f"{name}@example.com", "A", name, "58"]):
            sheet.append(row)
    book.save(terminal.folder / "year.xlsx")

    other = terminal.run("other/spring.csv")
    sheets = [terminal.run("year.xlsx", "--sheet", name) for name in ("Spring", "Autumn", "Spring")]

    assert first.report(".results.csv").read_bytes() == before
    assert names(other)[0] == "spring-2.results.csv"
    assert [names(each)[0] for each in sheets] == [
        "year.results.csv",
        "year-2.results.csv",
        "year.results.csv",
    ]
