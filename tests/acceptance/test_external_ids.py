"""Actions on registrations that a roster identifies by external id alone, on KMI."""

from __future__ import annotations

import pytest

DONE_AS = {"approve": "approved", "complete": "completed", "withdraw": "withdrawn"}
SHOWN = {"approve": "Approved", "complete": "Completed", "withdraw": "Withdrawn"}
SHORT_PAUSES = [0.05, 0.2]


def alone(count, action, *, first=1, **columns):
    """Return rows that identify registrations by nothing but their external id."""
    numbers = range(first, first + count)
    return [{"registration_external_id": f"R/{number}", "action": action, **columns} for number in numbers]


@pytest.fixture
def open_kmi(sandbox, office, people):
    """Open an office with an empty ledger, at a KMI where another office has registered people as R/1 …"""

    def start(*bad_days, count=4, connection=None, **options):
        lms = sandbox(**options)
        maker = office(lms, "kmi")
        maker.roster(
            "made.csv",
            people(
                count,
                login_name=lambda number: f"login{number}",
                external_id=lambda number: f"X-{number}",
                registration_external_id=lambda number: f"R/{number}",
            ),
        )
        assert maker.run("made.csv").code == 0
        lms.rules(*bad_days)
        return lms, office(lms, "kmi", **{"lookup_pauses": SHORT_PAUSES, **(connection or {})})

    return start


def statuses(lms):
    return [each["status"] for each in lms.look("registrations")]


def actions_sent(lms):
    """Return the changing calls other than creations."""
    return {call: count for call, count in lms.changes.items() if not call.startswith("create")}


@pytest.mark.parametrize("action", DONE_AS)
def test_an_action_is_done_once_and_the_second_upload_sends_nothing(open_kmi, action):
    lms, terminal = open_kmi()
    terminal.roster("steps.csv", alone(4, action))

    first = terminal.run("steps.csv")

    assert (first.code, first.counts) == (0, {DONE_AS[action]: 4})
    assert statuses(lms) == [SHOWN[action]] * 4
    assert actions_sent(lms) == {action: 4}
    assert all(row["_candidate_id"] and row["_registration_id"] for row in first.rows)
    second = terminal.run("steps.csv")
    assert (second.code, second.counts) == (0, {DONE_AS[action]: 4})
    assert actions_sent(lms) == {action: 4}


def test_a_withdrawal_uploaded_again_is_known_where_the_lms_hides_withdrawn_registrations(open_kmi):
    lms, terminal = open_kmi()
    terminal.roster("steps.csv", alone(2, "withdraw"))
    terminal.run("steps.csv")
    lms.rules("find_registration:404")

    assert terminal.run("steps.csv").counts == {"withdrawn": 2}
    assert actions_sent(lms) == {"withdraw": 2}


def test_unknown_external_ids_are_reported_and_stop_no_other_row(open_kmi):
    lms, terminal = open_kmi()
    rows = [*alone(1, "complete"), *alone(1, "complete", first=9), *alone(1, "complete", first=2)]
    terminal.roster("steps.csv", [*rows, {"registration_external_id": "..", "action": "complete"}])

    result = terminal.type("run", "steps.csv", "--json")

    assert (result.code, result.state) == (1, "completed_with_errors")
    assert [row["_status"] for row in result.rows] == ["completed", "rejected", "completed", "invalid"]
    codes = [row["_error_code"] for row in result.rows]
    assert codes == ["", "not_registered", "", "missing_value; course_missing"]
    assert "registration_external_id" in result.rows[1]["_error"]
    assert actions_sent(lms) == {"complete": 2}
    again = terminal.type("retry", result.job, "--json")
    assert again.counts == {"completed": 2, "rejected": 1, "invalid": 1}
    assert terminal.run(result.report(".failed.csv")).counts == {"rejected": 1, "invalid": 1}


def test_what_a_row_gives_with_the_id_must_match(open_kmi):
    lms, terminal = open_kmi()
    mails = {each["external_id"]: each["email"] for each in lms.look("registrations")}
    beside = [
        ({"email": mails["R/1"].upper()}, "completed"),
        ({"email": "somebody@else.example"}, "rejected"),
        ({"external_id": "X-3"}, "completed"),
        ({"external_id": "X-1"}, "rejected"),
        ({"course_id": "58"}, "completed"),
        ({"course_id": "59"}, "rejected"),
        ({"course_name": "fire safety"}, "completed"),
        ({"candidate_id": "99"}, "rejected"),
    ]
    names = ["R/1", "R/2", "R/3", "R/2", "R/2", "R/1", "R/4", "R/3"]
    terminal.roster(
        "steps.csv",
        [
            {"registration_external_id": name, "action": "complete", **named}
            for name, (named, _) in zip(names, beside, strict=True)
        ],
    )

    result = terminal.run("steps.csv")

    assert [row["_status"] for row in result.rows] == [status for _, status in beside]
    assert {row["_error_code"] for row in result.failed} == {"registration_mismatch"}
    assert actions_sent(lms) == {"complete": 4}


def test_such_rows_may_be_mixed_with_ordinary_ones_and_their_duplicates_are_skipped(open_kmi, people):
    lms, terminal = open_kmi()
    ordinary = people(1, first=11, login_name=lambda number: f"login{number}")
    rows = [
        *alone(2, "complete"),
        *alone(1, "complete"),
        *alone(1, "approve"),
        {"external_id": "X-2", "course_id": "58", "action": "complete"},
        *(row | {"registration_external_id": "N-1"} for row in ordinary),
        {"registration_external_id": "N-1", "action": "withdraw"},
    ]
    terminal.roster("steps.csv", rows)

    result = terminal.type("run", "steps.csv", "--json")

    assert result.code == 0
    assert [row["_status"] for row in result.rows] == [
        "completed",
        "completed",
        "skipped",
        "approved",
        "skipped",
        "registered",
        "withdrawn",
    ]
    assert actions_sent(lms) == {"approve": 1, "complete": 2, "withdraw": 1}


def test_a_roster_with_nothing_but_ids_takes_its_action_from_an_option(open_kmi):
    lms, terminal = open_kmi()
    terminal.roster("steps.csv", [{"Registration external ID": "R/1", "Remark": "late"}])

    result = terminal.run("steps.csv", "--set", "action=complete", "--set", "score=80")

    assert result.counts == {"completed": 1}
    assert lms.look("registrations")[0]["score"] == 80


@pytest.mark.parametrize("action", DONE_AS)
@pytest.mark.parametrize("what", ["lost-after", "lost-before"])
def test_a_lost_answer_is_read_back_and_only_what_was_not_done_is_sent_again(open_kmi, action, what):
    lms, terminal = open_kmi(f"{action}:{what}:nth=2")
    terminal.roster("steps.csv", alone(4, action))

    result = terminal.run("steps.csv")

    assert (result.code, result.counts) == (0, {DONE_AS[action]: 4})
    assert statuses(lms) == [SHOWN[action]] * 4
    assert actions_sent(lms) == {action: 4 + (what == "lost-before")}


@pytest.mark.parametrize("what", ["lost-before:nth=2", "drop-before:nth=2", "html-502:nth=2", "throttle:nth=2"])
def test_a_lost_or_rate_limited_look_up_is_retried(open_kmi, what):
    lms, terminal = open_kmi(f"find_registration:{what}")
    terminal.roster("steps.csv", alone(4, "complete"))

    assert terminal.run("steps.csv").counts == {"completed": 4}
    assert actions_sent(lms) == {"complete": 4}


def test_look_ups_refused_one_after_the_other_hold_the_job_and_retry_continues(open_kmi):
    lms, terminal = open_kmi("find_registration:403", count=8, connection={"breaker": 3})
    terminal.roster("steps.csv", alone(8, "complete"))

    result = terminal.run("steps.csv")

    assert (result.code, result.state) == (3, "held")
    assert actions_sent(lms) == {}
    lms.rules()
    assert terminal.type("retry", result.job, "--rejected", "--json").counts == {"completed": 8}


def test_killed_during_look_ups_it_continues_with_the_rest(open_kmi):
    lms, terminal = open_kmi("find_registration:slow:seconds=5:after=55", count=60)
    terminal.roster("steps.csv", alone(60, "complete"))
    before = lms.calls("find_registration")

    running = terminal.start("run", "steps.csv", "--json")
    lms.until(lambda lms: lms.calls("find_registration") - before >= 53, "the second part")
    running.kill()
    lms.rules()
    asked = lms.calls("find_registration")
    (job,) = terminal.jobs()
    result = terminal.resume(job["job"])

    assert (result.code, result.counts) == (0, {"completed": 60})
    assert actions_sent(lms) == {"complete": 60}
    assert lms.calls("find_registration") - asked < 60, "what was found before is not asked for again"


def test_check_counts_the_look_ups_and_makes_none(open_kmi):
    lms, terminal = open_kmi()
    before = lms.calls()
    terminal.roster("steps.csv", alone(4, "complete"))

    result = terminal.type("check", "steps.csv", "--json")

    assert result.code == 0
    assert "8 to 13 calls" in result.err
    assert lms.calls() == before


def test_verify_confirms_them_and_undo_leaves_them(open_kmi):
    lms, terminal = open_kmi()
    terminal.roster("steps.csv", alone(3, "complete"))
    job = terminal.run("steps.csv").job

    assert terminal.type("verify", job, "--json").summary["verified"]["confirmed"] == 3
    assert terminal.type("undo", job).code == 2
    assert actions_sent(lms) == {"complete": 3}


def test_tahdah_says_that_it_cannot_or_that_the_roster_names_no_person(sandbox, office):
    lms = sandbox()
    terminal = office(lms)
    terminal.roster("steps.csv", alone(2, "complete", email="person@example.org", course_id="58"))
    terminal.roster("bare.csv", alone(2, "complete"))

    result = terminal.run("steps.csv")

    assert {row["_error_code"] for row in result.rows} == {"action_not_supported"}
    bare = terminal.type("run", "bare.csv")
    assert bare.code == 2
    assert "No column identifies the people" in bare.err
    assert lms.calls() == 0
