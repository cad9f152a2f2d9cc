"""An id or an address that belongs to somebody else: the row is refused, and nobody's data is changed."""

from __future__ import annotations

import pytest

COURSE = ("--course", "58")
PEOPLE = """external_id,email,first_name,last_name
A-1,ana.alpha@example.com,Ana,Alpha
A-2,ben.beta@example.com,Ben,Beta
"""
OTHERS = """external_id,email,first_name,last_name
X-77,ana.alpha@example.com,Zoe,Zeta
A-2,someone.else@example.com,Yan,Ypsilon
"""


def codes(result):
    return [(row["_status"], row["_error_code"], row["_column"]) for row in result.rows]


@pytest.mark.parametrize("options", [(), ("--update-existing",)])
@pytest.mark.parametrize("is_known", [True, False], ids=["known to the ledger", "known to the LMS"])
def test_an_id_of_somebody_else_is_refused_and_nobody_is_overwritten(sandbox, office, options, is_known):
    lms = sandbox()
    maker = office(lms, "kmi")
    maker.write("three.csv", PEOPLE)
    assert maker.run("three.csv", *COURSE).code == 0
    before = lms.look("candidates")
    terminal = maker if is_known else office(lms, "kmi")
    terminal.write("others.csv", OTHERS)

    if is_known:
        checked = terminal.type("check", "others.csv", "--course", "59")
        assert (checked.code, "names and the e-mail address are other ones" in checked.err) == (1, True)
    result = terminal.run("others.csv", "--course", "59", *options)

    assert result.code == 1
    assert codes(result)[1][:2] == ("invalid", "other_person")
    assert [each for each in lms.look("candidates") if each["id"] in {who["id"] for who in before}][1] == before[1]
    assert ("ben.beta@example.com", "59") not in lms.standing


def test_within_a_roster_another_person_under_the_same_id_is_refused_and_check_says_so(sandbox, office):
    terminal = office(sandbox(), "kmi")
    terminal.write("same.csv", PEOPLE.replace("A-2", "A-1"))

    checked = terminal.type("check", "same.csv", *COURSE)
    result = terminal.run("same.csv", *COURSE)

    assert (checked.code, result.code) == (1, 1)
    assert "Row 3 (external_id): This external_id is also in row 2" in checked.err
    assert codes(result) == [("registered", "", ""), ("invalid", "other_person", "external_id")]


def test_two_people_at_one_address_need_an_external_id_each(sandbox, office):
    terminal = office(sandbox())
    terminal.write("family.csv", "E-mail,Forename,Surname\np@example.com,Ana,Alpha\np@example.com,Ben,Alpha\n")

    result = terminal.run("family.csv", *COURSE)

    assert (result.code, codes(result)[1]) == (1, ("invalid", "other_person", "E-mail"))
    assert "external_id each" in result.rows[1]["_error"]


def test_placeholders_for_an_id_leave_nobody_out(sandbox, office):
    lms = sandbox()
    terminal = office(lms)
    terminal.write("none.csv", PEOPLE.replace("A-1", "N/A").replace("A-2", "n/a"))

    result = terminal.run("none.csv", *COURSE)

    assert (result.code, result.counts) == (0, {"registered": 2})
    assert not any(each.get("externalId") for each in lms.look("candidates"))


def test_sharp_s_and_double_s_are_two_people(sandbox, office):
    terminal = office(sandbox())
    terminal.write(
        "sharp.csv",
        "email,first_name,last_name\nweiss@example.com,Ann,Weiss\nweiß@example.com,Bob,Weiß\n"
        "info@strasse.example,Cam,Gamma\ninfo@straße.example,Dee,Delta\n",
    )

    assert [row["_status"] for row in terminal.run("sharp.csv", *COURSE).rows] == ["registered"] * 4
