"""No message that reaches the page tells a person to type a command."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parsing import parse
from worker.intake.columns import COLUMNS
from worker.reports.codes import CODES
from worker.web.labels import COLUMN_GROUPS
from worker.web.pages.rendering import code_spans, count, duration, number, when
from worker.web.wording import for_page

WORKER = Path(__file__).parents[3] / "worker"
#: Whatever these say may be shown on a page; words.py of the reports is for those who read files.
SPEAKERS = sorted(
    path
    for folder in ("intake", "registration", "jobs", "runtime", "lms")
    for path in (WORKER / folder).rglob("*.py")
) + [WORKER / "ledger" / name for name in ("resolutions.py", "candidates.py", "people.py", "rows.py")]
COMMANDS = re.compile(r"(?<![\w-])--[a-z]|`roster ")


def messages(path: Path) -> Iterator[str]:
    """Yield the texts of a module that a person may read, its docstrings left out."""
    tree = parse(path.read_text("utf-8"))
    silent = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "7" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent | inside:
            yield node.value


@pytest.mark.parametrize("path", SPEAKERS, ids=lambda path: str(path.relative_to(WORKER)))
def test_a_message_shown_on_the_page_names_no_command(path: Path) -> None:
    left = [told for text in messages(path) if " " in text and COMMANDS.search(told := for_page(text))]
    assert left == []


def test_the_explanation_of_a_code_names_no_command() -> None:
    left = [code.code for code in CODES.values() if COMMANDS.search(for_page(f"{code.meaning} {code.remedy}"))]
    assert left == []


def test_every_column_has_a_label() -> None:
    assert {column for _, columns in COLUMN_GROUPS for column, _ in columns} == set(COLUMNS)


def test_a_sentence_is_escaped_and_its_ticks_set_apart() -> None:
    assert code_spans("<b> `a&b`") == "&lt;b&gt; <code>a&amp;b</code>"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "?"),
        (0.2, "less than a second"),
        (1, "1 second"),
        (119, "119 seconds"),
        (600, "10 minutes"),
        (7200, "2 hours"),
        (200_000, "2 days"),
    ],
)
def test_durations_are_told_as_people_do(seconds: float | None, said: str) -> None:
    assert duration(seconds, "?") == said


def test_numbers_and_times_are_told_as_people_do() -> None:
    assert number(1234567) == "1,234,567"
    assert count(1, "row") == "1 row"
    assert count(2, "person", "people") == "2 people"
    assert when(0) == '<time datetime="1970-01-01T00:00:00Z">01 Jan 1970, 00:00 UTC</time>'
    assert when(None, "never") == "never"
