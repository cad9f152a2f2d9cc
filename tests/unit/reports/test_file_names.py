from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.reports.kinds import report_name


@pytest.mark.parametrize(
    ("roster", "name"),
    [
        ("spring-intake.xlsx", "spring-intake"),
        ("spring-intake", "spring-intake"),
        ("Früh jahr (2).csv", "Früh jahr (2)"),
        ("spring.failed.csv", "spring.failed"),
        ("C:\\Users\\ann\\spring.xlsx", "spring"),
        ("../../etc/passwd", "passwd"),
        ("a\nb\x00c.csv", "a_b_c"),
        ('what?"<now>".csv', "what___now__"),
        ("evil\u202egpj.csv", "evil_gpj"),
        ("CON.csv", "_CON"),
        (".hidden.csv", "hidden"),
        ("", "roster"),
        ("..", "roster"),
        (" .csv", "roster"),
    ],
)
def test_reports_are_called_after_the_upload(roster, name):
    assert report_name(roster) == name


def test_two_long_names_stay_distinct():
    first, second = (report_name("é" * 300 + end + ".csv") for end in "ab")

    assert first != second
    assert len(f"{first}.summary.json".encode()) <= 255


@given(st.text())
def test_any_name_is_made_safe(roster):
    name = report_name(roster)

    assert name
    assert len(name.encode()) <= 200
    assert not set(name) & set('/\\:*?"<>|\0\r\n')
    assert not name.startswith(".")
