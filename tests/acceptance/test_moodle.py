"""Moodle, against the pretend one: as few calls as possible, nobody twice, lost or in doubt, and no harm done."""

from __future__ import annotations

import random

import pytest

from tests.moodle_site import a_user, ask, changing, enrol, members


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
