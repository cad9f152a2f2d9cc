"""No message of the page or the API names a command; how numbers, times and durations are shown."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.parsing import parse
from worker.intake.columns import COLUMNS
from worker.intake.headers import missing_person_column
from worker.model import JobState, RowStatus, Verdict
from worker.reports.codes import CODES
from worker.reports.column_labels import COLUMN_GROUPS
from worker.reports.labels import next_steps
from worker.reports.lines import Summary
from worker.reports.wording import for_api, for_page
from worker.web.pages.rendering import (
    about,
    calls_per_time,
    code_spans,
    count,
    duration,
    make_environment,
    number,
    when,
)

WORKER = Path(__file__).parents[3] / "worker"
#: Messages of these modules may be shown on a page or by the API.
SOURCES = [
    *sorted(
        path
        for folder in ("intake", "registration", "jobs", "runtime", "lms")
        for path in (WORKER / folder).rglob("*.py")
    ),
    *(WORKER / "ledger" / name for name in ("resolutions.py", "candidates.py", "people.py", "rows.py")),
    *(WORKER / name for name in ("bootstrap.py", "control.py")),
]
COMMANDS = re.compile(r"(?<![\w-])--[a-z]|`roster ")


def messages(path: Path) -> Iterator[str]:
    """Yield the texts of a module that a person may read, without its docstrings."""
    tree = parse(path.read_text("utf-8"))
    docstrings = {
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
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings | inside:
            yield node.value


@pytest.mark.parametrize("reworded", [for_page, for_api], ids=["page", "API"])
@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(WORKER)))
def test_a_message_of_the_page_or_the_api_names_no_command(path: Path, reworded: Callable[[str], str]) -> None:
    left = [shown for text in messages(path) if " " in text and COMMANDS.search(shown := reworded(text))]
    assert left == []


@pytest.mark.parametrize(
    ("text", "page", "api"),
    [
        (
            "Job 7 is paused; `roster resume 7` continues it",
            "Job 7 is paused; “Resume” continues it",
            "Job 7 is paused; `POST /api/jobs/7/resume` continues it",
        ),
        (
            'The column "Mail" is not imported; did you mean email? If so: --map "Mail=email".',
            'The column "Mail" is not imported; did you mean email? If so, import it as “E-mail address”.',
            'The column "Mail" is not imported; did you mean email? If so: `map` "Mail=email".',
        ),
        (
            'If the column means something else: --map "status=".',
            "If the column means something else, choose “Do not import” for it.",
            'If the column means something else: `map` "status=".',
        ),
        (
            "The row has no course; fill in course_id or course_name, or give --course.",
            "The row has no course; fill in LMS course ID or Course name, or set a default course.",
            "The row has no course; fill in course_id or course_name, or give `course`.",
        ),
        (
            "last_name is missing; fill it in.",
            "Last name is missing; fill it in.",
            "last_name is missing; fill it in.",
        ),
        ("--set field:x: wrong", 'Default value for “Custom LMS field "x"”: wrong', "`set` field:x: wrong"),
    ],
)
def test_a_message_names_buttons_on_the_page_and_fields_in_the_api(text: str, page: str, api: str) -> None:
    assert for_page(text) == page
    assert for_api(text) == api


def test_a_file_without_people_is_explained_by_the_labels_of_the_page() -> None:
    assert for_page(str(missing_person_column(["Contact", "Mr. X"]))) == (
        "No column identifies the people. Match one column to E-mail address, Your person ID (staff number) "
        "or LMS person ID."
    )


def test_the_explanation_of_a_code_names_no_command() -> None:
    left = [code.code for code in CODES.values() if COMMANDS.search(for_page(f"{code.meaning} {code.remedy}"))]
    assert left == []


@pytest.mark.parametrize("reworded", [for_page, for_api], ids=["page", "API"])
@pytest.mark.parametrize("state", JobState)
def test_what_to_do_next_names_no_command(state: JobState, reworded: Callable[[str], str]) -> None:
    counts = dict.fromkeys(RowStatus, 2)
    summary = Summary(
        job=7,
        roster="a.csv",
        connection="north",
        state=state,
        total=2 * len(counts),
        by_status=counts,
        verified={Verdict.DIFFERS: 1},
    )
    purged = replace(summary, is_purged=True)

    steps = [reworded(step) for each in (summary, purged) for step in next_steps(each, "a.failed.csv")]

    assert [step for step in steps if COMMANDS.search(step) or "run that" in step or step[0].islower()] == []


def test_every_column_has_a_label() -> None:
    assert {column for _, columns in COLUMN_GROUPS for column, _ in columns} == set(COLUMNS)


def test_a_sentence_is_escaped_and_its_ticks_set_apart() -> None:
    assert code_spans("<b> `a&b`") == "&lt;b&gt; <code>a&amp;b</code>"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "?"),
        (0.2, "under a second"),
        (1, "1 second"),
        (119, "119 seconds"),
        (600, "10 minutes"),
        (7200, "2 hours"),
        (200_000, "2 days"),
    ],
)
def test_a_duration_is_shown_in_a_fitting_unit(seconds: float | None, shown: str) -> None:
    assert duration(seconds, "?") == shown


def test_an_estimated_duration_is_about_that_long() -> None:
    assert about(0.2) == "under a second"
    assert about(600) == "about 10 minutes"


@pytest.mark.parametrize(
    ("rate", "shown"),
    [
        (1234.5, "1,234 calls per second"),
        (19.27, "19 calls per second"),
        (2.46, "2.5 calls per second"),
        (1.0, "1 call per second"),
        (0.1, "6 calls per minute"),
        (1 / 120, "0.5 calls per minute"),
    ],
)
def test_a_rate_is_shown_without_needless_digits(rate: float, shown: str) -> None:
    assert calls_per_time(rate) == shown


def test_numbers_counts_and_times_are_shown_readably() -> None:
    assert number(1234567) == "1,234,567"
    assert count(1, "row") == "1 row"
    assert count(2, "person", "people") == "2 people"
    assert when(0) == '<time datetime="1970-01-01T00:00:00Z">01 Jan 1970, 00:00 UTC</time>'
    assert when(None, "never") == "never"


def test_a_template_that_is_replaced_below_a_running_server_is_not_taken_up(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("{{ rows | number }} rows", "utf-8")
    templates = make_environment(tmp_path)
    assert templates.get_template("page.html").render(rows=7) == "7 rows"

    page.write_text("{{ value_of_the_next_version }}", "utf-8")
    os.utime(page, (0, 0))

    assert templates.get_template("page.html").render(rows=7) == "7 rows"
