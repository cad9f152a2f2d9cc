"""A country is read by its code or its name, and refused when it is not known."""

from __future__ import annotations

import pytest

from worker.intake.countries import country_code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("gb", "GB"),
        ("UK", "GB"),
        ("U.K.", "GB"),
        ("GBR", "GB"),
        ("United Kingdom", "GB"),
        ("Great Britain", "GB"),
        ("The Netherlands", "NL"),
        ("nederland", "NL"),
        ("Holland", "NL"),
        ("Deutschland", "DE"),
        ("Allemagne", "DE"),
        ("España", "ES"),
        ("Espana", "ES"),
        ("Österreich", "AT"),
        ("U.S.A.", "US"),
        ("United States of America", "US"),
        ("Korea, Republic of", "KR"),
        ("Côte d\u2019Ivoire", "CI"),
        ("Ivory Coast", "CI"),
        ("Trinidad and Tobago", "TT"),
        ("Czech Republic", "CZ"),
        ("\u65e5\u672c", "JP"),
        ("\u0420\u043e\u0441\u0441\u0438\u044f", "RU"),
        ("XK", "XK"),
    ],
)
def test_a_country_is_known_by_its_code_and_by_its_names(text: str, code: str) -> None:
    assert country_code(text) == code


@pytest.mark.parametrize("text", ["XX", "ZZ", "EU", "Congo", "Europe", "Wales", "N/A", "-", "x" * 5000, "?"])
def test_what_is_no_country_or_could_be_several_is_not_known(text: str) -> None:
    assert country_code(text) is None
