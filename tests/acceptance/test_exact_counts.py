"""The counts add up, and every outcome agrees with the LMS.

`office.run` compares each report with itself and with the sandbox, person by person; the tests here add what the
counts must be, and how many calls they may take.
"""

from __future__ import annotations

import pytest

from worker.sandbox.kmi_options import CourseOptions


def kmi_people(people, count, **columns):
    return people(count, login_name=lambda number: f"login{number}", **columns)


def seeded(count, *, first=1, course="58"):
    """Return people who are on the pretend KMI from the start."""
    return [
        {"email": f"person{number}@example.com", "external_id": f"P-{number}", "course_id": course}
        for number in range(first, first + count)
    ]


def marked(people, count, bad, name="poison"):
    """Make up people; those at the positions `bad` have the name that a rule of the sandbox matches."""
    return people(count, email=lambda number: f"{name if number in bad else 'good'}{number}@example.com")


def test_candidates_that_the_lms_rejects_do_not_stop_the_others(sandbox, office, people):
    lms = sandbox(bad_days=["create_candidate:reject:marker=poison"])
    terminal = office(lms, batch_size=10)
    terminal.roster("roster.csv", marked(people, 25, {3, 11, 25}))

    result = terminal.run("roster.csv")

    assert (result.code, result.state) == (1, "completed_with_errors")
    assert result.counts == {"registered": 22, "rejected": 3}
    assert [row["_row"] for row in result.failed] == ["4", "12", "26"]
    assert {row["_error_code"] for row in result.failed} == {"candidate_refused"}
    assert {row["_http_status"] for row in result.failed} == {"400"}
    assert all("is not valid" in row["_error"] for row in result.failed)
    assert lms.changes == {"create_candidate": 25, "register": 4}


def test_a_batch_is_split_until_the_bad_rows_are_isolated(sandbox, office, people):
    lms = sandbox(bad_days=["register:reject:marker=poison"])
    terminal = office(lms, batch_size=20)
    terminal.roster("roster.csv", marked(people, 40, {7, 8, 33}))

    result = terminal.run("roster.csv")

    assert result.code == 1
    assert result.counts == {"registered": 37, "rejected": 3}
    assert [row["_row"] for row in result.failed] == ["8", "9", "34"]
    assert {row["_error_code"] for row in result.failed} == {"registration_refused"}
    assert result.summary["bisected_batches"] == 2
    assert result.summary["candidates_created"] == 40
    # The refusal names the rows: one call for the batch, one for the good, one for each bad; one for the first row.
    assert lms.calls("register") <= 1 + 2 * 2 + 3


def test_a_bad_row_that_the_rejection_does_not_name_is_found_by_halving(sandbox, office, people):
    lms = sandbox(bad_days=["register:409:marker=poison"])
    lms.rules("register:422:marker=poison")
    terminal = office(lms, batch_size=32)
    terminal.roster("roster.csv", marked(people, 32, {20}))
    lms.rules({"operation": "register", "what": "404", "marker": "poison"})
    terminal.people("proof.csv", 2, first=90)
    terminal.run("proof.csv")

    result = terminal.run("roster.csv")

    assert result.counts == {"registered": 31, "rejected": 1}
    assert result.failed[0]["_row"] == "21"
    assert lms.calls("register") <= 2 + 1 + 2 * 5


def test_a_batch_that_is_too_large_is_sent_in_smaller_ones(sandbox, office):
    lms = sandbox(max_batch=20)
    terminal = office(lms, batch_size=100)
    terminal.people("roster.csv", 100)

    result = terminal.run("roster.csv")

    assert (result.code, result.counts) == (0, {"registered": 100})
    # Halving ends at pieces of at least half of what the LMS takes; the first person goes alone.
    assert lms.answered("register", 200) <= 1 + 10
    assert lms.answered("register", 413) <= 4


def test_all_kinds_of_rows_in_one_roster_get_the_right_outcome(sandbox, office, people):
    lms = sandbox(
        bad_days=["create_candidate:reject:marker=wilhelmina.3@", "register:shuffled", "register:string-ids"]
    )
    terminal = office(lms, batch_size=7)
    rows = people(20)
    twice = [rows[0] | {"email": rows[0]["email"].upper()}, rows[4], rows[4] | {"course_id": "59"}]
    invalid = [
        {"email": "x(at)example.com", "first_name": "A", "last_name": "B", "course_id": "58"},
        {"email": "y@example.com", "first_name": "", "last_name": "B", "course_id": "58"},
        {"email": "z@example.com", "first_name": "A", "last_name": "B", "course_id": ""},
    ]
    wrong_course = [row | {"course_id": "999"} for row in people(2, first=30)]
    terminal.roster("roster.csv", [*rows, *twice, *invalid, *wrong_course])

    result = terminal.run("roster.csv")

    assert result.code == 1
    assert result.counts == {"registered": 20, "rejected": 2, "not_attempted": 1, "invalid": 3, "skipped": 2}
    assert [row["_error_code"] for row in result.with_status("invalid")] == [
        "invalid_email",
        "missing_value",
        "course_missing",
    ]
    assert {row["_error_code"] for row in result.rows if row["course_id"] == "999"} == {
        "unknown_course",
        "course_refused",
    }
    assert result.summary["calls"].get("register") == lms.calls("register")
    assert result.summary["calls"]["create_candidate"] == lms.calls("create_candidate")


def test_the_report_keeps_the_rosters_columns_and_is_a_workbook_too(sandbox, office):
    import openpyxl  # noqa: PLC0415 - the slow reader, wanted here alone

    terminal = office(sandbox())
    terminal.write(
        "roster.csv",
        "T-shirt,email,first_name,last_name,course_id,Notes\n"
        'M, Ana@Example.com ,Ana,Ní,58,"=1+1"\n'
        "L,nobody,Bo,Ek,058,0042\n",
    )

    result = terminal.run("roster.csv")

    headings = list(result.rows[0])
    assert headings[:6] == ["T-shirt", "email", "first_name", "last_name", "course_id", "Notes"]
    assert headings[6:] == [
        "_row",
        "_status",
        "_error",
        "_error_code",
        "_column",
        "_candidate_id",
        "_registration_id",
        "_created",
        "_attempts",
        "_http_status",
        "_when",
        "_stage",
        "_job",
    ]
    assert [row["email"] for row in result.rows] == [" Ana@Example.com ", "nobody"]
    assert [row["Notes"] for row in result.rows] == ["'=1+1", "0042"]
    assert [row["_attempts"] for row in result.rows] == ["2", "0"]
    book = openpyxl.load_workbook(result.report(".results.xlsx"))
    assert "Summary" in book.sheetnames
    sheet = next(book[name] for name in book.sheetnames if name != "Summary")
    assert [cell.value for cell in sheet[1]] == headings
    assert sheet.max_row == 3


@pytest.mark.parametrize("what", ["string-ids", "int-ids", "float-ids"])
def test_responses_are_matched_by_id_in_any_order_and_type(sandbox, office, what):
    lms = sandbox(bad_days=["tahdah.*:shuffled", f"tahdah.*:{what}"])
    terminal = office(lms, batch_size=8)
    terminal.people("roster.csv", 21)

    result = terminal.run("roster.csv")

    assert (result.code, result.counts) == (0, {"registered": 21})
    assert {row["email"]: row["_registration_id"] for row in result.rows} == {
        email: registration for (email, _), registration in lms.standing.items()
    }
    assert lms.changes == {"create_candidate": 21, "register": 4}


@pytest.mark.parametrize("what", ["string-ids", "200"])
def test_kmi_responses_are_matched_by_ids_of_any_type(sandbox, office, people, what):
    lms = sandbox(bad_days=[f"kmi.*:{what}"], seed_users=10)
    terminal = office(lms, "kmi")
    terminal.roster("roster.csv", [*kmi_people(people, 10), *seeded(10)])

    result = terminal.run("roster.csv")

    assert (result.code, result.counts) == (0, {"registered": 20})
    assert all(row["_registration_id"] for row in result.rows)


def test_an_id_under_another_name_is_found(sandbox, office):
    lms = sandbox(candidate_id_field="id")
    terminal = office(lms)
    terminal.people("roster.csv", 3)

    assert terminal.run("roster.csv").counts == {"registered": 3}


@pytest.mark.parametrize("what", ["short:count=2", "204", "error-200", "202:done=no"])
def test_people_whom_a_response_does_not_name_are_looked_up(sandbox, office, what):
    lms = sandbox(bad_days=[f"register:{what}:times=1"])
    terminal = office(lms, batch_size=13)
    terminal.people("roster.csv", 13)

    result = terminal.run("roster.csv")

    assert (result.code, result.counts) == (0, {"registered": 13})


@pytest.mark.parametrize("what", ["short:count=2", "202"])
def test_people_whom_a_response_does_not_name_are_in_doubt_without_a_look_up(sandbox, office, what):
    lms = sandbox(bad_days=[f"register:{what}"], lookup="404")
    terminal = office(lms)
    terminal.people("roster.csv", 13)

    result = terminal.run("roster.csv")

    # The first person goes alone.
    doubtful = 1 + 2 if what.startswith("short") else 13
    expected = {"registered": 13 - doubtful, "in_doubt": doubtful}
    assert result.code == 1
    assert result.counts == {status: count for status, count in expected.items() if count}
    assert lms.calls("register") == 2, "nothing is sent again"
    assert all("roster resolve" in row["_error"] for row in result.failed)


@pytest.mark.parametrize("what", ["204", "error-200:done=yes"])
def test_a_candidate_created_without_an_id_in_the_response_is_in_doubt(sandbox, office, what):
    lms = sandbox(bad_days=[f"create_candidate:{what}:nth=2"])
    terminal = office(lms)
    terminal.people("roster.csv", 5)

    result = terminal.run("roster.csv")

    assert result.code == 1
    assert result.counts == {"registered": 4, "in_doubt": 1}
    assert lms.calls("create_candidate") == 5


def test_people_already_registered_on_tahdah_are_found_by_the_rejection(sandbox, office):
    lms = sandbox()
    first = office(lms)
    first.people("roster.csv", 6)
    known = first.run("roster.csv").rows
    terminal = office(lms, batch_size=20)
    columns = ("email", "first_name", "last_name", "course_id")
    rows = [{name: row[name] for name in columns} | {"candidate_id": row["_candidate_id"]} for row in known]
    terminal.roster("roster.csv", rows)
    lms.rules()
    before = lms.calls("register")

    result = terminal.run("roster.csv")

    assert (result.code, result.counts) == (0, {"already_registered": 6})
    assert lms.calls("register") - before <= 2 * 6
    assert lms.calls("create_candidate") == 6


def test_people_already_registered_do_not_affect_the_others(sandbox, office, people):
    lms = sandbox()
    first = office(lms)
    first.people("roster.csv", 3)
    known = {row["email"]: row["_candidate_id"] for row in first.run("roster.csv").rows}
    terminal = office(lms)
    terminal.roster("roster.csv", [row | {"candidate_id": known.get(row["email"], "")} for row in people(12)])

    result = terminal.run("roster.csv")

    assert (result.code, result.counts) == (0, {"registered": 9, "already_registered": 3})


@pytest.mark.parametrize("twice", ["400", "409", "existing", "second"])
def test_people_already_on_kmi_are_neither_created_nor_registered_again(sandbox, office, people, twice):
    lms = sandbox(seed_users=30, registered=["58:1-10"], kmi_twice=twice)
    terminal = office(lms, "kmi")
    by_mail = [{key: row[key] for key in ("email", "course_id")} for row in seeded(10, first=11)]
    terminal.roster("roster.csv", [*seeded(10), *by_mail, *kmi_people(people, 10)])

    result = terminal.run("roster.csv")

    assert (result.code, result.counts) == (0, {"registered": 20, "already_registered": 10})
    assert [row["_status"] for row in result.rows] == ["already_registered"] * 10 + ["registered"] * 20
    assert lms.changes["create_user"] == 10
    assert len(lms.people) == 40


@pytest.mark.parametrize("column", [{"course_name": "Fire Safety"}, {"course_external_id": "C-58"}], ids=str)
@pytest.mark.parametrize("twice", ["400", "second"])
def test_people_already_on_a_course_named_otherwise_are_not_registered_again(sandbox, office, twice, column):
    lms = sandbox(seed_users=12, registered=["58:1-6"], kmi_twice=twice)
    terminal = office(lms, "kmi")
    rows = [row | column | {"course_id": ""} for row in seeded(12)]
    terminal.roster("roster.csv", rows)

    result = terminal.run("roster.csv")

    assert lms.state()["kmi"]["registrations"] == 12
    assert (result.code, result.counts) == (0, {"registered": 6, "already_registered": 6})


TWO_OF_ONE_NAME = (CourseOptions(id=58, name="Fire Safety"), CourseOptions(id=70, name="Fire Safety"))


def test_somebody_on_another_course_of_the_same_name_is_not_already_registered(sandbox, office, people):
    lms = sandbox(courses=TWO_OF_ONE_NAME)
    terminal = office(lms, "kmi")
    terminal.roster("by-id.csv", kmi_people(people, 2))
    assert terminal.run("by-id.csv").counts == {"registered": 2}
    by_name = [row | {"course_id": "", "course_name": "Fire Safety"} for row in kmi_people(people, 2)]
    terminal.roster("by-name.csv", by_name)
    before = lms.changes

    result = terminal.run("by-name.csv")

    assert (result.code, result.counts) == (1, {"rejected": 2})
    assert {row["_error_code"] for row in result.rows} == {"ambiguous_course"}
    assert lms.changes == before


def test_one_person_by_the_id_and_by_the_name_of_two_courses_is_registered_once(sandbox, office, people):
    lms = sandbox(courses=TWO_OF_ONE_NAME)
    terminal = office(lms, "kmi")
    person = kmi_people(people, 1)
    by_name = [row | {"course_id": "", "course_name": "Fire Safety"} for row in person]
    terminal.roster("roster.csv", [*person, *by_name])

    result = terminal.run("roster.csv")

    assert (result.code, result.counts) == (1, {"registered": 1, "rejected": 1})
    assert result.failed[0]["_error_code"] == "ambiguous_course"


def test_people_are_found_among_more_than_a_thousand_on_kmi(sandbox, office, people):
    lms = sandbox(seed_users=1_200, registered=["58:1-600"], kmi_twice="second")
    terminal = office(lms, "kmi")
    terminal.roster("roster.csv", [*seeded(4, first=598), *kmi_people(people, 2)])

    result = terminal.run("roster.csv")

    assert (result.code, result.counts) == (0, {"registered": 3, "already_registered": 3})


@pytest.mark.parametrize("exists", ["400", "409"])
def test_an_address_that_tahdah_already_has_is_rejected_with_a_remedy(sandbox, office, people, exists):
    lms = sandbox(email_taken=exists)
    office_before = office(lms)
    office_before.people("roster.csv", 1, course_id="59")
    office_before.run("roster.csv")
    terminal = office(lms)
    terminal.roster("roster.csv", people(3))

    result = terminal.run("roster.csv")

    assert result.counts == {"registered": 2, "rejected": 1}
    assert "candidate_id" in result.failed[0]["_error"]


@pytest.mark.parametrize(("course", "code"), [("Ambiguous", "rejected"), ("No Such Course", "rejected")])
def test_an_impossible_kmi_course_is_rejected_and_the_others_succeed(sandbox, office, people, course, code):
    lms = sandbox()
    terminal = office(lms, "kmi")
    bad = [row | {"course_id": "", "course_name": course} for row in kmi_people(people, 3, first=20)]
    terminal.roster("roster.csv", [*kmi_people(people, 5), *bad])

    result = terminal.run("roster.csv")

    assert result.code == 1
    assert result.counts["registered"] == 5
    assert sum(result.counts.get(status, 0) for status in (code, "not_attempted")) == 3
    assert all("course" in row["_error"].casefold() for row in result.failed)


@pytest.mark.parametrize("course", ["63", "64"])
def test_the_reason_is_given_for_a_kmi_course_that_accepts_no_registration(sandbox, office, people, course):
    lms = sandbox()
    terminal = office(lms, "kmi")
    terminal.roster("roster.csv", [*kmi_people(people, 3), *kmi_people(people, 1, first=9, course_id=course)])

    result = terminal.run("roster.csv")

    assert result.counts == {"registered": 3, "rejected": 1}
    assert "course" in result.failed[0]["_error"].casefold()


def test_a_course_that_is_unknown_costs_one_call_among_good_ones(sandbox, office, people):
    lms = sandbox()
    terminal = office(lms, batch_size=10)
    terminal.roster("roster.csv", [*people(20), *people(30, first=100, course_id="777")])

    result = terminal.run("roster.csv")

    assert result.code == 1
    assert result.counts["registered"] == 20
    assert result.counts.get("rejected", 0) + result.counts.get("not_attempted", 0) == 30
    assert all("777" in row["_error"] for row in result.failed)
    assert lms.calls("register") <= 2 + 3
    assert lms.calls("create_candidate") == 20 + 1, "a course that is not there costs one person"


def test_two_people_with_one_external_id_are_ambiguous(sandbox, office, people):
    lms = sandbox(seed_users=2)
    body = {"email": "twin@example.com", "firstName": "T", "lastName": "W", "loginName": "tw", "externalId": "P-1"}
    keys = {"X-Api-Key": "sandbox-key", "X-Api-Secret": "sandbox-secret"}
    lms.client.post("/api/v2/users/", json=body, headers=keys).raise_for_status()
    lms.take_as_given()
    terminal = office(lms, "kmi")
    terminal.roster("roster.csv", [*seeded(2), *kmi_people(people, 1)])

    result = terminal.run("roster.csv")

    assert result.code == 1
    assert result.counts == {"registered": 2, "invalid": 1}
    assert result.failed[0]["_error_code"] == "ambiguous_candidate"
    assert "candidate_id" in result.failed[0]["_error"]


def test_a_course_whose_id_begins_with_another_id_is_not_mistaken_for_it(sandbox, office, people):
    lms = sandbox(courses=(CourseOptions(id=58, name="Fire Safety"), CourseOptions(id=580, name="First Aid")))
    terminal = office(lms, "kmi")
    terminal.roster("roster.csv", [row | {"course_id": "580"} for row in kmi_people(people, 2)])

    assert terminal.run("roster.csv").counts == {"registered": 2}


def test_again_registers_people_whom_the_ledger_knows(sandbox, office):
    """Without --again not a single call is made."""
    lms = sandbox(tahdah_twice="409")
    terminal = office(lms)
    terminal.people("roster.csv", 3)
    terminal.run("roster.csv")

    result = terminal.run("roster.csv", "--again")

    assert (result.code, result.counts) == (0, {"already_registered": 3})
    assert lms.calls("create_candidate") == 3
    assert lms.calls("register") > 1
