"""Lost answers are looked up where possible, left to a person where not, and never sent twice.

Every changing call of each system, its work done or not. `office.run` checks the counts; the sandbox checks at its
end that no person exists twice.
"""

from __future__ import annotations

import sqlite3

import pytest


@pytest.fixture
def kmi(sandbox, office, people):
    """Run a roster of new people with external ids, or none, on a KMI with bad days."""

    def run(*bad_days, count=6, external_ids=True, timeout_seconds=30.0, connection=None, **options):
        lms = sandbox(bad_days=bad_days, **options)
        terminal = office(lms, "kmi", timeout_seconds=timeout_seconds, **(connection or {}))
        columns = {"external_id": lambda number: f"X-{number}"} if external_ids else {}
        terminal.roster("roster.csv", people(count, login_name=lambda number: f"login{number}", **columns))
        return lms, terminal, terminal.run("roster.csv")

    return run


@pytest.mark.parametrize(
    ("operation", "what"),
    [
        ("create_user", "lost-after"),
        ("create_user", "lost-before"),
        ("create_user", "timeout-after:seconds=20"),
        ("create_user", "drop-after"),
        ("create_user", "drop-before"),
        ("create_registration", "lost-after"),
        ("create_registration", "drop-before"),
        ("create_registration", "timeout-after:seconds=20"),
        ("create_registration", "drop-after"),
        ("create_registration", "lost-before"),
        ("create_registration", "html-502:done=yes"),
    ],
)
def test_a_lost_answer_of_kmi_is_looked_up_and_everyone_is_registered(kmi, operation, what):
    lms, _, result = kmi(f"{operation}:{what}:nth=2", timeout_seconds=0.7 if "timeout" in what else 30)

    assert (result.code, result.counts) == (0, {"registered": 6})
    assert len(lms.people) == 6
    lost_work = what in {"lost-before", "drop-before"}
    assert lms.changes[operation] == 6 + lost_work


@pytest.mark.parametrize("what", ["lost-after", "lost-before"])
def test_a_lost_creation_on_kmi_is_found_without_an_external_id(kmi, what):
    lms, _, result = kmi(f"create_user:{what}:nth=2", external_ids=False)

    assert (result.code, result.counts) == (0, {"registered": 6})
    assert len(lms.people) == 6


@pytest.mark.parametrize("operation", ["create_user", "create_registration"])
def test_an_lms_that_lags_behind_its_own_writes_is_read_again(kmi, operation):
    lms, _, result = kmi(f"{operation}:lost-after:nth=2", lag=1.2)

    assert (result.code, result.counts) == (0, {"registered": 6})
    assert lms.changes[operation] == 6


def test_many_lost_answers_of_kmi_leave_no_one_out(kmi):
    lms, _, result = kmi("create_user:lost-after:every=3", "create_registration:lost-after:every=4", count=24)

    assert (result.code, result.counts) == (0, {"registered": 24})
    assert lms.changes == {"create_user": 24, "create_registration": 24}


@pytest.mark.parametrize(
    "what", ["lost-after", "lost-before", "drop-after", "drop-before", "timeout-after:seconds=20", "short:count=3"]
)
def test_a_lost_batch_of_tahdah_is_looked_up(sandbox, office, what):
    lms = sandbox(bad_days=[f"register:{what}:nth=2"])
    terminal = office(lms, timeout_seconds=0.7 if "timeout" in what else 30)
    terminal.people("roster.csv", 7)

    result = terminal.run("roster.csv")

    assert (result.code, result.counts) == (0, {"registered": 7})
    assert lms.calls("register") == (3 if what in {"lost-before", "drop-before"} else 2)


def test_a_tahdah_that_lags_behind_its_own_batch_is_read_again(sandbox, office):
    lms = sandbox(bad_days=["register:lost-after:nth=2"], lag=1.2)
    terminal = office(lms)
    terminal.people("roster.csv", 7)

    result = terminal.run("roster.csv")

    assert (result.code, result.counts) == (0, {"registered": 7})
    assert lms.calls("register") == 2


@pytest.mark.parametrize(("what", "lookup"), [("lost-after", "404"), ("lost-before", "405")])
def test_a_lost_batch_of_a_tahdah_without_look_up_waits_for_a_person(sandbox, office, what, lookup):
    lms = sandbox(bad_days=[f"register:{what}:nth=2"], lookup=lookup)
    terminal = office(lms, batch_size=5)
    terminal.people("roster.csv", 12)

    result = terminal.run("roster.csv")

    in_doubt = len(result.with_status("in_doubt"))
    assert result.code == 1
    assert result.counts == {"registered": 12 - in_doubt, "in_doubt": in_doubt}
    assert 0 < in_doubt <= 5
    assert lms.calls("register") == 4
    assert {row["_error_code"] for row in result.failed} == {"answer_lost"}
    again = terminal.resume(result.job)
    assert (again.code, again.counts) == (1, result.counts)
    assert lms.calls("register") == 4, "nothing in doubt is sent again, however often the job is resumed"


def test_the_same_roster_again_sends_nothing_for_rows_in_doubt(sandbox, office):
    lms = sandbox(bad_days=["register:lost-after", "create_candidate:lost-after:nth=2"], lookup="404")
    terminal = office(lms)
    terminal.people("roster.csv", 5)
    first = terminal.run("roster.csv")
    assert first.counts == {"in_doubt": 5}
    before = lms.changes

    second = terminal.run("roster.csv")

    assert (second.code, second.counts) == (1, {"in_doubt": 5})
    assert lms.changes == before
    third = terminal.run(first.report(".failed.csv"))
    assert third.counts == {"in_doubt": 5}
    assert lms.changes == before


@pytest.mark.parametrize("what", ["lost-after", "lost-before"])
def test_a_person_resolves_a_lost_candidate_of_tahdah(sandbox, office, what):
    lms = sandbox(bad_days=[f"create_candidate:{what}:nth=2"])
    terminal = office(lms)
    terminal.people("roster.csv", 4)
    result = terminal.run("roster.csv")
    assert (result.code, result.counts) == (1, {"registered": 3, "in_doubt": 1})
    (in_doubt,) = result.failed
    assert "roster resolve" in in_doubt["_error"]
    there = {each["email"]: each["id"] for each in lms.look("candidates")}.get(in_doubt["email"])
    answer = ["--candidate-id", there] if there else ["--absent"]

    output = terminal.type("resolve", result.job, in_doubt["_row"], *answer)
    again = terminal.resume(result.job)

    assert output.code == 0
    assert f"roster resume {result.job}" in output.out
    assert (again.code, again.state, again.counts) == (0, "succeeded", {"registered": 4})
    assert lms.changes["create_candidate"] == (4 if there else 5)
    assert not again.report(".results.csv").with_name("roster.failed.csv").exists()


def test_a_person_resolves_a_lost_batch_row_by_row(sandbox, office):
    lms = sandbox(bad_days=["register:lost-after:first=2"], lookup="404")
    terminal = office(lms)
    terminal.people("roster.csv", 3)
    result = terminal.run("roster.csv")
    assert result.counts == {"in_doubt": 3}
    registered = lms.standing

    for row in result.failed:
        found = registered[row["email"], "58"]
        assert terminal.type("resolve", result.job, row["_row"], "--registration-id", found).code == 0
    again = terminal.resume(result.job)

    assert (again.code, again.state, again.counts) == (0, "succeeded", {"registered": 3})
    assert {row["_registration_id"] for row in again.rows} == set(registered.values())
    assert lms.calls("register") == 2


def test_a_person_says_that_a_lost_batch_was_not_done(sandbox, office):
    lms = sandbox(bad_days=["register:lost-before:first=2"], lookup="404")
    terminal = office(lms)
    terminal.people("roster.csv", 3)
    result = terminal.run("roster.csv")
    assert result.counts == {"in_doubt": 3}

    for row in result.failed:
        assert terminal.type("resolve", result.job, row["_row"], "--absent").code == 0
    again = terminal.resume(result.job)

    assert (again.code, again.counts) == (0, {"registered": 3})


def test_an_impossible_resolution_is_refused(sandbox, office):
    lms = sandbox(bad_days=["create_candidate:lost-after:nth=1"])
    terminal = office(lms)
    terminal.people("roster.csv", 2)
    result = terminal.run("roster.csv")
    (done,) = result.with_status("registered")
    (in_doubt,) = result.with_status("in_doubt")

    for arguments in (
        [in_doubt["_row"]],
        [in_doubt["_row"], "--absent", "--candidate-id", "1"],
        [done["_row"], "--absent"],
        ["99", "--absent"],
    ):
        output = terminal.type("resolve", result.job, *arguments)
        assert (output.code, bool(output.err)) == (2, True)
    assert terminal.status(result.job)["by_status"]["in_doubt"] == 1


def test_one_person_on_two_courses_whose_creation_was_lost_is_resolved_once(sandbox, office, people):
    lms = sandbox(bad_days=["create_candidate:lost-after:nth=1"])
    terminal = office(lms)
    terminal.roster("roster.csv", [*people(1), *people(1, course_id="59")])
    result = terminal.run("roster.csv")
    assert result.counts == {"in_doubt": 1, "not_attempted": 1}
    (in_doubt,) = result.with_status("in_doubt")
    (there,) = lms.look("candidates")

    terminal.type("resolve", result.job, in_doubt["_row"], "--candidate-id", there["id"])
    again = terminal.resume(result.job)

    assert (again.code, again.counts) == (0, {"registered": 2})
    assert lms.calls("create_candidate") == 1


def test_no_personal_data_is_in_messages_or_outside_the_rows_of_the_ledger(sandbox, office, people):
    lms = sandbox(
        bad_days=[
            "create_candidate:lost-after:nth=2",
            "create_candidate:reject:nth=4",
            "register:lost-after:nth=1",
        ],
        lookup="404",
    )
    terminal = office(lms, batch_size=4)
    terminal.roster("roster.csv", [*people(9), {"email": "achterberg.gone", "course_id": "58"}])

    result = terminal.run("roster.csv")

    assert result.counts["in_doubt"] > 1
    output = (
        result.err
        + terminal.type("jobs").out
        + terminal.type("status", result.job).out
        + terminal.type("doctor").out
    )
    with sqlite3.connect(terminal.folder / "roster.db") as ledger:
        tables = [name for (name,) in ledger.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        kept = {name: str(ledger.execute(f'SELECT * FROM "{name}"').fetchall()) for name in tables}  # noqa: S608
    ledger.close()
    for name, text in {"messages": output, **{name: text for name, text in kept.items() if name != "row"}}.items():
        for personal in ("wilhelmina", "achterberg", "@example.com"):
            assert personal not in text.casefold(), name


#: Every read by which KMI finds a user or a registration again.
KMI_LOOKUPS = ("find_user", "find_registration")


@pytest.mark.parametrize("operation", ["create_user", "create_registration"])
@pytest.mark.parametrize("done", ["lost-after", "lost-before"])
def test_a_look_up_that_fails_again_and_again_is_repeated_until_the_lms_answers(kmi, operation, done):
    failing = [f"{lookup}:lost-before:first=6" for lookup in KMI_LOOKUPS]

    lms, _, result = kmi(f"{operation}:{done}:nth=2", *failing, connection={"lookup_pauses": [0.05]})

    assert (result.code, result.counts) == (0, {"registered": 6})
    assert len(lms.people) == 6
    assert lms.changes[operation] == 6 + (done == "lost-before")


def test_look_ups_that_fail_longer_than_doubt_minutes_leave_the_row_in_doubt_and_resume_looks_again(kmi):
    failing = [f"{lookup}:lost-before" for lookup in KMI_LOOKUPS]

    lms, terminal, result = kmi(
        "create_registration:lost-after:nth=2",
        *failing,
        connection={"lookup_pauses": [0.05], "doubt_minutes": 0.05},
    )

    assert (result.code, result.counts) == (1, {"registered": 5, "in_doubt": 1})
    lms.rules()
    again = terminal.resume(result.job)
    assert (again.code, again.counts) == (0, {"registered": 6})
    assert lms.changes["create_registration"] == 6


def test_a_job_that_waits_for_look_ups_says_so(kmi):
    failing = [f"{lookup}:lost-before:first=6" for lookup in KMI_LOOKUPS]

    _, _, result = kmi("create_registration:lost-after:nth=2", *failing, connection={"lookup_pauses": [0.05]})

    assert "a call without an answer was looked up" in result.err


@pytest.fixture
def doubtful(kmi):
    """Leave one registration in doubt on a KMI that refuses look-ups, and then answers them again."""
    refused = [f"{operation}:403" for operation in ("find_registration", "list_registrations")]
    lms, terminal, result = kmi(
        "create_registration:lost-after:nth=2", *refused, connection={"lookup_pauses": [0.05]}
    )
    assert result.counts == {"registered": 5, "in_doubt": 1}
    lms.rules()
    (row,) = result.with_status("in_doubt")
    return lms, terminal, result, row


def test_an_answer_that_the_lms_contradicts_is_refused(doubtful):
    _, terminal, result, row = doubtful
    others = result.with_status("registered")[0]["_registration_id"]

    for written, message in (
        ("nonsense!", "is not a number"),
        ("999999999", "The LMS has no registration with the ID 999999999"),
        (others, "this row's person is"),
    ):
        refused = terminal.type("resolve", result.job, row["_row"], "--registration-id", written)
        assert (refused.code, refused.out) == (2, "")
        assert message in refused.err
    assert terminal.status(result.job)["by_status"]["in_doubt"] == 1


def test_an_answer_can_be_changed_until_something_was_sent_because_of_it(doubtful):
    lms, terminal, result, row = doubtful
    right = lms.standing[row["email"], "58"]

    assert terminal.type("resolve", result.job, row["_row"], "--absent").code == 0
    changed = terminal.type("resolve", result.job, row["_row"], "--registration-id", right)

    assert (changed.code, changed.out) == (0, "The row is registered\n")
    again = terminal.resume(result.job)
    assert (again.code, again.counts) == (0, {"registered": 6})
    assert lms.changes["create_registration"] == 6


def test_an_answer_that_was_used_cannot_be_changed(sandbox, office):
    lms = sandbox(bad_days=["create_candidate:lost-before:nth=2"])
    terminal = office(lms)
    terminal.people("roster.csv", 3)
    result = terminal.run("roster.csv")
    (row,) = result.with_status("in_doubt")
    assert terminal.type("resolve", result.job, row["_row"], "--absent").code == 0
    assert terminal.resume(result.job).counts == {"registered": 3}

    late = terminal.type("resolve", result.job, row["_row"], "--candidate-id", "7")

    assert late.code == 2
    assert "cannot be changed any more" in late.err


def test_an_answer_about_which_the_lms_cannot_be_asked_is_saved_and_says_so(sandbox, office):
    lms = sandbox(bad_days=["create_candidate:lost-after:nth=2"])
    terminal = office(lms)
    terminal.people("roster.csv", 3)
    result = terminal.run("roster.csv")
    (row,) = result.with_status("in_doubt")
    there = {each["email"]: each["id"] for each in lms.look("candidates")}[row["email"]]

    answered = terminal.type("resolve", result.job, row["_row"], "--candidate-id", there)

    assert answered.code == 0
    assert "The LMS could not be asked about it." in answered.out
