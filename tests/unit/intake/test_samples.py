from collections import Counter
from pathlib import Path

import pytest

from worker.errors import MissingColumns
from worker.intake.headers import match_headings
from worker.intake.roster_file import open_roster
from worker.intake.rows import parse_rows
from worker.model import RowRules

SAMPLES = Path(__file__).parents[3] / "samples"
TAHDAH = RowRules(needs_behavior=True, needs_legal_entity=True, defaults={"legal_entity_id": "42"})
KMI = RowRules(course_columns=frozenset({"course_id", "course_name", "course_external_id"}), required_to_create=())


def parsed(name, rules=TAHDAH):
    file = open_roster(SAMPLES / name, name=name)
    return list(parse_rows(file, match_headings(file.headings), rules=rules))


@pytest.mark.parametrize(
    ("name", "rules", "rows"),
    [("tidy.csv", TAHDAH, 12), ("duplicates.csv", TAHDAH, 9), ("thousand.csv", TAHDAH, 1000), ("kmi.csv", KMI, 7)],
)
def test_every_row_of_a_good_sample_is_valid(name, rules, rows):
    read = parsed(name, rules)
    assert len(read) == rows
    assert [row.problems for row in read if row.problems] == []


def test_the_messy_sample_has_the_problems_that_its_readme_lists():
    read = parsed("messy.xlsx")
    assert {row.raw.row: [problem.code for problem in row.problems] for row in read if row.problems} == {
        7: ["excel_error"],
        8: ["invalid_email"],
        9: ["missing_value"],
        12: ["invalid_date"],
        13: ["invalid_email"],
        14: ["invalid_choice"],
        15: ["course_missing"],
    }
    valid = [row.row for row in read if row.row]
    assert [row.row for row in valid] == [2, 3, 4, 6, 16]
    assert valid[0].candidate.external_id == "00001234"
    assert valid[0].candidate.date_of_birth.isoformat() == "1991-04-03"


def test_the_courses_of_the_kmi_sample_are_named_in_three_ways():
    labels = Counter(row.row.course.label.split(":")[0] for row in parsed("kmi.csv", KMI))
    assert labels == {"58": 2, "59": 1, "name": 2, "ext": 2}


def test_the_sample_with_wrong_headings_is_no_roster():
    with pytest.raises(MissingColumns, match="5 headings, in columns A to E") as refused:
        parsed("wrong_headings.xlsx")
    assert "Delegate" in refused.value.headings
