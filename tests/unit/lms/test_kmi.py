"""KMI's bodies: what an update and a completion send, and what counts as different."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from tests.builders import a_candidate, an_action_request
from worker.lms.kmi.courses import completion_body
from worker.lms.kmi.people import changed_fields, required_fields, writable_fields
from worker.model import Action

SHOWN = {
    "id": 58,
    "email": "Person1@Example.org",
    "firstName": "Ana",
    "lastName": "Ní 1",
    "loginName": "person1",
    "externalId": "",
    "city": "Delft",
    "zip": "",
    "expirationDate": "2026-03-01T12:00:00Z",
    "workSettingsPrivateIndustryExcept": "false",
    "createdDate": "2018-07-24T14:58:41Z",
    "updatedDate": "2018-07-24T14:58:41Z",
}


def an_update(**changes: Any) -> dict[str, Any]:
    return changed_fields(
        an_action_request(Action.UPDATE, "58", row={"candidate": a_candidate(1, **changes)}), SHOWN
    )


@pytest.mark.parametrize(
    ("changes", "sent"),
    [
        ({}, {}),
        ({"city": "Delft"}, {}),
        ({"city": "delft"}, {"city": "delft"}),
        ({"zip": "2611"}, {"zip": "2611"}),
        ({"email": "other@example.org"}, {"email": "other@example.org"}),
        ({"external_id": "ID10-05113"}, {"externalId": "ID10-05113"}),
        ({"expiration_date": date(2026, 3, 1)}, {}),
        ({"expiration_date": date(2027, 3, 1)}, {"expirationDate": "2027-03-01T00:00:00Z"}),
        ({"fields": {"workSettingsPrivateIndustryExcept": "false"}}, {}),
        ({"fields": {"ovFormWithInput12": "blue"}}, {"ovFormWithInput12": "blue"}),
    ],
)
def test_only_what_differs_is_sent(changes: dict[str, Any], sent: dict[str, Any]) -> None:
    assert an_update(**changes) == sent


def test_the_required_fields_of_an_update_are_sent_as_the_lms_has_them() -> None:
    assert set(required_fields(SHOWN)) == {"email", "firstName", "lastName", "loginName"}
    assert required_fields(SHOWN | {"loginName": ""}) == {
        "email": "Person1@Example.org",
        "firstName": "Ana",
        "lastName": "Ní 1",
    }


def test_the_writable_fields_of_a_user_exclude_the_id_and_the_dates_of_the_lms() -> None:
    assert set(SHOWN) - set(writable_fields(SHOWN)) == {"id", "createdDate", "updatedDate", "externalId", "zip"}


@pytest.mark.parametrize(
    ("row", "body"),
    [
        ({}, {}),
        ({"score": Decimal(42), "success": True}, {"score": 42, "success": "true"}),
        ({"score": Decimal("87.5"), "success": False}, {"score": 87.5, "success": "false"}),
        ({"score": Decimal("1E+2")}, {"score": 100}),
    ],
)
def test_success_is_a_string_and_a_whole_score_has_no_decimal_point(
    row: dict[str, Any], body: dict[str, Any]
) -> None:
    found = completion_body(an_action_request(Action.COMPLETE, "7", row=row))

    assert found == body
    assert [type(value) for value in found.values()] == [type(value) for value in body.values()]
