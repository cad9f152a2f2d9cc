"""Each sample against a fresh sandbox gives the report that was read and found right.

The expected files are reports of real runs, in which `*` stands for each id and time. When a sample changes:
run it, read its report, and write it down anew with `normalised`.
"""

from __future__ import annotations

import pytest

#: The order in which the calls arrive decides the ids; the clock, the time.
CHANGING = ("_candidate_id", "_registration_id", "_when")
SAMPLES = [
    ("tidy.csv", "north", 0),
    ("messy.xlsx", "north", 1),
    ("duplicates.csv", "north", 0),
    ("kmi.csv", "kmi", 0),
    ("moodle.csv", "academy", 1),
    ("thousand.csv", "north", 0),
]


def normalised(rows):
    """Put `*` in place of IDs and times, so that a missing one is still seen."""
    return [row | {name: "*" if row[name] else "" for name in CHANGING} for row in rows]


@pytest.fixture
def expected(samples, read_csv):
    return lambda name: read_csv(samples / "expected" / f"{name.partition('.')[0]}.results.csv")


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample[0])
def test_a_sample_gives_the_report_that_is_expected(sandbox, office, samples, expected, sample):
    name, connection, code = sample
    terminal = office(sandbox(), connection)

    result = terminal.run(samples / name)

    assert result.code == code
    assert normalised(result.rows) == expected(name)


@pytest.mark.parametrize("sample", [SAMPLES[1], SAMPLES[3]], ids=lambda sample: sample[0])
def test_the_queue_gives_the_same_report_as_a_run(sandbox, office, queue, samples, expected, sample):
    name, connection, _ = sample
    line = queue(office(sandbox(), connection))
    line.worker()

    (result,) = line.ended(line.submit(samples / name))

    assert normalised(result.rows) == expected(name)


def test_wrong_headings_send_nothing_and_the_message_lists_them(sandbox, office, samples):
    lms = sandbox()
    terminal = office(lms)

    result = terminal.run(samples / "wrong_headings.xlsx")

    assert result.code == 2
    assert lms.calls() == 0
    assert all(name in result.err for name in ("Delegate", "Company", "Contact no.", "Session", "Lunch"))


def test_every_sample_has_its_expected_report(samples):
    rosters = {path.stem for path in samples.iterdir() if path.suffix in {".csv", ".xlsx"}} - {"wrong_headings"}

    assert rosters == {path.name.partition(".")[0] for path in (samples / "expected").iterdir()}


def test_the_demo_runs_through(office):
    terminal = office()

    result = terminal.type("demo")

    assert result.code == 0
    assert (terminal.folder / "roster-demo" / "reports" / "thousand.results.csv").is_file()
    assert "1000  rows in total" in result.out
