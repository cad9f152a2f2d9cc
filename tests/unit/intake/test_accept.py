import os
from pathlib import Path

import pytest
from openpyxl import Workbook

from worker.errors import MissingColumns, UnreadableRoster, UsageError
from worker.intake.accept import fingerprint, open_with_options, precheck
from worker.intake.options import Options


@pytest.mark.parametrize(
    ("text", "error"),
    [("Delegate;Lunch\nAnn;yes\n", MissingColumns), ("email;email\na@x.example;b@x.example\n", UnreadableRoster)],
)
def test_what_is_wrong_with_the_headings_names_the_file(tmp_path, text, error):
    path = tmp_path / "stored-copy"
    path.write_text(text)
    with pytest.raises(error, match=r"^people\.csv: (?!people)") as caught:
        open_with_options(path, "people.csv", Options())
    assert type(caught.value) is error


def test_a_workbook_whose_first_sheet_has_no_roster_names_both_sheets(tmp_path):
    book = Workbook()
    book.active.title = "Read me"
    book.active.append(["Please fill in the other sheet"])
    book.create_sheet("Roster").append(["email", "first_name"])
    book["Roster"].append(["a@x.example", "Ann"])
    book.save(tmp_path / "cover.xlsx")
    with pytest.raises(
        MissingColumns, match=r'sheet "Read me": .* has the sheet "Roster"; choose one with --sheet'
    ):
        open_with_options(tmp_path / "cover.xlsx", "cover.xlsx", Options())
    file, _ = open_with_options(tmp_path / "cover.xlsx", "cover.xlsx", Options(sheet="Roster"))
    assert [row.cells for row in file.rows()] == [("a@x.example", "Ann")]


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_or_a_device_is_refused_before_it_is_read(tmp_path, kind):
    """Of a pipe that was read once nothing is left, and one that nobody writes to never ends."""
    path = Path("/dev/zero")
    if kind == "pipe":
        path = tmp_path / "roster.csv"
        os.mkfifo(path)

    for read in (lambda: precheck(path, Options()), lambda: fingerprint(path, "north", Options())):
        with pytest.raises(UsageError, match="is a pipe or a device, not a file"):
            read()
