"""The events that a webhook of Tahdah states for certain, whatever its body looks like."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.lms.contract import WebhookEvent
from worker.lms.tahdah.webhooks import TahdahWebhookReader

HOOK = TahdahWebhookReader("wh_secret")
BODY = b'{"a": 1}'
NAMES = (
    "candidateId",
    "experienceId",
    "learningExperienceId",
    "legalEntityId",
    "candidateExperienceId",
    "data",
    "x",
)


def read(body: Any, verb: str = "Registration Created") -> list[WebhookEvent]:
    return HOOK.read({"webhook-verb": verb}, json.dumps(body).encode())


ONE = WebhookEvent(candidate_id="7", course_id="58", legal_entity_id="42", registration_id="900")


@pytest.mark.parametrize(
    "body",
    [
        {"candidateId": 7, "experienceId": "58", "legalEntityId": 42.0, "candidateExperienceId": "900"},
        {"CandidateID": "7", "learningExperienceId": 58, "legal_entity_id": 42, "candidateExperienceId": 900},
        {"legalEntityId": 42, "experienceId": 58, "items": [{"candidateId": "7", "candidateExperienceId": "900"}]},
        [
            {
                "data": {"candidateId": 7, "candidateExperienceId": 900},
                "of": {"legalEntityId": 42, "experienceId": 58},
            }
        ],
        {
            "candidateId": 7,
            "experienceId": 58,
            "legalEntityId": 42,
            "candidateExperienceId": 900,
            "tags": ["a", "b"],
        },
    ],
)
def test_ids_are_found_under_the_names_of_the_api(body):
    assert read(body) == [ONE]


def test_several_registrations_may_come_at_once():
    events = read({"experienceId": 58, "items": [{"candidateId": 7}, {"candidateId": 8}, {"candidateId": 7}]})

    assert [each.candidate_id for each in events] == ["7", "8"]


@pytest.mark.parametrize(
    "verb", ["", "CandidateCreated", "RegistrationDeleted", "Registration Updated", "Ledger Entry"]
)
def test_another_verb_yields_no_event(verb):
    assert read({"candidateId": 7, "experienceId": 58}, verb) == []


@pytest.mark.parametrize(
    "verb", ["Registration Created", "registration.created", "RegistrationCreated", "REGISTRATION_CREATED"]
)
def test_the_verb_is_recognised_however_its_words_are_joined(verb):
    assert len(read({"candidateId": 7, "experienceId": 58}, verb)) == 1


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=20,
)


@given(VALUES)
def test_any_body_is_read_without_error_and_an_event_has_one_person_and_one_course(body):
    for event in HOOK.read({"webhook-verb": "RegistrationCreated"}, json.dumps(body).encode()):
        assert event.candidate_id
        assert event.course_id


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_error(body):
    assert HOOK.read({"webhook-verb": "RegistrationCreated"}, body) == []


@given(st.text(max_size=80))
def test_no_other_text_is_accepted_as_the_signature(text):
    assert not HOOK.is_genuine({"webhook-signature": text}, BODY)


def test_the_signature_is_the_lower_case_hex_of_the_raw_body():
    # As openssl makes it.
    signature = "77a302244a0a736620450e233eb70c2757481ef4bfc72faa8307242d3d87eceb"

    assert HOOK.is_genuine({"webhook-signature": signature}, BODY)
    assert not HOOK.is_genuine({"webhook-signature": signature.upper()}, BODY)
    assert not HOOK.is_genuine({}, BODY)
