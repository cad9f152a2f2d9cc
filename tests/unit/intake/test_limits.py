"""What is larger than a spreadsheet program makes it is refused, where it is said which cell."""

import pytest

from tests.hostile import make_workbook
from worker.errors import UnreadableRoster
from worker.intake.file_type import FileType, detect_file_type
from worker.intake.limits import MAX_CELL_CHARACTERS


def test_a_cell_of_a_workbook_has_at_most_as_many_characters_as_excel_allows(open_bytes):
    file = open_bytes(make_workbook(b"x" * MAX_CELL_CHARACTERS), name="r.xlsx")
    assert list(map(len, file.headings)) == [len("email"), MAX_CELL_CHARACTERS]

    with pytest.raises(
        UnreadableRoster, match=r"r\.xlsx: a cell in row 1, column B has more than 32767 characters\."
    ):
        open_bytes(make_workbook(b"x" * (MAX_CELL_CHARACTERS + 1)), name="r.xlsx")


def test_the_part_that_tells_the_type_of_an_archive_is_not_unpacked_whole(tmp_path):
    path = tmp_path / "bomb.ods"
    path.write_bytes(make_workbook(b"x", mimetype=b"application" * 20_000_000))

    with pytest.raises(UnreadableRoster, match="unpacks to far more data"):
        detect_file_type(path, name="bomb.ods")


def test_a_workbook_is_one_whatever_its_name(tmp_path):
    path = tmp_path / "roster.csv"
    path.write_bytes(make_workbook(b"First name"))

    assert detect_file_type(path, name="roster.csv") is FileType.XLSX
