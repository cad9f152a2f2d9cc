"""A roster that lacks what creating people needs: `check` says so, `run` refuses it unless somebody is known."""

from __future__ import annotations

COURSE = ("--course", "58")


def test_check_says_it_and_run_sends_nothing_when_the_lms_knows_none_of_them(sandbox, office):
    lms = sandbox()
    terminal = office(lms, "kmi")
    terminal.write("emails.csv", "email\n" + "".join(f"new{number}@example.com\n" for number in range(30)))

    checked = terminal.type("check", "emails.csv", *COURSE)
    result = terminal.run("emails.csv", *COURSE)

    assert checked.code == 0
    assert "Nobody can be created from this roster" in checked.err
    assert "first_name and last_name" in checked.err
    assert (result.code, result.state) == (2, "invalid")
    assert "cannot be created without first_name and last_name" in result.summary["reason"].replace(
        "none of them can", "cannot"
    )
    assert not lms.changes
    assert {row["_error_code"] for row in result.rows} == {"candidate_incomplete"}


def test_people_who_are_there_are_registered_and_the_others_do_not_open_the_breaker(sandbox, office, people):
    lms = sandbox()
    maker = office(lms, "kmi")
    maker.roster("made.csv", people(2))
    assert maker.run("made.csv").code == 0
    known = [each["email"] for each in people(2)]
    terminal = office(lms, "kmi")
    terminal.write(
        "emails.csv", "\n".join(["email", *(f"new{number}@example.com" for number in range(30)), *known])
    )

    result = terminal.run("emails.csv", "--course", "59")

    assert (result.code, result.counts) == (1, {"registered": 2, "rejected": 30})
    assert {row["_error_code"] for row in result.with_status("rejected")} == {"candidate_incomplete"}


def test_a_login_name_made_of_the_address_that_is_in_use_says_what_to_do(sandbox, office):
    terminal = office(sandbox(), "kmi")
    terminal.write(
        "siblings.csv",
        "external_id,email,first_name,last_name\nS-1,p@example.com,Ana,Alpha\nS-2,p@example.com,Ben,Alpha\n",
    )

    result = terminal.run("siblings.csv", *COURSE)

    error = result.row(3)["_error"]
    assert "fill in login_name" in error
    assert ".." not in error
