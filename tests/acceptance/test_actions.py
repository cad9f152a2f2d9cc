"""The actions of a row other than a registration, on KMI: approve, complete, withdraw, update, deactivate.

The state is read before each call and after a lost answer: each action is done once, and never sent needlessly.
"""

from __future__ import annotations

import pytest

REGISTRATION_ACTIONS = {"approve": "approved", "complete": "completed", "withdraw": "withdrawn"}
PERSON_ACTIONS = {"update": "updated", "deactivate": "deactivated"}
DONE_AS = REGISTRATION_ACTIONS | PERSON_ACTIONS
#: The sandbox's name of an action's call.
CALLS = {"update": "update_user", "deactivate": "delete_user"}
SHOWN = {"approve": "Approved", "complete": "Completed", "withdraw": "Withdrawn"}
SEED_COUNT = 8
#: Further ways in which a response is lost or confirms nothing; the work done or not.
OTHERWISE_LOST = (
    "drop-before",
    "timeout-after:seconds=20",
    "html-502",
    "html-502:done=yes",
    "202",
    "202:done=no",
    "error-200:done=yes",
)
#: Short pauses: an LMS that does not lag needs no waiting.
SHORT_PAUSES = [0.05, 0.2]


def call_of(action):
    return CALLS.get(action, action)


def seeds(count, **columns):
    """Return rows with the external ids of the sandbox's own people, who are all registered on course 58."""
    return [{"external_id": f"P-{number}", "course_id": "58", **columns} for number in range(1, count + 1)]


@pytest.fixture
def open_kmi(sandbox, office):
    """Open an office at a KMI with people who are registered on course 58."""

    def start(*bad_days, connection=None, **options):
        lms = sandbox(
            **{"seed_users": SEED_COUNT, "registered": [f"58:1-{SEED_COUNT}"], "bad_days": bad_days, **options}
        )
        return lms, office(lms, "kmi", **{"lookup_pauses": SHORT_PAUSES, **(connection or {})})

    return start


def statuses(lms, course="58"):
    return [each["status"] for each in lms.look("registrations") if str(each["course_id"]) == course]


def is_done(lms, action, count):
    """Return whether the LMS shows that an action was done for the first `count` people."""
    if action in SHOWN:
        return statuses(lms)[:count] == [SHOWN[action]] * count
    users = lms.look("candidates")[:count]
    if action == "update":
        return [each["fields"].get("city") for each in users] == ["Delft"] * count
    return all(each["deleted"] for each in users)


def roster_of(terminal, action, count=4, **columns):
    asked = {"action": action, **columns}
    if action in PERSON_ACTIONS:
        asked["course_id"] = ""
    if action == "update":
        asked["city"] = "Delft"
    terminal.roster("roster.csv", seeds(count, **asked))


# Each of them


@pytest.mark.parametrize("action", DONE_AS)
def test_each_action_is_done_once_and_the_second_upload_sends_nothing(open_kmi, action):
    lms, terminal = open_kmi()
    roster_of(terminal, action)

    first = terminal.run("roster.csv")

    assert (first.code, first.counts) == (0, {DONE_AS[action]: 4})
    assert is_done(lms, action, 4)
    assert lms.changes == {call_of(action): 4}
    second = terminal.run("roster.csv")
    assert (second.code, second.counts) == (0, {DONE_AS[action]: 4})
    assert lms.changes == {call_of(action): 4}, "it is so already"


def test_set_gives_every_row_its_action_with_score_and_success(open_kmi):
    lms, terminal = open_kmi()
    terminal.roster("roster.csv", seeds(3))

    result = terminal.run("roster.csv", "--set", "action=complete", "--set", "score=87,5", "--set", "success=yes")

    assert (result.code, result.counts) == (0, {"completed": 3})
    found = [(each["status"], each["score"], each["success"]) for each in lms.look("registrations")[:3]]
    assert found == [("Completed", 87.5, True)] * 3


def test_another_score_is_sent_and_the_same_is_not(open_kmi):
    lms, terminal = open_kmi()
    roster_of(terminal, "complete", score="40")
    terminal.run("roster.csv")
    roster_of(terminal, "complete", score="60")

    result = terminal.run("roster.csv")

    assert result.counts == {"completed": 4}
    assert lms.changes == {"complete": 8}
    assert {each["score"] for each in lms.look("registrations")[:4]} == {60}


def test_one_roster_runs_all_actions_of_a_registration_in_order(sandbox, office, people):
    lms = sandbox()
    terminal = office(lms, "kmi")
    rows = people(3, login_name=lambda number: f"login{number}", external_id=lambda number: f"X-{number}")
    steps = ("withdraw", "complete", "approve", "register")
    terminal.roster("roster.csv", [row | {"action": step} for step in steps for row in rows])

    result = terminal.type("run", "roster.csv", "--json")

    assert (result.code, result.state) == (0, "succeeded")
    assert result.counts == {"withdrawn": 3, "completed": 3, "approved": 3, "registered": 3}
    assert lms.changes == dict.fromkeys(("create_user", "create_registration", *REGISTRATION_ACTIONS), 3)
    assert lms.calls("find_registration", "list_registrations") == 0, "what this job made need not be looked at"


def test_the_same_action_twice_is_a_duplicate_and_another_is_not(open_kmi):
    lms, terminal = open_kmi()
    terminal.roster(
        "roster.csv", [*seeds(1, action="approve"), *seeds(1, action="approve"), *seeds(1, action="complete")]
    )

    result = terminal.run("roster.csv")

    assert [row["_status"] for row in result.rows] == ["approved", "skipped", "completed"]
    assert result.rows[1]["_error_code"] == "duplicate_row"
    assert lms.changes == {"approve": 1, "complete": 1}


def test_a_withdrawn_person_may_be_registered_again_with_a_new_key(sandbox, office, people):
    lms = sandbox()
    terminal = office(lms, "kmi")
    rows = people(2, login_name=lambda number: f"login{number}")
    for action in ("register", "withdraw", "register", "withdraw", "register"):
        terminal.roster("roster.csv", [row | {"action": action} for row in rows])
        assert terminal.run("roster.csv").code == 0

    keys = [each["external_id"] for each in lms.look("registrations")]
    assert statuses(lms) == ["Withdrawn"] * 4 + ["Not Started"] * 2
    assert len(set(keys)) == 6
    assert [key[-2:] for key in keys[2:]] == ["-2", "-2", "-3", "-3"]


def test_a_registration_that_an_lms_does_not_show_any_more_is_still_withdrawn(open_kmi):
    lms, terminal = open_kmi(list_withdrawn=False)
    roster_of(terminal, "withdraw")
    terminal.run("roster.csv")

    assert terminal.run("roster.csv").counts == {"withdrawn": 4}
    assert lms.changes == {"withdraw": 4}


# How a row identifies the person and the registration


@pytest.mark.parametrize(
    "named",
    [
        {"candidate_id": "1001", "course_id": "58"},
        {"external_id": "P-1", "course_name": "Fire Safety"},
        {"email": " PERSON1@example.com", "course_id": "58"},
    ],
)
def test_a_registration_made_by_hand_is_found_by_person_and_course(open_kmi, named):
    lms, terminal = open_kmi()
    terminal.roster("roster.csv", [named | {"action": "complete"}])

    assert terminal.run("roster.csv").counts == {"completed": 1}
    assert statuses(lms)[0] == "Completed"


def test_a_registration_of_ours_is_found_under_its_key_by_a_ledger_that_never_saw_it(sandbox, office, people):
    lms = sandbox()
    rows = people(2, login_name=lambda number: f"login{number}", external_id=lambda number: f"X-{number}")
    named = [row | {"course_id": "", "course_external_id": "C-58"} for row in rows]
    first = office(lms, "kmi")
    first.roster("roster.csv", named)
    first.run("roster.csv")
    second = office(lms, "kmi")
    second.roster("roster.csv", [row | {"action": "complete"} for row in named])

    assert second.run("roster.csv").counts == {"completed": 2}
    assert statuses(lms) == ["Completed"] * 2


def test_the_rosters_own_id_names_the_registration_and_must_match_the_person_and_course(sandbox, office, people):
    lms = sandbox()
    terminal = office(lms, "kmi")
    rows = people(
        2, login_name=lambda number: f"login{number}", registration_external_id=lambda number: f"R/{number}"
    )
    terminal.roster("roster.csv", rows)
    terminal.run("roster.csv")
    elsewhere = rows[0] | {"course_id": "59"}
    swapped = rows[1] | {"registration_external_id": "R/1"}
    terminal.roster("steps.csv", [row | {"action": "complete"} for row in (rows[0], elsewhere, swapped)])

    result = terminal.type("run", "steps.csv", "--json")

    assert [row["_status"] for row in result.rows] == ["completed", "rejected", "rejected"]
    assert {row["_error_code"] for row in result.rows[1:]} == {"registration_mismatch"}
    assert statuses(lms) == ["Completed", "Not Started"]


# Kinds of refusal


def test_impossible_actions_are_distinguished_and_nothing_is_sent(open_kmi):
    lms, terminal = open_kmi(registered=["58:1-4"])
    roster_of(terminal, "withdraw", 1)
    terminal.run("roster.csv")
    terminal.roster(
        "steps.csv",
        [
            {"external_id": "P-1", "course_id": "58", "action": "complete"},
            {"external_id": "P-5", "course_id": "58", "action": "complete"},
            {"external_id": "P-5", "course_id": "58", "action": "withdraw"},
            {"external_id": "Nobody", "course_id": "58", "action": "approve"},
            {"email": "nobody@example.com", "action": "update", "city": "Delft"},
            {"candidate_id": "99", "action": "deactivate"},
            {"external_id": "P-2", "course_external_id": "C-58", "action": "complete"},
        ],
    )

    result = terminal.type("run", "steps.csv", "--json")

    assert result.code == 1
    assert [row["_error_code"] for row in result.rows] == [
        "registration_withdrawn",
        "not_registered",
        "not_registered",
        "unknown_candidate",
        "unknown_candidate",
        "unknown_candidate",
        "registration_not_found",
    ]
    assert all(row["_error"] for row in result.rows)
    assert lms.changes == {"withdraw": 1}


def test_of_two_registrations_on_a_course_none_is_chosen(sandbox, office):
    lms = sandbox(seed_users=1, registered=["58:1", "58:1"])
    lms.take_as_given()
    terminal = office(lms, "kmi")
    roster_of(terminal, "complete", 1)

    result = terminal.run("roster.csv")

    assert [row["_error_code"] for row in result.rows] == ["ambiguous_registration"]
    assert lms.changes == {}


@pytest.mark.parametrize(
    ("action", "what", "code"),
    [
        ("complete", "403", "not_allowed"),
        ("complete", "422", "action_refused"),
        ("approve", "404", "not_registered"),
        ("update", "reject", "update_refused"),
        ("deactivate", "reject", "deactivation_refused"),
    ],
)
def test_a_refusal_has_its_own_code_and_stops_no_other_row(open_kmi, action, what, code):
    lms, terminal = open_kmi(f"{call_of(action)}:{what}:nth=2")
    roster_of(terminal, action)

    result = terminal.run("roster.csv")

    assert result.counts == {DONE_AS[action]: 3, "rejected": 1}
    assert [row["_error_code"] for row in result.failed] == [code]
    assert lms.changes == {call_of(action): 4}
    again = terminal.run(result.report(".failed.csv"))
    assert (again.code, again.counts) == (0, {DONE_AS[action]: 1})


def test_already_done_according_to_the_lms_is_accepted_when_its_state_shows_it(open_kmi):
    """409 to a completion: refused as done already, but the state shows that it was not."""
    _, terminal = open_kmi("complete:409:nth=1")
    roster_of(terminal, "complete")

    result = terminal.run("roster.csv")

    assert result.counts == {"completed": 3, "rejected": 1}
    assert [row["_error_code"] for row in result.failed] == ["action_refused"]


def test_a_completed_registration_is_not_approved_back(open_kmi):
    lms, terminal = open_kmi()
    roster_of(terminal, "complete")
    terminal.run("roster.csv")
    roster_of(terminal, "approve")

    assert terminal.run("roster.csv").counts == {"approved": 4}
    assert lms.changes == {"complete": 4}
    assert statuses(lms)[:4] == ["Completed"] * 4


def test_similar_refusals_in_a_row_hold_the_job(open_kmi):
    lms, terminal = open_kmi("complete:422", connection={"breaker": 3, "max_in_flight": 2})
    roster_of(terminal, "complete", SEED_COUNT)

    result = terminal.run("roster.csv")

    assert (result.code, result.state) == (3, "held")
    assert lms.changes["complete"] < SEED_COUNT
    lms.rules()
    assert terminal.type("retry", result.job, "--rejected", "--json").counts == {"completed": SEED_COUNT}


# People


def test_an_update_sends_what_differs_and_custom_fields_and_leaves_the_rest(open_kmi):
    lms, terminal = open_kmi()
    columns = {
        "external_id": "P-1",
        "city": "Delft",
        "zip": "",
        "field:ovFormWithInput12": "blue",
        "action": "update",
    }
    terminal.roster("roster.csv", [columns])

    assert terminal.run("roster.csv").counts == {"updated": 1}

    assert lms.look("candidates")[0]["fields"] == {
        "email": "person1@example.com",
        "firstName": "Person",
        "lastName": "Number 1",
        "loginName": "person1",
        "city": "Delft",
        "ovFormWithInput12": "blue",
    }
    assert lms.by_operation("update_user", "find_user") == {"update_user": 1, "find_user": 1}


def test_update_existing_updates_people_and_registers_them(open_kmi, people):
    lms, terminal = open_kmi(registered=["58:1-2"])
    rows = [*seeds(4, city="Delft"), *people(2, login_name=lambda number: f"login{number}")]
    terminal.roster("roster.csv", rows)

    result = terminal.run("roster.csv", "--update-existing")

    assert (result.code, result.counts) == (0, {"registered": 4, "already_registered": 2})
    assert lms.changes == {"update_user": 4, "create_user": 2, "create_registration": 4}
    assert is_done(lms, "update", 4)
    second = terminal.run("roster.csv", "--update-existing")
    assert second.counts == {"already_registered": 6}
    assert lms.changes["update_user"] == 4, "nothing differs any more"


def test_without_update_existing_no_person_is_changed(open_kmi):
    lms, terminal = open_kmi(registered=[])
    terminal.roster("roster.csv", seeds(2, city="Delft"))

    assert terminal.run("roster.csv").counts == {"registered": 2}
    assert lms.changes == {"create_registration": 2}


def test_a_person_who_cannot_be_updated_is_not_registered_either(open_kmi):
    lms, terminal = open_kmi("update_user:reject:nth=2", registered=[])
    terminal.roster("roster.csv", seeds(4, city="Delft"))

    result = terminal.run("roster.csv", "--update-existing")

    assert result.counts == {"registered": 3, "rejected": 1}
    assert [row["_error_code"] for row in result.failed] == ["update_refused"]
    assert lms.changes == {"update_user": 4, "create_registration": 3}


def test_a_person_on_two_courses_is_updated_once(open_kmi):
    lms, terminal = open_kmi(registered=[])
    terminal.roster(
        "roster.csv", [row | {"course_id": course} for course in ("58", "59") for row in seeds(3, city="Delft")]
    )

    assert terminal.run("roster.csv", "--update-existing").counts == {"registered": 6}
    assert lms.changes == {"update_user": 3, "create_registration": 6}


def test_a_deactivated_person_is_created_again_to_be_registered(sandbox, office, people):
    lms = sandbox()
    terminal = office(lms, "kmi")
    rows = people(2, login_name=lambda number: f"login{number}")
    for action, course in (("register", "58"), ("deactivate", ""), ("register", "59")):
        terminal.roster("roster.csv", [row | {"action": action, "course_id": course} for row in rows])
        assert terminal.type("run", "roster.csv", "--json").code == 0

    assert lms.changes == {"create_user": 4, "create_registration": 4, "delete_user": 2}
    assert sorted(lms.people) == sorted(row["email"] for row in rows)


# In doubt


@pytest.mark.parametrize(
    ("action", "what"),
    [
        *((action, what) for action in DONE_AS for what in ("lost-after", "lost-before", "drop-after")),
        *((action, what) for action in ("complete", "deactivate") for what in OTHERWISE_LOST),
    ],
)
def test_a_lost_answer_is_read_back_and_only_what_was_not_done_is_sent_again(open_kmi, action, what):
    seconds = 0.7 if "timeout" in what else 30
    lms, terminal = open_kmi(f"{call_of(action)}:{what}:nth=2", connection={"timeout_seconds": seconds})
    roster_of(terminal, action)

    result = terminal.run("roster.csv")

    assert (result.code, result.counts) == (0, {DONE_AS[action]: 4})
    assert is_done(lms, action, 4)
    undone = what in {"lost-before", "drop-before", "html-502", "202:done=no"}
    assert lms.changes == {call_of(action): 4 + undone}


@pytest.mark.parametrize("action", DONE_AS)
def test_an_lms_that_lags_behind_its_own_writes_is_read_again(open_kmi, action):
    connection = {"lookup_pauses": [0.1, 1.5]}
    lms, terminal = open_kmi(f"{call_of(action)}:lost-after:nth=2", lag=1.0, connection=connection)
    roster_of(terminal, action)

    result = terminal.run("roster.csv")

    assert (result.code, result.counts) == (0, {DONE_AS[action]: 4})
    assert lms.changes == {call_of(action): 4}


def test_a_registration_that_appears_late_is_not_reported_absent(sandbox, office, people):
    """According to the ledger it was made: the list may not show it yet."""
    lms = sandbox(lag=1.5)
    terminal = office(lms, "kmi")
    rows = people(3, login_name=lambda number: f"login{number}", external_id=lambda number: f"X-{number}")
    terminal.roster("roster.csv", rows)
    terminal.run("roster.csv")
    terminal.roster("roster.csv", [row | {"action": "complete"} for row in rows])

    assert terminal.run("roster.csv").counts == {"completed": 3}


@pytest.mark.parametrize("action", DONE_AS)
def test_a_call_that_is_lost_every_time_is_not_sent_forever(open_kmi, action):
    lms, terminal = open_kmi(f"{call_of(action)}:lost-before")
    roster_of(terminal, action, 1)

    result = terminal.run("roster.csv")

    assert (result.code, result.counts) == (1, {"not_attempted": 1})
    assert lms.changes == {call_of(action): 3}
    lms.rules()
    assert terminal.resume(result.job).code in {0, 1}
    assert terminal.type("retry", result.job, "--json").counts == {DONE_AS[action]: 1}


@pytest.mark.parametrize("action", DONE_AS)
@pytest.mark.parametrize("done", [True, False])
def test_killed_in_the_middle_of_a_call_it_is_read_back_at_resume(open_kmi, action, done):
    """Kill -9 while the response of the second call is delayed, its work done or not."""
    what = "timeout-after:seconds=20" if done else "drop-before"
    lms, terminal = open_kmi(f"{call_of(action)}:{what}:nth=2", connection={"lookup_pauses": [0.1, 0.3]})
    roster_of(terminal, action, 3)
    if not done:
        # The call is cut off, and the process dies while it waits to look.
        terminal.connect(lms.url, "kmi", lookup_pauses=[8.0])

    running = terminal.start("run", "roster.csv", "--json")
    lms.until(lambda lms: lms.calls(call_of(action)) >= 3, "the third call")
    wait = 0.3
    assert not running.over_within(wait)
    running.kill()
    terminal.connect(lms.url, "kmi", lookup_pauses=[0.1, 0.3])
    (job,) = terminal.jobs()
    before = lms.calls(call_of(action))
    result = terminal.resume(job["job"])

    assert (result.code, result.counts) == (0, {DONE_AS[action]: 3})
    assert is_done(lms, action, 3)
    assert lms.calls(call_of(action)) == before + (not done)


@pytest.mark.parametrize("what", ["lost-after", "lost-before"])
def test_a_lost_update_on_the_way_to_a_registration_is_read_back(open_kmi, what):
    lms, terminal = open_kmi(f"update_user:{what}:nth=2", registered=["58:1-2"])
    terminal.roster("roster.csv", seeds(4, city="Delft"))

    result = terminal.run("roster.csv", "--update-existing")

    assert (result.code, result.counts) == (0, {"registered": 2, "already_registered": 2})
    assert is_done(lms, "update", 4)
    assert lms.changes == {"update_user": 4 + (what == "lost-before"), "create_registration": 2}


@pytest.mark.parametrize("what", ["lost-after", "lost-before", "drop-after"])
def test_a_lost_registration_after_a_withdrawal_is_found_under_its_new_key(sandbox, office, people, what):
    lms = sandbox()
    terminal = office(lms, "kmi")
    rows = people(2, login_name=lambda number: f"login{number}")
    for action in ("register", "withdraw"):
        terminal.roster("roster.csv", [row | {"action": action} for row in rows])
        terminal.run("roster.csv")
    lms.rules(f"create_registration:{what}:nth=1")
    terminal.roster("roster.csv", rows)

    result = terminal.run("roster.csv")

    assert (result.code, result.counts) == (0, {"registered": 2})
    assert lms.changes["create_registration"] == 4 + (what == "lost-before")
    assert sorted(statuses(lms)) == ["Not Started"] * 2 + ["Withdrawn"] * 2


@pytest.mark.parametrize(
    ("action", "option"), [("complete", "--registration-id"), ("deactivate", "--candidate-id")]
)
def test_what_cannot_be_read_back_waits_for_a_person(open_kmi, action, option):
    """The call is lost, and from then on the LMS refuses every read."""
    lms, terminal = open_kmi(
        f"{call_of(action)}:lost-after:nth=1", "*:403:after=99", connection={"lookup_pauses": [1.0]}
    )
    roster_of(terminal, action, 2)
    running = terminal.start("run", "roster.csv", "--json")
    lms.until(lambda lms: lms.calls(call_of(action)) >= 1)
    lms.rules("find_registration:403", "find_user:403", "list_registrations:403")

    result = running.result()

    assert result.code == 1
    assert "in_doubt" in result.counts
    row = result.with_status("in_doubt")[0]["_row"]
    assert lms.calls(call_of(action)) <= 2, "nothing in doubt is sent again"
    wrong = "--candidate-id" if option == "--registration-id" else "--registration-id"
    assert terminal.type("resolve", result.job, row, wrong, "1").code == 2
    assert terminal.type("resolve", result.job, row, option, "1001").code == 0
    report = terminal.type("report", result.job, "--json")
    assert report.row(row)["_status"] == DONE_AS[action]


# What they cost


def test_many_rows_of_a_course_are_read_by_its_list(sandbox, office):
    lms = sandbox(seed_users=150, registered=["58:1-150"])
    terminal = office(lms, "kmi")
    terminal.roster("roster.csv", seeds(150, action="complete"))

    result = terminal.run("roster.csv")

    assert result.counts == {"completed": 150}
    assert lms.changes == {"complete": 150}
    reads = lms.by_operation("find_registration", "list_registrations", "find_user", "list_users")
    assert sum(reads.values()) <= 12, reads


def test_a_course_by_name_is_read_by_its_list_once_its_id_is_known(sandbox, office):
    lms = sandbox(seed_users=30, registered=["58:1-30"])
    terminal = office(lms, "kmi")
    terminal.roster("roster.csv", seeds(30, course_id="", course_name="Fire Safety", action="complete"))

    assert terminal.run("roster.csv").counts == {"completed": 30}
    assert lms.calls("find_registration", "list_registrations") <= 4


def test_check_says_how_many_calls_actions_take_and_sends_nothing(open_kmi):
    lms, terminal = open_kmi()
    roster_of(terminal, "complete")

    result = terminal.type("check", "roster.csv", "--json")

    assert result.code == 0
    assert "4 to 9 calls" in result.err
    assert lms.calls() == 0


def test_tahdah_offers_none_of_them(sandbox, office, people):
    lms = sandbox()
    terminal = office(lms)
    terminal.roster("roster.csv", [row | {"action": action} for action in DONE_AS for row in people(1)])

    result = terminal.run("roster.csv")

    assert result.counts == {"invalid": len(DONE_AS)}
    assert {row["_error_code"] for row in result.rows} == {"action_not_supported"}
    terminal.people("people.csv", 2)
    refused = terminal.type("run", "people.csv", "--update-existing")
    assert refused.code == 2
    assert "--update-existing" in refused.err
    assert lms.calls() == 0
