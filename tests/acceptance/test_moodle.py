"""Moodle, against the pretend one: as few calls as possible, nobody twice, lost or in doubt, and no harm done."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from tests.conftest import wait_until
from worker.ledger import batches
from worker.ledger.database import open_engine
from worker.ledger.transactions import Ledger

TOKEN = "sandbox-moodle-token"
SERVER = "/moodle/webservice/rest/server.php"
QUICK = [0.05, 0.1, 0.3]


@pytest.fixture
def academy(sandbox, office):
    """Open an office with a connection to a pretend Moodle: the sandbox's options, and keys of the connection."""

    def open_one(*bad_days, keys=None, **options):
        lms = sandbox(bad_days=bad_days, **{f"moodle_{name}": value for name, value in options.items()})
        terminal = office()
        terminal.lms = lms
        terminal.environment["MOODLE_TOKEN"] = TOKEN
        values = {
            "system": "moodle",
            "base_url": f"{lms.url}/moodle",
            "token": "env:MOODLE_TOKEN",
            "role": 5,
            "lookup_pauses": QUICK,
        }
        lines = [f"{key} = {json.dumps(value)}" for key, value in (values | (keys or {})).items()]
        terminal.configure("\n".join(["[connections.academy]", *lines, ""]))
        return terminal

    return open_one


def ask(terminal, function, **fields):
    """Call the pretend Moodle as somebody else would; names of fields as PHP has them."""
    control = {"wstoken": TOKEN, "wsfunction": function, "moodlewsrestformat": "json"}
    answer = terminal.lms.client.post(SERVER, data=control | fields).raise_for_status().json()
    assert not isinstance(answer, dict) or "exception" not in answer, answer
    return answer


def a_user(terminal, **values):
    """Create a user in the pretend Moodle and return their ID."""
    user = {
        "username": "ada",
        "firstname": "Ada",
        "lastname": "Ahern",
        "email": "ada@example.com",
        "password": "Aa1-aaaa",
    }
    fields = {f"users[0][{name}]": value for name, value in (user | values).items()}
    return ask(terminal, "core_user_create_users", **fields)[0]["id"]


def enrol(terminal, user_id, course=58, role=5, **values):
    item = {"roleid": role, "userid": user_id, "courseid": course} | values
    ask(terminal, "enrol_manual_enrol_users", **{f"enrolments[0][{name}]": value for name, value in item.items()})


def members(terminal, option, course=58):
    """Return who is on a course, and their roles."""
    options = {"options[0][name]": option, "options[0][value]": 1}
    rows = ask(terminal, "core_enrol_get_enrolled_users", courseid=course, **options)
    return {row["id"]: [role["roleid"] for role in row["roles"]] for row in rows}


def changing(result):
    return {
        name: count for name, count in result.summary["calls"].items() if name in {"create_users", "enrol_users"}
    }


def test_a_thousand_people_take_a_few_dozen_calls_and_none_when_they_are_known(academy, people):
    terminal = academy()
    terminal.roster("new.csv", people(1000, external_id=lambda number: f"X-{number}"))
    planned = terminal.type("check", "new.csv", "--json").json["planned_calls"]

    new = terminal.run("new.csv")
    (terminal.folder / "roster.db").rename(terminal.folder / "lost.db")
    known = terminal.run("new.csv", "--report", "known")
    terminal.roster("mixed.csv", people(1000, first=501, external_id=lambda number: f"X-{number}"))
    mixed = terminal.run("mixed.csv")

    assert (new.code, new.counts) == (0, {"registered": 1000})
    assert new.summary["calls"] == {
        "site_info": 1,
        # One to have somebody who must be found, and two for each kind of identifier; three for ID numbers, which
        # are asked for in both letter cases.
        "find_users": 8,
        "find_courses": 1,
        "create_users": 21,
        "enrol_users": 21,
        "list_enrolled": 2,
    }
    assert sum(new.summary["calls"].values()) <= planned <= sum(new.summary["calls"].values()) + 5
    assert (known.counts, changing(known)) == ({"already_registered": 1000}, {})
    assert sum(known.summary["calls"].values()) <= 13
    assert mixed.counts == {"registered": 500, "already_registered": 500}
    assert changing(mixed) == {"create_users": 10, "enrol_users": 10}


@pytest.mark.parametrize(
    "bad_day",
    [
        "create_users:lost-after:nth=2",
        "create_users:lost-before:nth=2",
        "create_users:drop-after:nth=2",
        "create_users:late:nth=2:seconds=0.3",
        # Longer than the look-ups go on: the call is sent again, and the database lets one of the two through.
        "create_users:late:nth=2:seconds=1.5",
        "create_users:html-502:nth=2:done=yes",
        "create_users:short:nth=2:count=2",
        "enrol_users:lost-after:nth=2",
        "enrol_users:lost-before:nth=2",
        "enrol_users:late:nth=2:seconds=0.3",
    ],
)
def test_a_lost_answer_is_looked_up_and_everybody_is_registered_once(academy, people, bad_day):
    terminal = academy(bad_day, keys={"batch_size": 5})
    terminal.roster("new.csv", people(11))

    result = terminal.run("new.csv")

    assert (result.code, result.counts) == (0, {"registered": 11})
    assert result.summary["candidates_created"] == 11
    assert len(members(terminal, "onlyactive")) == 11


@pytest.mark.parametrize(("seed", "batch_size", "options"), [(5, 6, {}), (6, 20, {"max_input_vars": 44})])
def test_after_kill_9_everybody_is_registered_once(academy, people, seed, batch_size, options):
    terminal = academy(slowness=0.2, keys={"batch_size": batch_size}, **options)
    terminal.roster("roster.csv", people(31, external_id=lambda number: f"X-{number}"))
    dice, lms, job = random.Random(seed), terminal.lms, None  # noqa: S311 - dice
    for _ in range(5):
        running = terminal.start("resume", job, "--json") if job else terminal.start("run", "roster.csv", "--json")
        goal = lms.calls() + dice.randint(2, 9)
        lms.until(lambda lms, goal=goal, running=running: lms.calls() >= goal or running.is_over)
        running.kill()
        job = next((each["job"] for each in terminal.jobs()), None)

    result = terminal.resume(job) if job else terminal.run("roster.csv")

    assert (result.code, result.state) == (0, "succeeded"), result.err[-800:]
    assert result.counts.get("registered", 0) + result.counts.get("already_registered", 0) == 31
    assert len(members(terminal, "onlyactive")) == 31
    lms.nobody_twice()


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


def test_a_refused_call_is_cut_in_two_until_the_bad_row_is_alone(academy, people):
    terminal = academy("create_users:reject:marker=poison", keys={"batch_size": 20})
    rows = people(21)
    rows[13]["email"] = "poison@example.com"
    terminal.roster("new.csv", rows)

    result = terminal.run("new.csv")

    assert result.counts == {"registered": 20, "rejected": 1}
    assert result.row(15)["_error_code"] == "candidate_refused"
    assert result.summary["bisected_batches"] == 1


def test_people_are_found_in_any_letter_case_and_by_any_identifier(academy):
    terminal = academy()
    by_mail = a_user(terminal, username="ada", email="Ada.Ahern@Example.com")
    by_number = a_user(terminal, username="ben", firstname="Ben", email="old@example.com", idnumber="N-2")
    by_name = a_user(terminal, username="cai", firstname="Cai", email="cai.old@example.com")
    rows = [
        {"email": "ada.ahern@example.com", "first_name": "Ada", "last_name": "Ahern", "course_id": 58},
        {
            "email": "new@example.com",
            "first_name": "Ben",
            "last_name": "Ahern",
            "external_id": "N-2",
            "course_id": 58,
        },
        {
            "email": "cai@example.com",
            "first_name": "Cai",
            "last_name": "Ahern",
            "login_name": "cai",
            "course_id": 58,
        },
    ]
    terminal.roster("known.csv", rows)

    result = terminal.run("known.csv")

    assert (result.code, result.counts, result.summary["candidates_created"]) == (0, {"registered": 3}, 0)
    assert set(members(terminal, "onlyactive")) == {by_mail, by_number, by_name}


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


def test_rows_that_name_several_people_are_refused_with_their_ids(academy):
    terminal = academy()
    first = a_user(terminal, username="one", email="one@example.com", idnumber="SAME")
    second = a_user(terminal, username="two", email="two@example.com", idnumber="SAME")
    taken = a_user(terminal, username="dee@example.com", email="somebody@example.com", firstname="Zoe")
    a_user(terminal, username="ed", email="ed@example.com", idnumber="E-1")
    named = {"first_name": "Ada", "last_name": "Ahern", "course_id": 58}
    terminal.roster(
        "unclear.csv",
        [
            {"email": "x@example.com", "external_id": "SAME", **named},
            {"email": "two@example.com", "external_id": "E-1", **named},
            {"email": "dee@example.com", **named},
            {"email": "a+b@example.com", **named},
            {"email": "ab@example.com", **named},
            {"email": "ed@example.com", "external_id": "E-9", **named},
        ],
    )

    result = terminal.run("unclear.csv")

    assert result.counts == {"invalid": 6}
    codes = [row["_error_code"] for row in result.rows]
    assert codes == [
        *("ambiguous_candidate", "ambiguous_candidate", "login_name_taken"),
        *("login_name_taken", "login_name_taken", "candidate_exists"),
    ]
    assert f"({first}, {second})" in result.row(2)["_error"]
    assert str(second) in result.row(3)["_error"]
    assert str(taken) in result.row(4)["_error"]
    assert changing(result) == {}


def test_the_user_under_a_candidate_id_is_read_before_anybody_is_enrolled(academy):
    terminal = academy()
    bob = a_user(terminal, username="bob", firstname="Bob", email="bob@example.com", idnumber="AB-1")
    ann = a_user(terminal, username="ann", firstname="Ann", email="ann@example.com")
    gone = a_user(terminal, username="gone", email="gone@example.com")
    ask(terminal, "core_user_delete_users", **{"userids[0]": gone})
    rows = [
        {"candidate_id": bob, "email": "zoe@example.com", "first_name": "Zoe", "last_name": "Zett"},
        {"candidate_id": ann, "email": "ann.new@example.com", "first_name": "Ann", "last_name": "Ahern"},
        {"candidate_id": 77777, "email": "new@example.com", "first_name": "Ned", "last_name": "New"},
        {"candidate_id": gone},
        {"external_id": "ab-1", "email": "bob.new@example.com", "first_name": "Bob", "last_name": "Ahern"},
    ]
    terminal.roster("ids.csv", [row | {"course_id": 58} for row in rows])

    result = terminal.run("ids.csv")

    assert [(row["_status"], row["_error_code"]) for row in result.rows] == [
        ("invalid", "other_person"),
        ("registered", ""),
        ("rejected", "unknown_candidate"),
        ("rejected", "unknown_candidate"),
        ("registered", ""),
    ]
    assert set(members(terminal, "onlyactive")) == {bob, ann}
    assert changing(result) == {"enrol_users": 2}


def test_what_moodle_refuses_is_refused_before_anything_is_sent(academy):
    terminal = academy()
    good = {"email": "ada@example.com", "first_name": "Ada", "last_name": "Ahern", "course_id": 58}
    terminal.roster(
        "wrong.csv",
        [
            good | {"login_name": "OneUp"},
            good | {"first_name": "<b>Bob</b>"},
            good | {"last_name": "x" * 101},
            good | {"email": f"{'a' * 60}@{'b' * 50}.com"},
            good | {"email": "josé@example.com"},
            good | {"action": "complete"},
        ],
    )

    result = terminal.run("wrong.csv")

    assert result.counts == {"invalid": 6}
    assert [row["_column"] for row in result.rows] == [
        *("login_name", "first_name", "last_name", "email", "email", "action")
    ]
    assert result.summary["calls"] == {}


def test_an_enrolment_that_somebody_suspended_is_left_alone_unless_a_person_says_so(academy):
    terminal = academy()
    user = a_user(terminal)
    enrol(terminal, user, role=4, suspend=1)
    row = {"email": "ada@example.com", "first_name": "Ada", "last_name": "Ahern", "course_id": 58}
    terminal.roster("ada.csv", [row])

    # The sandbox counts a suspended enrolment as one.
    refused = terminal.type("run", "ada.csv", "--json")
    code = refused.row(2)["_error_code"]
    left = members(terminal, "onlysuspended")
    activated = terminal.run("ada.csv", "--again")

    assert (refused.counts, code) == ({"rejected": 1}, "enrolment_inactive")
    assert left == {user: [4]}
    assert activated.counts == {"registered": 1}
    assert members(terminal, "onlyactive") == {user: [4]}


def test_what_roster_suspended_is_activated_by_a_later_register(academy, people):
    terminal = academy()
    terminal.roster("new.csv", people(3))
    first = terminal.run("new.csv")

    undone = terminal.type("undo", first.job, "--yes", "--json")
    suspended = members(terminal, "onlysuspended")
    again = terminal.run("new.csv")

    assert undone.counts == {"withdrawn": 3}
    assert list(suspended.values()) == [[5]] * 3
    assert again.counts == {"registered": 3}
    assert len(members(terminal, "onlyactive")) == 3
    assert terminal.type("verify", again.job, "--json").summary["verified"]["confirmed"] == 3


def test_a_withdrawal_that_was_killed_is_read_back_for_all_its_people_together(academy, people):
    terminal = academy(slowness=0.5, keys={"batch_size": 10})
    terminal.roster("new.csv", people(21))
    first = terminal.run("new.csv")
    calls = terminal.lms.calls("enrol_users")
    running = terminal.start("undo", first.job, "--yes", "--json")
    terminal.lms.until(lambda lms: lms.calls("enrol_users") > calls + 1 or running.is_over, "a withdrawal")
    running.kill()
    listed = terminal.lms.calls("list_enrolled")

    undone = terminal.resume(2)

    assert (undone.code, undone.counts) == (0, {"withdrawn": 21})
    assert len(members(terminal, "onlysuspended")) == 21
    assert terminal.lms.calls("list_enrolled") - listed <= 30


def test_a_withdrawal_is_not_claimed_of_somebody_who_is_active_by_another_method(academy):
    terminal = academy(keys={"withdraw": "unenrol"})
    user = a_user(terminal)
    terminal.lms.world.moodle.site.enrol(60, user, "self", role_id=5)
    terminal.roster("ada.csv", [{"email": "ada@example.com", "course_id": 60, "action": "withdraw"}])

    result = terminal.run("ada.csv")

    assert (result.counts, result.row(2)["_error_code"]) == ({"rejected": 1}, "still_active")


def test_people_are_updated_and_deactivated_many_in_a_call(academy):
    terminal = academy()
    ids = [a_user(terminal, username=f"u{n}", email=f"u{n}@example.com", firstname="Ada") for n in range(4)]
    rows = [
        {"email": "u0@example.com", "last_name": "Brown", "action": "update"},
        {"email": "u1@example.com", "last_name": "Ahern", "action": "update"},
        {"email": "u2@example.com", "action": "deactivate"},
        {"email": "u3@example.com", "action": "deactivate"},
        {"email": "nobody@example.com", "action": "deactivate"},
        # The service account: Roster does not lock itself out.
        {"candidate_id": 3, "action": "deactivate"},
    ]
    terminal.roster("steps.csv", rows)

    result = terminal.run("steps.csv")

    assert result.counts == {"updated": 2, "deactivated": 2, "rejected": 2}
    assert result.summary["calls"]["update_users"] == 3  # the first of each action goes alone
    shown = ask(
        terminal, "core_user_get_users_by_field", field="id", **{f"values[{n}]": id_ for n, id_ in enumerate(ids)}
    )
    assert {row["id"]: row["suspended"] for row in shown} == dict(zip(ids, [False, False, True, True], strict=True))


@pytest.mark.parametrize(
    "capability", ["moodle/user:viewdetails", "moodle/user:viewalldetails", "moodle/site:viewuseridentity"]
)
def test_without_a_capability_nobody_is_created_and_it_is_named(academy, people, capability):
    terminal = academy(lacks=frozenset({capability}))
    terminal.roster("new.csv", people(3))

    doctor = terminal.type("doctor")
    result = terminal.run("new.csv")

    assert doctor.code != 0
    assert capability in doctor.out + doctor.err
    assert (result.code, result.state) == (3, "held")
    assert capability in result.summary["reason"]
    assert changing(result) == {}


@pytest.mark.parametrize(
    ("keys", "options", "said"),
    [
        ({}, {"lacks": frozenset({"moodle/user:create"})}, "moodle/user:create"),
        ({"role": 777}, {}, "role"),
        ({}, {"lacks": frozenset({"enrol/manual:enrol"})}, "enrol/manual:enrol"),
        ({}, {"lacks": frozenset({"moodle/course:view"})}, "moodle/course:view"),
        ({}, {"without": frozenset({"core_user_create_users"})}, "core_user_create_users"),
        ({}, {"state": "accessexception"}, "accessexception"),
        ({}, {"state": "wsaccessusersuspended"}, "suspended"),
        ({}, {"state": "sitepolicynotagreed"}, "site policy"),
        ({}, {"state": "forcepasswordchangenotice"}, "password"),
        ({}, {"state": "off"}, "403"),
        ({}, {"wwwroot": "https://moodle.example.com"}, "base_url"),
    ],
)
def test_what_a_person_must_fix_holds_the_job_and_is_said(academy, people, keys, options, said):
    if "state" in options:
        from worker.sandbox.moodle.options import SiteState  # noqa: PLC0415

        options = {"state": SiteState(options["state"])}
    terminal = academy(keys=keys, **options)
    terminal.roster("new.csv", people(3))

    result = terminal.run("new.csv")

    assert (result.code, result.state) == (3, "held")
    assert said in result.summary["reason"]
    assert result.counts == {"not_attempted": 3}
    assert result.summary["candidates_created"] <= 1


def test_courses_are_named_by_id_short_name_full_name_or_id_number(academy, people):
    terminal = academy()
    rows = [
        people(1, first=1)[0] | {"course_id": "", "course_name": "fire"},
        people(1, first=2)[0] | {"course_id": "", "course_name": "First Aid"},
        people(1, first=3)[0] | {"course_id": "", "course_external_id": "C-60"},
        people(1, first=4)[0] | {"course_id": "", "course_name": "Ambiguous"},
        people(1, first=5)[0] | {"course_id": "63"},
        people(1, first=6)[0] | {"course_id": "999"},
    ]
    terminal.roster("courses.csv", rows)

    result = terminal.run("courses.csv")

    assert result.counts == {"registered": 3, "rejected": 3}
    codes = [row["_error_code"] for row in result.rows]
    assert codes[3:] == ["ambiguous_course", "course_refused", "unknown_course"]
    assert "61, 62" in result.row(5)["_error"]


def test_a_custom_field_that_the_site_does_not_have_costs_one_person(academy, people):
    terminal = academy(keys={"batch_size": 5})
    terminal.roster("good.csv", people(6, **{"field:staffid": lambda number: f"S-{number}"}))
    terminal.roster("bad.csv", people(6, first=11, **{"field:nosuch": "1"}))

    good = terminal.run("good.csv")
    bad = terminal.run("bad.csv")

    assert good.counts == {"registered": 6}
    assert (bad.code, bad.summary["candidates_created"]) == (3, 1)
    assert "nosuch" in bad.summary["reason"]


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


def test_over_the_queue_a_killed_worker_loses_nobody_and_the_course_is_compared_once(academy, queue, people):
    terminal = academy(slowness=0.3, keys={"batch_size": 5})
    line = queue(terminal)
    line.beat()
    victim, _ = line.worker(), line.worker()
    terminal.roster("new.csv", people(41))
    job = line.submit("new.csv")

    line.until(lambda: terminal.lms.calls("create_users") >= 3, "people to be created")
    victim.kill()
    (result,) = line.ended(job)

    assert result.counts == {"registered": 41}
    assert len(members(terminal, "onlyactive")) == 41


@pytest.mark.parametrize("state", ["sitemaintenance", "upgraderunning", "dbconnectionfailed"])
def test_a_site_that_is_closed_for_a_while_is_waited_for(academy, people, state):
    from worker.sandbox.moodle.options import SiteState  # noqa: PLC0415

    terminal = academy(state=SiteState(state))
    terminal.roster("new.csv", people(3))
    running = terminal.start("run", "new.csv", "--json")
    terminal.lms.until(lambda lms: lms.calls() > 0 or running.is_over, "the first call")
    terminal.lms.world.moodle.state = SiteState.WELL

    result = running.result()

    assert (result.code, result.counts) == (0, {"registered": 3})


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


@pytest.mark.parametrize("faults", [(), ("update_users:lost-after:nth=3",)])
def test_an_account_that_roster_suspended_is_activated_by_a_later_register(academy, faults):
    terminal = academy(*faults)
    ours = a_user(terminal, username="ours", email="ours@example.com")
    theirs = a_user(terminal, username="theirs", email="theirs@example.com", firstname="Ben")
    ask(terminal, "core_user_update_users", **{"users[0][id]": theirs, "users[0][suspended]": 1})
    terminal.roster("out.csv", [{"email": "ours@example.com", "action": "deactivate"}])
    named = {"last_name": "Ahern", "course_id": 58}
    terminal.roster(
        "back.csv",
        [
            {"email": "ours@example.com", "first_name": "Ada", **named},
            {"email": "theirs@example.com", "first_name": "Ben", **named},
        ],
    )

    out = terminal.run("out.csv")
    back = terminal.run("back.csv")
    shown = ask(terminal, "core_user_get_users_by_field", **{"field": "id", "values[0]": ours, "values[1]": theirs})

    assert (out.counts, back.counts) == ({"deactivated": 1}, {"registered": 1, "rejected": 1})
    assert (back.row(2)["_status"], back.row(3)["_error_code"]) == ("registered", "account_suspended")
    assert {row["id"]: row["suspended"] for row in shown} == {ours: False, theirs: True}
    assert set(members(terminal, "onlyactive")) == {ours}
    assert back.summary["candidates_created"] == 0
    again = terminal.type("verify", out.job, "--json").summary["verified"]
    assert again["confirmed"] == 0


def test_an_activation_that_was_killed_is_done_by_the_next_run(academy):
    terminal = academy("update_users:hold:after=1")
    ours = a_user(terminal, username="ours", email="ours@example.com")
    terminal.roster("out.csv", [{"email": "ours@example.com", "action": "deactivate"}])
    row = {"email": "ours@example.com", "first_name": "Ada", "last_name": "Ahern", "course_id": 58}
    terminal.roster("back.csv", [row])
    terminal.run("out.csv")
    running = terminal.start("run", "back.csv", "--json")
    terminal.lms.until(lambda lms: lms.calls("find_courses") == 1 or running.is_over, "the course")
    # Killed before or after the call was sent: the account may be suspended or not.
    running.kill()
    terminal.lms.rules()

    result = terminal.resume(2)

    assert result.counts == {"registered": 1}
    (shown,) = ask(terminal, "core_user_get_users_by_field", **{"field": "id", "values[0]": ours})
    assert not shown["suspended"]
    assert set(members(terminal, "onlyactive")) == {ours}
