"""What a response means for every status, and the LMS's own error message in every form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.errors import AnswerLost, LmsError, RateLimited, Refused, StopJob
from worker.lms.responses import (
    MAX_MESSAGE_LENGTH,
    MAX_TEXT_LENGTH,
    LmsResponse,
    as_id,
    check_response,
    error_message,
    is_conflict,
    parse,
)
from worker.pace.hints.response import Hints, read_hints

STATUSES = range(200, 600)
DONE = object()


def an_answer(status: int = 400, body: Any = None, text: str | None = None, **headers: str) -> LmsResponse:
    content = text if text is not None else ("" if body is None else json.dumps(body))
    return parse(status, headers, content.encode())


def meaning(status: int, hints: Hints, *, changes: bool) -> Any:
    answer = an_answer(status, {"detail": "words"})
    try:
        assert check_response(answer, hints, changes=changes) is answer
    except LmsError as error:
        return type(error)
    return DONE


def meant(status: int, *, changes: bool) -> Any:
    """Return what a status means when the response says nothing about limits."""
    if status < 300:
        return DONE
    if status < 400:
        return AnswerLost if changes and status in {302, 303} else StopJob
    if status == 401:
        return StopJob
    return AnswerLost if status == 408 or status >= 500 else Refused


@pytest.mark.parametrize("changes", [True, False])
def test_every_status_means_one_thing(*, changes: bool) -> None:
    wrong = {
        status: found
        for status in set(STATUSES) - {429}
        if (found := meaning(status, Hints(), changes=changes)) is not meant(status, changes=changes)
    }

    assert wrong == {}


@pytest.mark.parametrize("changes", [True, False])
def test_a_rate_limited_call_was_not_done_with_any_status(*, changes: bool) -> None:
    hints = Hints(throttled=True, retry_after=3)

    assert {meaning(status, hints, changes=changes) for status in STATUSES} == {RateLimited}


def test_a_429_always_means_rate_limited() -> None:
    assert meaning(429, read_hints(429, {}, "", now=0.0), changes=True) is RateLimited


@pytest.mark.parametrize("status", [401, 400, 404, 500, 502])
def test_a_message_about_limits_with_another_status_is_not_rate_limiting(status: int) -> None:
    hints = read_hints(status, {"Retry-After": "3"}, "too many requests", now=0.0)

    assert meaning(status, hints, changes=True) is not RateLimited


@pytest.mark.parametrize(
    ("status", "headers", "body", "seconds"),
    [
        (429, {"Retry-After": "3"}, "", 3),
        (429, {}, "", 0),
        (503, {"Retry-After": "7"}, "", 7),
        (403, {}, "Rate limit exceeded", 0),
    ],
)
def test_rate_limiting_says_when_to_come_back(
    status: int, headers: dict[str, str], body: str, seconds: float
) -> None:
    hints = read_hints(status, headers, body, now=0.0)

    with pytest.raises(RateLimited) as raised:
        check_response(an_answer(status, text=body), hints, changes=True)

    assert raised.value.seconds == pytest.approx(seconds, abs=1)


def test_a_503_without_a_time_may_have_been_done() -> None:
    hints = read_hints(503, {}, "Service Unavailable", now=0.0)

    with pytest.raises(AnswerLost):
        check_response(an_answer(503), hints, changes=True)


def test_refused_credentials_say_what_to_check_and_how_to_continue() -> None:
    with pytest.raises(StopJob, match="check this connection's token or key, then resume") as raised:
        check_response(an_answer(401, {"detail": "Invalid token."}), Hints(), changes=False)

    assert (raised.value.code, raised.value.status) == ("credentials_refused", 401)
    assert "Invalid token." in str(raised.value)


def test_a_redirect_says_where_to_and_what_to_set() -> None:
    with pytest.raises(StopJob, match=r"redirects to https://new\.example\.org; set base_url") as raised:
        check_response(an_answer(301, location="https://new.example.org"), Hints(), changes=True)

    assert raised.value.code == "redirected"


def test_a_refusal_keeps_a_limited_length_of_message_and_text() -> None:
    with pytest.raises(Refused) as raised:
        check_response(an_answer(400, {"detail": "x" * 100_000}), Hints(), changes=True)

    assert len(raised.value.message) == MAX_MESSAGE_LENGTH
    assert len(raised.value.text) == MAX_TEXT_LENGTH


HINTS = st.builds(
    Hints,
    throttled=st.booleans(),
    concurrency=st.booleans(),
    retry_after=st.none() | st.floats(0, 1e9),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
CONTENT = (
    st.binary(max_size=200)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.text(max_size=200).map(lambda text: f"<html><title>{text}</title>".encode("utf-8", "replace"))
)


@settings(max_examples=300, deadline=None)
@given(
    status=st.integers(100, 999),
    content=CONTENT,
    hints=HINTS,
    changes=st.booleans(),
    headers=st.dictionaries(
        st.sampled_from(["location", "retry-after", "date", "content-type"]), st.text(max_size=20)
    ),
)
def test_any_response_raises_only_our_errors(
    status: int, content: bytes, hints: Hints, headers: dict[str, str], *, changes: bool
) -> None:
    answer = parse(status, headers, content)

    message = ""
    try:
        check_response(answer, hints, changes=changes)
    except LmsError as error:
        message = str(error)

    assert "\n" not in message or "location" in headers
    assert len(message) < 2_000
    said = error_message(answer)
    assert said
    assert len(said) <= MAX_MESSAGE_LENGTH
    assert said == " ".join(said.split())


@settings(max_examples=200, deadline=None)
@given(
    status=st.integers(200, 599),
    headers=st.dictionaries(
        st.sampled_from(["Retry-After", "Date", "RateLimit", "RateLimit-Policy", "X-RateLimit-Reset"]),
        st.text(st.characters(max_codepoint=255), max_size=30),
    ),
    body=st.text(max_size=100),
)
def test_any_headers_and_body_can_be_read_for_hints(status: int, headers: dict[str, str], body: str) -> None:
    answer = parse(status, headers, body.encode("utf-8", "replace"))

    hints = read_hints(status, headers, answer.text, now=0.0)

    if not hints.throttled and status < 300:
        assert check_response(answer, hints, changes=True) is answer


@pytest.mark.parametrize("depth", [400, 900, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [(b'{"a":', b"}"), (b"[", b"]")])
def test_an_endlessly_nested_body_is_a_response_without_json(depth: int, opening: bytes, closing: bytes) -> None:
    """A parser fails at some depth with RecursionError, which is not a ValueError."""
    answer = parse(400, {}, opening * depth + b"1" + closing * depth)

    with pytest.raises(Refused):
        check_response(answer, Hints(), changes=True)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"detail": "Invalid token."}, "Invalid token."),
        ({"message": "No."}, "No."),
        ({"error": {"message": "No."}}, "No."),
        ({"error": "bad", "error_description": "worse"}, "bad error_description: worse"),
        ({"email": ["Enter a valid address."]}, "email: Enter a valid address."),
        ({"email": ["One.", "Two."]}, "email: One. email: Two."),
        ({"non_field_errors": ["Both are wrong."]}, "Both are wrong."),
        ({"address": {"zip": ["Too long."]}}, "zip: Too long."),
        (
            {
                "type": "https://tools.ietf.org/html/rfc9110#section-15.5.1",
                "title": "One or more validation errors occurred.",
                "status": 400,
                "errors": {"Email": ["The Email field is required."]},
                "traceId": "00-84c1-00",
            },
            "One or more validation errors occurred. Email: The Email field is required.",
        ),
        (["First.", "Second."], "First. Second."),
        ("Just a text", "Just a text"),
        ([{"detail": "In a list."}], "In a list."),
        ([], "[]"),
        ({}, "{}"),
        ({"status": 400}, '{"status": 400}'),
        ({"detail": "Two\n lines\tand more  spaces"}, "Two lines and more spaces"),
    ],
)
def test_the_error_message_is_found_in_every_usual_json_form(body: Any, said: str) -> None:
    assert error_message(an_answer(400, body)) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<html><head><title>502 Bad Gateway</title></head><body>much</body></html>", "502 Bad Gateway"),
        ("<HTML><TITLE lang='en'>\n Bad\n Gateway </TITLE>", "Bad Gateway"),
        ("<html><body>no title</body></html>", "no message"),
        ("plain words", "plain words"),
        ("", "no message"),
        ("   \n ", "no message"),
        ("\x00\x01", "\x00\x01"),
    ],
)
def test_the_error_message_of_other_bodies_is_the_title_or_the_text(text: str, said: str) -> None:
    assert error_message(an_answer(502, text=text)) == said


def test_a_huge_page_is_cut_quickly() -> None:
    for text in ("x" * 5_000_000, json.dumps({"detail": "y" * 5_000_000}), json.dumps(["z"] * 200_000)):
        assert len(error_message(an_answer(500, text=text))) == MAX_MESSAGE_LENGTH


def test_a_body_that_is_not_utf8_is_still_read() -> None:
    answer = parse(400, {}, "Straße ungültig".encode("latin-1"))

    assert "ung" in error_message(answer)


IDS = st.integers(0, 10**15)


@given(IDS)
def test_an_id_is_the_same_as_number_text_and_whole_float(number: int) -> None:
    forms = (number, str(number), float(number), f"{number}.0", f" {number} ", f"{number}.00")

    assert {as_id(form) for form in forms} == {str(number)}


@given(st.text(max_size=12))
def test_reading_an_id_twice_changes_nothing(text: str) -> None:
    once = as_id(text)

    assert once is None or as_id(once) == once
    assert once is None or once == once.strip()


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_different_ids_stay_different(one: int, other: int) -> None:
    assert (as_id(one) == as_id(str(other))) == (one == other)


@pytest.mark.parametrize(
    "nothing", [None, True, False, "", "  ", 7.5, float("nan"), float("inf"), [], {}, [7], {"id": 7}, b"7"]
)
def test_other_values_are_not_ids(nothing: Any) -> None:
    assert as_id(nothing) is None


@pytest.mark.parametrize("text", ["ID10-05113", "7.5", "7.", "a.0", "1.0.0", "0007", "-7"])
def test_an_id_that_is_not_a_number_is_unchanged(text: str) -> None:
    assert as_id(text) == text


@pytest.mark.parametrize(
    ("status", "message", "already"),
    [
        (409, "Conflict", True),
        (400, "The user is already registered for this course.", True),
        (422, "Already there", True),
        (400, "The course is not published", False),
        (403, "already", False),
        (404, "already", False),
        (None, "already", False),
    ],
)
def test_a_conflict_is_a_409_or_says_already(status: int | None, message: str, *, already: bool) -> None:
    assert is_conflict(Refused("refused", status, message)) is already
