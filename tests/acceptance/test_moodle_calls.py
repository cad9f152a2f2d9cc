"""The calls to Moodle: none is cut off, no two at once carry one person, and they are as few as can be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.conftest import wait_until
from tests.moodle_site import a_user, ask, changing, enrol, members
from worker.ledger import batches
from worker.ledger.database import open_engine
from worker.ledger.transactions import Ledger


def test_a_known_person_whom_php_cuts_off_a_look_up_holds_no_job(academy, people):
    # After the first person somebody is known who must be found: with all ID numbers, past what PHP reads.
    terminal = academy("create_users:hold:after=1", max_input_vars=44, keys={"batch_size": 20})
    terminal.roster("roster.csv", people(31, external_id=lambda number: f"X-{number}"))
    running = terminal.start("run", "roster.csv", "--json")
    terminal.lms.until(lambda lms: lms.calls("create_users") == 1 or running.is_over, "the first person")
    running.kill()
    terminal.lms.rules()

    result = terminal.resume(1)

    assert (result.state, result.summary["reason"]) == ("succeeded", None)
    assert result.counts == {"registered": 31}
    assert len(members(terminal, "onlyactive")) == 31
    terminal.lms.nobody_twice()


@pytest.mark.parametrize(
    ("stored", "most"),
    [
        # As people write capitals: all in one look-up, after the first call that was refused.
        (lambda local, domain: f"{local.capitalize()}@{domain.capitalize()}", 20),
        # In the midst of a word: PostgreSQL shows each only to a search, one in a call.
        (lambda local, domain: f"{local[:3]}{local[3:6].upper()}{local[6:]}@{domain}", 60 + 20),
    ],
)
def test_people_whose_stored_addresses_have_capitals_are_found_in_few_calls(academy, people, stored, most):
    terminal = academy()
    rows = people(60)
    for number, row in enumerate(rows):
        address = stored(*row["email"].split("@"))
        a_user(
            terminal, username=f"u{number}", email=address, firstname=row["first_name"], lastname=row["last_name"]
        )
    terminal.roster("known.csv", rows)

    result = terminal.run("known.csv")

    assert (result.counts, result.summary["candidates_created"]) == ({"registered": 60}, 0)
    assert sum(result.summary["calls"].values()) <= most


def test_verify_lists_a_course_once_and_once_more_for_those_who_are_not_active(academy, people):
    terminal = academy()
    rows = [row | {"course_id": "", "course_name": "FIRE"} for row in people(2)]
    terminal.roster("new.csv", rows)
    first = terminal.run("new.csv")

    def listed():
        before = terminal.lms.calls("list_enrolled")
        verified = terminal.type("verify", first.job, "--json").summary["verified"]
        return verified["confirmed"], terminal.lms.calls("list_enrolled") - before

    whole = listed()
    # One was suspended by somebody, and one removed.
    one, other = members(terminal, "onlyactive")
    enrol(terminal, one, suspend=1)
    terminal.lms.world.moodle.site.enrolments[58].pop((other, "manual"))
    differing = listed()

    assert (whole, differing) == ((2, 1), (0, 2))


@pytest.mark.parametrize(("version", "calls"), [("5.1", 3), ("4.3", 11)])
def test_people_are_mailed_in_batches_only_where_a_rollback_leaves_no_mail(academy, people, version, calls):
    from worker.sandbox.moodle.options import Version  # noqa: PLC0415

    terminal = academy(version=Version(version), keys={"batch_size": 5})
    terminal.roster("new.csv", people(11))

    planned = terminal.type("check", "new.csv", "--json").json["planned_calls"]
    result = terminal.run("new.csv")

    assert (result.counts, changing(result)["create_users"]) == ({"registered": 11}, calls)
    assert planned >= sum(result.summary["calls"].values())
    assert planned - calls <= 20


@pytest.mark.parametrize("most", [101, 102])
def test_no_call_is_larger_than_the_server_was_seen_to_read(academy, people, most):
    # Cut off at one of them, an enrolling call ends between two people; at the other one, a creating call.
    terminal = academy(max_input_vars=most)
    terminal.roster("new.csv", people(41))

    new = terminal.run("new.csv")

    assert (new.code, new.counts, new.summary["candidates_created"]) == (0, {"registered": 41}, 41)
    assert changing(new) == {"create_users": 4, "enrol_users": 3}
    assert new.summary["bisected_batches"] == 0
    assert len(members(terminal, "onlyactive")) == 41


def lower_the_limit(terminal, name, fields, operation, calls):
    """Start a roster, and let PHP read fewer fields after this number of calls, by which Roster has measured it."""
    terminal.lms.rules(f"{operation}:hold:after={calls}")
    before = terminal.lms.calls(operation)
    running = terminal.start("run", name, "--json")
    terminal.lms.until(lambda lms: lms.calls(operation) == before + calls or running.is_over, operation)
    moodle = terminal.lms.world.moodle
    moodle.options = replace(moodle.options, max_input_vars=fields)
    terminal.lms.rules()
    return running.result()


def test_people_whom_php_cuts_off_all_the_same_are_sent_again_in_smaller_calls(academy, people):
    for most in (101, 102):
        terminal = academy()
        terminal.roster("new.csv", people(41))
        terminal.roster("more.csv", people(40, first=101))

        cut = lower_the_limit(terminal, "new.csv", most, "find_users", 2)
        later = terminal.run("more.csv")

        assert (cut.code, cut.counts, cut.summary["candidates_created"]) == (0, {"registered": 41}, 41)
        assert (later.code, later.counts) == (0, {"registered": 40})
        assert len(members(terminal, "onlyactive")) == 81
        terminal.lms.nobody_twice()


def test_changes_that_php_cuts_off_are_noticed_and_sent_again(academy):
    terminal = academy()
    ids = [a_user(terminal, username=f"u{n}", email=f"u{n}@example.com", firstname="Ada") for n in range(30)]
    named = [{"email": f"u{n}@example.com"} for n in range(30)]
    for id_ in ids:
        enrol(terminal, id_)
    changed = {"last_name": "Brown", "city": "Izmir", "action": "update"}
    terminal.roster("update.csv", [row | changed for row in named])
    terminal.roster("withdraw.csv", [row | {"course_id": 58, "action": "withdraw"} for row in named])
    terminal.roster("deactivate.csv", [row | {"action": "deactivate"} for row in named])

    # Of each, the first goes alone, so that the next call is cut off: in mid-person, and between two people.
    updated = lower_the_limit(terminal, "update.csv", 60, "find_users", 2)
    withdrawn = lower_the_limit(terminal, "withdraw.csv", 42, "list_enrolled", 1)
    deactivated = lower_the_limit(terminal, "deactivate.csv", 31, "find_users", 2)

    assert (updated.code, updated.counts) == (0, {"updated": 30})
    assert (withdrawn.code, withdrawn.counts) == (0, {"withdrawn": 30})
    assert (deactivated.code, deactivated.counts) == (0, {"deactivated": 30})
    world = terminal.lms.world.moodle
    accounts = [world.site.accounts[id_] for id_ in ids]
    shown = {(each.lastname, each.fields.get("city"), each.suspended) for each in accounts}
    assert shown == {("Brown", "Izmir", True)}
    assert len(world.site.enrolments[58]) == 30
    assert all(each["status"] == "Suspended" for each in world.registration_rows())


def test_nobody_is_made_without_the_fields_that_php_cut_off(academy, people):
    terminal = academy(max_input_vars=101)
    terminal.roster("new.csv", people(31, external_id=lambda number: f"X-{number}", city="Ankara"))

    result = terminal.run("new.csv")

    numbers = {f"values[{n}]": f"X-{n + 1}" for n in range(31)}
    shown = ask(terminal, "core_user_get_users_by_field", field="idnumber", **numbers)
    assert result.counts == {"registered": 31}
    assert [row["city"] for row in shown] == ["Ankara"] * 31


@pytest.mark.parametrize(
    ("one", "other", "code"),
    [
        # One address under two ID numbers: the second is another person at a taken address.
        ({"external_id": "X-1"}, {"external_id": "X-2", "login_name": "ada2"}, "candidate_exists"),
        # One user name under two addresses.
        ({"login_name": "ada"}, {"login_name": "ada", "email": "ada.new@example.com"}, ""),
    ],
)
def test_one_person_under_two_names_in_two_jobs_at_once_is_created_once(academy, one, other, code):
    terminal = academy("create_users:hold", slowness=8.0)
    named = {"email": "ada@example.com", "first_name": "Ada", "last_name": "Ahern", "course_id": 58}
    terminal.roster("one.csv", [named | one])
    terminal.roster("other.csv", [named | other])

    running = [terminal.start("run", name, "--json") for name in ("one.csv", "other.csv")]
    terminal.lms.until(lambda lms: lms.calls("find_courses") == 2, "both to be about to create")
    terminal.lms.rules()
    results = [each.result() for each in running]

    assert sum(result.summary["candidates_created"] for result in results) == 1
    assert sorted(row["_error_code"] for result in results for row in result.rows) == sorted(["", code])
    assert len(members(terminal, "onlyactive")) == 1


@pytest.mark.parametrize(
    ("operation", "one", "other", "status"),
    [
        ("enrol_users", {"course_id": 58}, {"course_id": 59}, "registered"),
        (
            "update_users",
            {"last_name": "Brown", "action": "update"},
            {"city": "Izmir", "action": "update"},
            "updated",
        ),
    ],
)
def test_no_two_calls_at_once_carry_one_person(academy, operation, one, other, status):
    terminal = academy(f"{operation}:hold")
    ids = [a_user(terminal, username=f"u{n}", email=f"u{n}@example.com") for n in range(2)]
    terminal.roster("one.csv", [{"candidate_id": ids[0]} | one])
    terminal.roster("other.csv", [{"email": "u0@example.com"} | other])
    held = {"rule": f"{operation}:hold", "seen": 1, "fired": 1}

    running = [terminal.start("run", "one.csv", "--json")]
    terminal.lms.until(lambda lms: lms.state()["rules"] == [held], "the first call")
    running.append(terminal.start("run", "other.csv", "--json"))
    # Its process waits for the other one's call, and then leaves its batch for later.
    wait_until(lambda: is_left_for_later(terminal, 2), "the second job to wait")
    carried = terminal.lms.state()["rules"]
    terminal.lms.rules()
    results = [each.result() for each in running]

    assert carried == [held]
    assert [result.counts for result in results] == [{status: 1}, {status: 1}]
    assert terminal.lms.calls(operation) == 2


def is_left_for_later(terminal, job):
    with Ledger(open_engine(f"sqlite:///{terminal.folder / 'roster.db'}")).read() as tx:
        return any(each.not_before for each in batches.open_batches(tx, job))
