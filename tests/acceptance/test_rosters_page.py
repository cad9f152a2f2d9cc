"""The examples of docs/rosters.md, run as they are on the page."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import openpyxl
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "rosters.md"
#: A CSV whose last column is what the report says; `hidden=3` hides a row of it as a workbook.
EXAMPLE = re.compile(r"^```csv(?: hidden=(\d+))?\n(.*?,→\n.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLES = EXAMPLE.findall(PAGE.read_text("utf-8"))


def test_every_decision_has_an_example():
    section = PAGE.read_text("utf-8").split("## What counts as what")[1].split("\n## ")[0]

    parts = section.split("\n### ")[1:]

    assert [part.split("\n")[0] for part in parts] == ["The same person", "A row", "Blank", "A date", "Hidden"]
    assert all(EXAMPLE.search(part) for part in parts)


@pytest.mark.parametrize(("hidden", "text"), EXAMPLES)
def test_the_report_says_what_the_page_says(sandbox, office, hidden, text):
    lms = sandbox()
    terminal = office(lms, "kmi")
    head, *lines = csv.reader(text.splitlines())
    roster = [head[:-1], *(line[:-1] for line in lines)]
    if hidden:
        name, options = "roster.xlsx", ("--hidden-rows", "skip")
        workbook = openpyxl.Workbook()
        for line in roster:
            workbook.active.append(line)
        workbook.active.row_dimensions[int(hidden)].hidden = True
        workbook.save(terminal.folder / name)
    else:
        name, options = "roster.csv", ()
        terminal.write(name, "".join(",".join(line) + "\n" for line in roster))

    result = terminal.type("run", name, "--course", "58", "--json", *options)

    # Two people share an address in one example.
    lms.take_as_given()
    found = {row["_row"]: row["_error_code"] or row["_status"] for row in result.rows}
    said = [found.get(str(number), "no row") for number in range(2, len(lines) + 2)]
    assert said == [line[-1] for line in lines], result.err
