"""Rate limiting in every form: no call comes too early, uses up an attempt or is sent twice."""

from __future__ import annotations

import pytest

#: Forms of Retry-After that work with a short wait; `date` rounds up to the second.
FORMS = ["0", "1.5", "date", "past-date", "garbage", "none"]


@pytest.mark.parametrize("form", FORMS)
def test_a_429_is_obeyed_in_every_form(sandbox, office, form):
    lms = sandbox(bad_days=[f"*:throttle:every=6:times=2:retry-after={form}"])
    terminal = office(lms, batch_size=10)
    terminal.people("roster.csv", 21)

    result = terminal.run("roster.csv")

    assert (result.code, result.counts) == (0, {"registered": 21})
    assert result.summary["rate_limited"] == 2
    assert lms.early == 0
    assert {row["_attempts"] for row in result.rows} == {"2"}, "a refusal uses up no attempt"


@pytest.mark.parametrize(("status", "form"), [("403", "1"), ("403", "none"), ("503", "1"), ("503", "date")])
def test_a_403_or_503_that_is_rate_limiting_is_obeyed(sandbox, office, status, form):
    lms = sandbox(bad_days=[f"*:throttle:every=6:times=2:status={status}:retry-after={form}"])
    terminal = office(lms, batch_size=10)
    terminal.people("roster.csv", 21)

    result = terminal.run("roster.csv")

    assert (result.code, result.counts) == (0, {"registered": 21})
    assert result.summary["rate_limited"] == 2
    assert lms.early == 0
    assert {row["_attempts"] for row in result.rows} == {"2"}


def test_a_503_without_a_time_registers_no_one_twice(sandbox, office, people):
    lms = sandbox(bad_days=["*:throttle:every=6:times=2:status=503:retry-after=none"])
    terminal = office(lms, "kmi")
    terminal.roster("roster.csv", people(10, login_name=lambda number: f"login{number}"))

    result = terminal.run("roster.csv")

    assert (result.code, result.counts) == (0, {"registered": 10})


@pytest.mark.parametrize("headers", ["x-ratelimit-epoch", "draft-10"])
def test_a_quota_in_headers_is_kept_on_kmi(sandbox, office, people, headers):
    lms = sandbox(quotas=[f"bucket:20/second:burst=5:headers={headers}"])
    terminal = office(lms, "kmi")
    terminal.roster("roster.csv", people(20, login_name=lambda number: f"login{number}"))

    result = terminal.run("roster.csv")

    assert (result.code, result.counts) == (0, {"registered": 20})
    assert result.summary["rate_limited"] == lms.state()["quota"]["accounts"]["all"]["refused"]
    assert lms.early == 0


def test_a_configured_rate_is_kept(sandbox, office):
    lms = sandbox(quotas=["bucket:40/second:burst=40"])
    terminal = office(lms, rate="40/second")
    terminal.people("roster.csv", 100)

    result = terminal.run("roster.csv")

    assert (result.code, result.counts) == (0, {"registered": 100})
    assert result.summary["rate_limited"] == 0


def test_too_many_at_once_are_sent_one_after_the_other(sandbox, office):
    lms = sandbox(quotas=["at-once:2:retry-after=none"], latency=0.02)
    terminal = office(lms, batch_size=10)
    terminal.people("roster.csv", 30)

    result = terminal.run("roster.csv")

    assert (result.code, result.counts) == (0, {"registered": 30})


@pytest.mark.parametrize(
    ("name", "operation"), [("north", "create_candidate"), ("north", "register"), ("kmi", "create_registration")]
)
def test_a_pause_of_a_day_ends_the_command_and_is_kept_by_resume(sandbox, office, people, name, operation):
    lms = sandbox(bad_days=[f"{operation}:throttle:nth=1:retry-after=86400"])
    terminal = office(lms, name)
    terminal.roster("roster.csv", people(4, login_name=lambda number: f"login{number}"))

    result = terminal.run("roster.csv")

    assert (result.code, result.state) == (3, "waiting")
    assert result.summary["not_before"] is not None
    assert result.counts == {"not_attempted": 4}
    assert result.summary["rate_limited"] == 1
    assert lms.early == 0
    calls = lms.calls()
    again = terminal.resume(result.job)
    assert (again.code, again.state) == (3, "waiting")
    assert again.summary["not_before"] == result.summary["not_before"]
    assert lms.calls() == calls, "not one call before the time"


def test_a_pause_of_a_day_asked_for_while_reading_is_kept_by_resume(sandbox, office, people):
    lms = sandbox(bad_days=["list_users:throttle:nth=1:retry-after=86400"])
    terminal = office(lms, "kmi")
    terminal.roster("roster.csv", people(4, login_name=lambda number: f"login{number}"))

    result = terminal.run("roster.csv")

    assert (result.code, result.state) == (3, "waiting")
    again = terminal.resume(result.job)
    assert (again.code, again.state) == (3, "waiting")
    assert again.summary["not_before"] == result.summary["not_before"]
    assert lms.calls() == 1


def test_a_pause_applies_to_other_jobs_of_the_same_credential_too(sandbox, office):
    lms = sandbox(bad_days=["create_candidate:throttle:nth=1:retry-after=86400"])
    terminal = office(lms)
    terminal.people("one.csv", 2)
    terminal.people("two.csv", 2, first=9)
    terminal.run("one.csv")
    calls = lms.calls()

    result = terminal.run("two.csv")

    assert (result.code, result.state) == (3, "waiting")
    assert (lms.calls(), lms.early) == (calls, 0)
