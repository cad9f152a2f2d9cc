"""Rows that the roster's own source marks as inactive are skipped, and nothing is withdrawn for them."""

from __future__ import annotations

import pytest

ONE_ROSTER = """sourcedId,status,enabledUser,username,givenName,familyName,email
u-1,active,true,ana,Ana,Alpha,ana.alpha@example.com
u-2,tobedeleted,true,ben,Ben,Beta,ben.beta@example.com
u-3,active,FALSE,cam,Cam,Gamma,cam.gamma@example.com
u-4,tobedeleted,,,,,
"""


def test_rows_that_one_roster_marks_are_skipped_and_check_and_the_report_say_so(sandbox, office):
    lms = sandbox()
    terminal = office(lms, "kmi")
    terminal.write("users.csv", ONE_ROSTER)

    checked = terminal.type("check", "users.csv", "--course", "58")
    result = terminal.run("users.csv", "--course", "58")

    assert (checked.code, result.code, result.state) == (0, 0, "succeeded")
    assert '2 rows are skipped, since "status" marks them as inactive; nobody is withdrawn' in checked.err
    assert '1 row is skipped, since "enabledUser" marks it as inactive' in result.err
    assert [row["_status"] for row in result.rows] == ["registered", "skipped", "skipped", "skipped"]
    assert result.rows[1]["_error_code"] == "inactive_in_source"
    assert 'status is "tobedeleted"' in result.rows[1]["_error"]
    assert lms.changes == {"create_user": 1, "create_registration": 1}


@pytest.mark.parametrize(
    ("heading", "value"),
    [("deleted", "1"), ("suspended", "yes"), ("Active", "No"), ("Status", "Suspended"), ("isActive", "0")],
)
def test_other_status_columns_are_known(sandbox, office, heading, value):
    terminal = office(sandbox())
    terminal.write("users.csv", f"email,first_name,last_name,{heading}\nana@example.com,Ana,Alpha,{value}\n")

    assert terminal.run("users.csv", "--course", "58").counts == {"skipped": 1}


@pytest.mark.parametrize(("heading", "value"), [("deleted", "0"), ("Active", "yes"), ("Status", "Full time")])
def test_other_values_mean_nothing(sandbox, office, heading, value):
    terminal = office(sandbox())
    terminal.write("users.csv", f"email,first_name,last_name,{heading}\nana@example.com,Ana,Alpha,{value}\n")

    assert terminal.run("users.csv", "--course", "58").counts == {"registered": 1}


def test_a_column_that_means_something_else_can_be_ignored(sandbox, office):
    terminal = office(sandbox())
    terminal.write("users.csv", "email,first_name,last_name,status\nana@example.com,Ana,Alpha,archived\n")

    assert terminal.run("users.csv", "--course", "58", "--map", "status=").counts == {"registered": 1}


def test_an_inactive_person_may_be_withdrawn_by_an_action_of_the_row(sandbox, office):
    terminal = office(sandbox(), "kmi")
    head = "external_id,email,first_name,last_name,course_id"
    terminal.write("in.csv", f"{head}\nA-1,ana@example.com,Ana,Alpha,58\n")
    assert terminal.run("in.csv").code == 0
    terminal.write("out.csv", f"{head},status,action\nA-1,ana@example.com,Ana,Alpha,58,tobedeleted,withdraw\n")

    assert terminal.run("out.csv").counts == {"withdrawn": 1}
