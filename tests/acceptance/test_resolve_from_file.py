"""Many rows in doubt settled from a file that a person filled in: all of them, or none."""

from __future__ import annotations

import csv

import openpyxl
import pytest

COUNT = 4


@pytest.fixture
def doubtful(sandbox, office):
    """Leave a job in doubt, on a Tahdah that offers no look-up: its first person and the batch of the others."""

    def start(what="lost-after", count=COUNT, bad_day="register"):
        lms = sandbox(bad_days=[f"{bad_day}:{what}:first={2 if bad_day == 'register' else 1}"], lookup="404")
        terminal = office(lms)
        terminal.people("roster.csv", count)
        result = terminal.run("roster.csv")
        assert result.counts["in_doubt"] == (count if bad_day == "register" else 1)
        return lms, terminal, result

    return start


def fill(path, answers, *, encoding="utf-8-sig", delimiter=","):
    """Write cells into a CSV report as a person does: row of the roster → column → text."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = [row | answers.get(row["_row"], {}) for row in csv.DictReader(file)]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, columns, delimiter=delimiter, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def standing_of(lms, rows):
    return {row["_row"]: lms.standing[row["email"], "58"] for row in rows}


def test_the_failed_rows_with_their_registrations_filled_in_resolve_all_of_them(doubtful):
    lms, terminal, result = doubtful()
    there = standing_of(lms, result.failed)
    file = fill(result.report(".failed.csv"), {row: {"_registration_id": there[row]} for row in there})

    told = terminal.type("resolve", result.job, "--from", file)

    assert (told.code, told.err) == (0, "")
    assert f"{COUNT} rows resolved: {COUNT} registered. 0 rows" in told.out
    again = terminal.resume(result.job)
    assert (again.code, again.counts) == (0, {"registered": COUNT})
    assert {row["_row"]: row["_registration_id"] for row in again.rows} == there
    assert lms.calls("register") == 2


def test_an_exported_list_takes_answers_in_a_column_of_its_own(doubtful, read_csv):
    lms, terminal, result = doubtful()
    there = standing_of(lms, result.failed)
    exported = terminal.type("resolve", result.job, "--export", "doubt.csv")
    assert exported.code == 0
    file = terminal.folder / "doubt.csv"
    assert [row["_row"] for row in read_csv(file)] == list(there)
    words = ("registration {}", "Registration: {}", "registration_id={}", "--registration-id {}")
    answers = {row: {"_resolve": text.format(there[row])} for row, text in zip(there, words, strict=True)}
    fill(file, answers, encoding="cp1252", delimiter=";")

    told = terminal.type("resolve", result.job, "--from", "-", stdin="doubt.csv")

    assert told.code == 0, told.err
    assert terminal.status(result.job)["by_status"]["registered"] == COUNT


def test_absent_lets_rows_be_sent_again_and_others_stay_in_doubt(doubtful):
    _, terminal, result = doubtful("lost-before")
    first, second, *_ = (row["_row"] for row in result.failed)
    file = fill(result.report(".failed.csv"), {first: {"_resolve": "absent"}, second: {"_resolve": "ABSENT"}})

    told = terminal.type("resolve", result.job, "--from", file)

    assert told.code == 0
    assert f"roster resume {result.job}" in told.out
    assert f"{COUNT - 2} rows of job {result.job} are still in doubt" in told.out
    again = terminal.resume(result.job)
    assert again.counts == {"registered": 2, "in_doubt": COUNT - 2}


def test_a_workbook_is_taken_and_excels_numbers_are_ids(doubtful):
    lms, terminal, result = doubtful()
    there = standing_of(lms, result.failed)
    path = result.report(".results.xlsx")
    book = openpyxl.load_workbook(path)
    sheet = book["Results"]
    headings = [cell.value for cell in sheet[1]]
    for row in sheet.iter_rows(min_row=2):
        number = row[headings.index("_row")].value
        row[headings.index("_registration_id")].value = float(there[str(number)])
    book.save(path)

    told = terminal.type("resolve", result.job, "--from", path)

    assert told.code == 0, told.err
    report = terminal.type("report", result.job, "--json")
    assert {row["_row"]: row["_registration_id"] for row in report.rows} == there


def test_a_candidate_found_is_known_and_their_row_is_sent(doubtful):
    lms, terminal, result = doubtful(bad_day="create_candidate")
    (row,) = result.with_status("in_doubt")
    there = {each["email"]: each["id"] for each in lms.look("candidates")}
    file = fill(result.report(".failed.csv"), {row["_row"]: {"_candidate_id": there[row["email"]]}})

    told = terminal.type("resolve", result.job, "--from", file)

    assert told.code == 0, told.err
    again = terminal.resume(result.job)
    assert (again.code, again.counts) == (0, {"registered": COUNT})
    assert lms.calls("create_candidate") == COUNT


@pytest.mark.parametrize(
    ("answer", "column", "remedy"),
    [
        ({"_resolve": "perhaps"}, "_resolve", "write `absent`"),
        ({"_resolve": "absent", "_registration_id": "7"}, "_resolve", "keep one of them"),
        ({"_resolve": "candidate 9"}, "_candidate_id", "--registration-id"),
        ({"_registration_id": "1.23E+15"}, "_registration_id", "type it again"),
        ({"_registration_id": "7", "_candidate_id": "8"}, "_candidate_id", "keep _registration_id"),
        ({"_registration_id": "7", "_row": "99"}, "_row", "is not a row of job"),
        ({"_registration_id": "7", "_row": "two"}, "_row", "this is not a number"),
        ({"_registration_id": "7", "_row": "3"}, "email", "file of another job"),
        ({"_registration_id": "7", "email": "else@example.com"}, "email", "file of another job"),
    ],
)
def test_one_wrong_line_resolves_nothing_and_says_where_and_what_to_do(doubtful, answer, column, remedy):
    _, terminal, result = doubtful()
    file = fill(result.report(".failed.csv"), {"2": answer, "4": {"_resolve": "absent"}})

    told = terminal.type("resolve", result.job, "--from", file)

    assert (told.code, told.out) == (2, "")
    assert "roster.failed.csv" in told.err
    assert f"column {column}" in told.err
    assert remedy in told.err
    assert terminal.status(result.job)["by_status"]["in_doubt"] == COUNT


def test_a_row_that_is_not_in_doubt_may_be_in_the_file_but_takes_no_answer(doubtful):
    _, terminal, result = doubtful(bad_day="create_candidate")
    (row,) = result.with_status("in_doubt")
    done = result.with_status("registered")[0]
    path = result.report(".results.csv")
    fill(path, {row["_row"]: {"_resolve": "absent"}})
    kept = path.read_bytes()
    fill(path, {done["_row"]: {"_resolve": "absent"}})

    refused = terminal.type("resolve", result.job, "--from", path)
    path.write_bytes(kept)
    taken = terminal.type("resolve", result.job, "--from", path)

    assert refused.code == 2
    assert "is not in doubt, it is registered" in refused.err
    assert (taken.code, taken.err) == (0, "")


def test_a_file_without_answers_one_without_rows_and_no_file_say_so(doubtful):
    _, terminal, result = doubtful()
    terminal.people("people.csv", 2)

    for words, why in (
        (["--from", result.report(".failed.csv")], "has no answer"),
        (["--from", "people.csv"], "the column _row is missing"),
        (["--from", "nothing.csv"], "no file"),
        (["--from", "people.csv", "--absent"], "Give a ROW"),
        (["--export", "people.csv"], "already exists"),
        (["--export", "people.xlsx"], "ends in .csv"),
        ([], "Give a ROW"),
    ):
        told = terminal.type("resolve", result.job, *words)
        assert (told.code, told.out) == (2, "")
        assert why in told.err
