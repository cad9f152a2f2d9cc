"""Verify: a job's results are compared with the LMS; differences are in the report, and nothing is sent."""

from __future__ import annotations

import pytest

#: Short pauses: an LMS that does not lag needs no waiting.
SHORT_PAUSES = [0.05, 0.1]
FIRST_COUNTS = {"confirmed": 0, "differs": 0, "cannot_be_verified": 0}


def verified(result):
    return {verdict: count for verdict, count in result.summary["verified"].items() if count}


@pytest.fixture
def kmi(sandbox, office, people):
    """Open an office at a KMI, and register `count` new people there."""

    def start(count=6, connection=None, course=None, **options):
        lms = sandbox(**options)
        terminal = office(lms, "kmi", **{"lookup_pauses": SHORT_PAUSES, **(connection or {})})
        rows = people(count, login_name=lambda number: f"login{number}", **(course or {}))
        result = terminal.run(terminal.roster("roster.csv", rows))
        assert result.counts == {"registered": count}
        return lms, terminal, result

    return start


def verify(terminal, job, *words):
    return terminal.balanced(terminal.type("verify", job, "--json", *words))


def by_hand(lms, method, path, **body):
    """Change something at the LMS without Roster."""
    keys = {"X-Api-Key": "sandbox-key", "X-Api-Secret": "sandbox-secret"}
    lms.client.request(method, f"/api/v2{path}", headers=keys, json=body or None).raise_for_status()


def withdraw(lms, row):
    by_hand(lms, "POST", f"/registrations/{row['_registration_id']}/withdraw/")


def test_what_the_lms_shows_is_confirmed_by_the_list_of_the_course_and_nothing_is_sent(kmi):
    lms, terminal, result = kmi(count=30)
    calls, changes = lms.calls(), lms.changes

    checked = verify(terminal, result.job)

    assert (checked.code, checked.counts) == (0, {"registered": 30})
    assert checked.summary["verified"] == FIRST_COUNTS | {"confirmed": 30}
    assert lms.changes == changes
    assert lms.calls() - calls == 1
    assert sum(checked.summary["calls"].values()) == lms.calls()
    assert not any(row["_error"] for row in checked.rows)


def test_a_job_that_was_never_verified_does_not_mention_it(kmi):
    _, terminal, result = kmi(count=1)

    assert result.summary["verified"] is None
    assert terminal.status(result.job)["verified"] is None


def test_a_person_withdrawn_by_hand_is_in_the_report_and_is_not_registered_again_automatically(kmi):
    lms, terminal, result = kmi()
    gone = result.rows[2]
    withdraw(lms, gone)
    changes = lms.changes

    checked = verify(terminal, result.job)

    assert (checked.code, verified(checked)) == (1, {"confirmed": 5, "differs": 1})
    assert checked.counts == {"registered": 6}, "it was registered by this job, and the books balance"
    row = checked.row(gone["_row"])
    assert (row["_status"], row["_error_code"]) == ("registered", "verified_otherwise")
    assert "Withdrawn" in row["_error"]
    assert "--again" in row["_error"]
    again = terminal.resume(result.job)
    terminal.type("run", "roster.csv")
    assert (again.code, lms.changes) == (0, changes)


def test_the_file_of_differences_can_be_uploaded_and_restores_the_state(kmi, read_csv):
    lms, terminal, result = kmi()
    gone = [result.rows[1], result.rows[4]]
    for row in gone:
        withdraw(lms, row)
    checked = verify(terminal, result.job)
    differing = checked.report(".differs.csv")
    assert [row["_row"] for row in read_csv(differing)] == [row["_row"] for row in gone]

    uploaded = terminal.run(differing, "--again")

    assert (uploaded.code, uploaded.counts) == (0, {"registered": 2})
    assert len(lms.standing) == 6
    healed = terminal.type("verify", result.job, "--json")
    assert (healed.code, verified(healed)) == (0, {"confirmed": 6})
    assert not differing.exists()
    assert not any(row["_error"] for row in healed.rows)


def test_a_person_whom_the_lms_no_longer_knows_is_absent(kmi):
    lms, terminal, result = kmi(list_withdrawn=False)
    withdraw(lms, result.row(4))
    made = lms.world.kmi.registrations
    del made.all[int(result.row(4)["_registration_id"])]
    made._by_external_id.clear()

    checked = verify(terminal, result.job)

    assert (checked.code, verified(checked)) == (1, {"confirmed": 5, "differs": 1})
    assert checked.row(4)["_error_code"] == "verified_absent"


def test_an_lms_that_lags_behind_its_own_writes_is_read_again(kmi):
    _, terminal, result = kmi(lag=1.2, connection={"lookup_pauses": [0.2, 2.0]})

    checked = verify(terminal, result.job)

    assert (checked.code, verified(checked)) == (0, {"confirmed": 6})


def test_another_id_at_the_lms_is_reported(kmi):
    lms, terminal, result = kmi()
    row = result.rows[0]
    withdraw(lms, row)
    by_hand(lms, "POST", "/registrations/", courseId=58, userId=int(row["_candidate_id"]))

    checked = verify(terminal, result.job)

    assert verified(checked) == {"confirmed": 5, "differs": 1}
    assert "another id" in checked.row(row["_row"])["_error"]


@pytest.mark.parametrize("named", [{"course_name": "Fire Safety"}, {"course_external_id": "C-58"}])
def test_a_course_by_name_or_external_id_is_read_by_its_list_once_its_id_is_known(kmi, named):
    lms, terminal, result = kmi(count=20, course={"course_id": "", **named})
    calls = lms.calls()

    checked = verify(terminal, result.job)

    assert (checked.code, verified(checked)) == (0, {"confirmed": 20})
    assert lms.calls() - calls <= 2


@pytest.mark.parametrize(
    ("action", "differs"),
    [
        ("approve", "Approved"),
        ("complete", "Completed"),
        ("withdraw", "Withdrawn"),
        ("update", "city"),
        ("deactivate", ""),
    ],
)
def test_every_action_is_read_back(sandbox, office, action, differs):
    lms = sandbox(seed_users=6, registered=["58:1-6"])
    terminal = office(lms, "kmi", lookup_pauses=SHORT_PAUSES)
    columns = {"action": action, "city": "Delft"} if action == "update" else {"action": action}
    terminal.roster("roster.csv", [{"external_id": f"P-{n}", "course_id": "58", **columns} for n in range(1, 6)])
    job = terminal.run("roster.csv").job
    changes = lms.changes

    checked = verify(terminal, job)

    assert (checked.code, verified(checked)) == (0, {"confirmed": 5})
    assert lms.changes == changes
    _change_back(lms, action)
    checked = verify(terminal, job)
    assert (checked.code, verified(checked)) == (1, {"confirmed": 4, "differs": 1})
    assert checked.row(2)["_error_code"] == "verified_otherwise"


def _change_back(lms, action):
    """Revert the first person's action in the sandbox's own memory: the API has no call for it."""
    from worker.sandbox.kmi_registrations import Status  # noqa: PLC0415

    user = lms.world.kmi.people.users[1001]
    if action == "update":
        user.fields["city"] = "Gouda"
    elif action == "deactivate":
        user.deleted = False
    else:
        lms.world.kmi.registrations.all[100_500].status = Status.NOT_STARTED


def test_what_the_same_roster_did_later_is_not_a_difference(sandbox, office, people):
    lms = sandbox()
    terminal = office(lms, "kmi", lookup_pauses=SHORT_PAUSES)
    rows = people(3, login_name=lambda number: f"login{number}", external_id=lambda number: f"X-{number}")
    steps = ("register", "approve", "complete", "withdraw")
    terminal.roster("roster.csv", [row | {"action": step, "score": "80"} for step in steps for row in rows])
    job = terminal.type("run", "roster.csv", "--json").job

    checked = terminal.type("verify", job, "--json")

    assert (checked.code, verified(checked)) == (0, {"confirmed": 12})


def test_an_undone_job_is_confirmed_as_undone(kmi):
    _, terminal, result = kmi(count=3)
    undone = terminal.type("undo", result.job, "--json")

    assert terminal.type("verify", result.job, "--json").code == 0
    assert terminal.type("verify", undone.job, "--json").code == 0


def test_a_later_score_replaces_the_earlier(sandbox, office):
    lms = sandbox(seed_users=2, registered=["58:1-2"])
    terminal = office(lms, "kmi", lookup_pauses=SHORT_PAUSES)
    jobs = []
    for score in ("40", "60"):
        rows = [{"external_id": f"P-{n}", "course_id": "58", "action": "complete", "score": score} for n in (1, 2)]
        jobs.append(terminal.run(terminal.roster("roster.csv", rows)).job)

    assert [terminal.type("verify", job, "--json").code for job in jobs] == [0, 0]


# Tahdah


def test_tahdah_is_read_by_one_list_for_each_course(sandbox, office, people):
    lms = sandbox()
    terminal = office(lms, lookup_pauses=SHORT_PAUSES)
    job = terminal.run(terminal.roster("roster.csv", [*people(7), *people(7, course_id="59")])).job
    calls = lms.calls()

    checked = verify(terminal, job)

    assert (checked.code, verified(checked)) == (0, {"confirmed": 14})
    assert lms.calls() - calls == 2


def test_a_tahdah_without_look_up_says_cannot_be_verified_and_never_not_registered(sandbox, office):
    for lookup in ("404", "405"):
        lms = sandbox(lookup=lookup)
        terminal = office(lms, lookup_pauses=SHORT_PAUSES)
        terminal.people("roster.csv", 4)
        job = terminal.run("roster.csv").job

        checked = verify(terminal, job)

        assert (checked.code, verified(checked)) == (2, {"cannot_be_verified": 4})
        assert {row["_error_code"] for row in checked.rows} == {"cannot_be_verified"}
        assert all("annot be verified" in row["_error"] for row in checked.rows)
        assert lms.calls("list_registrations") + lms.calls("unknown") == 1


def test_a_list_that_may_be_the_first_page_of_more_never_means_absent(sandbox, office):
    lms = sandbox()
    terminal = office(lms, lookup_pauses=SHORT_PAUSES)
    terminal.people("roster.csv", 11)
    job = terminal.run("roster.csv").job
    lms.world.tahdah.registrations.pop()

    checked = terminal.type("verify", job, "--json")

    assert (checked.code, verified(checked)) == (1, {"confirmed": 10, "cannot_be_verified": 1})


# Refused


def test_a_job_with_nothing_done_a_running_job_and_an_unknown_job_are_refused(sandbox, office):
    lms = sandbox(bad_days=["create_candidate:reject"])
    terminal = office(lms)
    terminal.people("roster.csv", 2)
    nothing = terminal.run("roster.csv").job

    for job, why in ((nothing, "nothing to verify"), (99, "There is no job 99")):
        checked = terminal.type("verify", job)
        assert (checked.code, checked.out) == (2, "")
        assert why in checked.err


def test_a_purged_job_says_so(kmi):
    _, terminal, result = kmi(count=1)
    terminal.type("purge", "--older-than", "0d")

    checked = terminal.type("verify", result.job)

    assert checked.code == 2
    assert "were purged" in checked.err


def test_refused_credentials_stop_it_and_earlier_results_stay(kmi):
    lms, terminal, result = kmi(count=2)
    verify(terminal, result.job)
    lms.rules("*:401")

    checked = terminal.type("verify", result.job, "--json")

    assert checked.code == 3
    assert "credentials" in checked.err
    assert verified(checked) == {"confirmed": 2}


def test_a_pause_that_the_lms_asks_for_is_waited_for(kmi):
    lms, terminal, result = kmi(count=2)
    lms.rules("list_registrations:throttle:nth=1:retry-after=1", "find_registration:throttle:nth=1:retry-after=1")

    checked = verify(terminal, result.job)

    assert (checked.code, verified(checked)) == (0, {"confirmed": 2})
    assert lms.early == 0


def test_rows_that_are_not_done_are_not_read_back(sandbox, office):
    lms = sandbox(bad_days=["create_candidate:reject:nth=2"])
    terminal = office(lms, lookup_pauses=SHORT_PAUSES)
    terminal.people("roster.csv", 3)
    job = terminal.run("roster.csv").job

    checked = verify(terminal, job)

    assert (checked.code, verified(checked), checked.counts) == (
        0,
        {"confirmed": 2},
        {"registered": 2, "rejected": 1},
    )


def test_a_person_reads_the_results(kmi):
    lms, terminal, result = kmi(count=2)
    withdraw(lms, result.rows[0])

    checked = terminal.type("verify", result.job, "--report", "checked")

    assert checked.code == 1
    assert "compared with the LMS: 1 confirmed, 1 differs\n" in checked.out
    assert "checked/roster.differs.csv" in checked.out
    assert (terminal.folder / "checked" / "roster.results.xlsx").is_file()
