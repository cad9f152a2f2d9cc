"""Moodle on the wire: what real servers answered, and what is sent to them. No server is needed."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from tests.builders import a_candidate, a_connection, a_course, a_row, enrolments, nothing
from worker.errors import AnswerLost, LmsUnavailable, RateLimited, Refused, StopJob
from worker.lms.contract import ActionRequest, FoundPerson, LookupMiss, RemoteRegistration, RemoteState
from worker.lms.moodle.courses import Courses
from worker.lms.moodle.errors import check_answer
from worker.lms.moodle.lookups import Found, look_up, match
from worker.lms.moodle.people import Users
from worker.lms.moodle.site import Site, _site_info_of, is_deleted
from worker.lms.moodle.values import is_user_name, new_password, problem_of, spellings, user_name_of
from worker.lms.moodle.wire import Api, form_fields
from worker.lms.responses import LmsResponse, parse
from worker.model import Action, Candidate, Course
from worker.pace.hints.response import read_hints

POLICY = "<div>Passwords must be at least 8 characters long.<\\/div><div>… at least 1 digit(s).<\\/div>"
XML = (
    '<?xml version="1.0" encoding="UTF-8" ?>\n<EXCEPTION class="core\\exception\\moodle_exception">\n'
    "<ERRORCODE>invalidtoken</ERRORCODE>\n<MESSAGE>Invalid token - token not found</MESSAGE>\n</EXCEPTION>\n"
)


def judged(status: int, text: str, **headers: str) -> LmsResponse:
    """Judge an answer as the client does."""
    response = parse(status, headers, text.encode())
    return check_answer(response, read_hints(status, headers, text, now=0.0), changes=True)


def error(code: str, message: str = "m", **further: str) -> str:
    named = {"exception": "core\\exception\\moodle_exception", "errorcode": code, "message": message}
    return json.dumps(named | further)


@pytest.mark.parametrize("text", ['[{"id":5,"username":"one1"}]', "null", '{"warnings":[]}', "[]"])
def test_a_success_is_an_answer_with_200_that_is_json_and_no_exception(text: str) -> None:
    assert judged(200, text).text == text


@pytest.mark.parametrize("code", ["sitemaintenance", "upgraderunning", "dbconnectionfailed"])
def test_a_site_that_is_closed_for_a_while_is_tried_again(code: str) -> None:
    with pytest.raises(LmsUnavailable) as raised:
        judged(200, error(code, "<p>Error: Database connection failed</p>"))
    assert raised.value.seconds <= 10


@pytest.mark.parametrize(
    ("status", "text"),
    [
        *(
            (200, error(code))
            for code in (
                *("invalidtoken", "accessexception", "wsaccessusersuspended"),
                *("sitepolicynotagreed", "forcepasswordchangenotice"),
            )
        ),
        (403, ""),
        (404, "File not found."),
        (303, "<html>redirect</html>"),
    ],
)
def test_what_only_a_person_can_fix_stops_the_job(status: int, text: str) -> None:
    with pytest.raises(StopJob):
        judged(status, text, location="https://moodle.example.com/webservice/rest/server.php?wstoken=s3cret")


def test_a_redirect_is_a_wrong_address_and_shows_no_token() -> None:
    with pytest.raises(StopJob) as raised:
        judged(303, "", location="https://moodle.example.com/webservice/rest/server.php?wstoken=s3cret")
    assert "base_url" in str(raised.value)
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("status", [500, 502, 504, 408, 202, 204])
def test_an_answer_of_a_gateway_leaves_the_call_in_doubt(status: int) -> None:
    with pytest.raises(AnswerLost):
        judged(status, "<html><title>Gateway Time-out</title></html>")


@pytest.mark.parametrize("text", ["", "<html>Fatal error</html>", "[{"])
def test_an_answer_that_is_not_json_leaves_the_call_in_doubt(text: str) -> None:
    with pytest.raises(AnswerLost):
        judged(200, text)


def test_maintenance_by_command_line_asks_for_a_pause() -> None:
    with pytest.raises(RateLimited) as raised:
        judged(503, "<html>under maintenance</html>", **{"retry-after": "300"})
    assert raised.value.seconds == 300


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (error("invalidparameter"), "invalidparameter"),
        (error("dmlwriteexception", "Error writing to database"), "dmlwriteexception"),
        ('{"exception":"moodle_exception","errorcode":"' + POLICY + '","message":"error\\/x"}', "password_policy"),
        (XML, "call_too_large"),
    ],
)
def test_a_refusal_has_its_errorcode_whatever_its_class_is_called(text: str, code: str) -> None:
    with pytest.raises(Refused) as raised:
        judged(200, text)
    assert raised.value.code == code
    assert "<" not in raised.value.message


def test_debug_information_is_never_in_an_error() -> None:
    secret = "INSERT … 'ada@example.com', '$6$rounds=10000$hash'"
    for status in (200, 500):
        with pytest.raises((Refused, AnswerLost)) as raised:
            judged(status, error("dmlwriteexception", "Error writing to database", debuginfo=secret))
        assert "rounds" not in f"{raised.value} {raised.value!r}"


def test_the_secret_key_of_site_info_is_not_kept() -> None:
    info = _site_info_of(
        {
            "userid": 3,
            "username": "provsvc",
            "version": "2025100600.02",
            "release": "5.1+",
            "userprivateaccesskey": "s3cret",
            "functions": [{"name": "core_user_create_users"}],
        }
    )

    assert (info.user_id, info.version, info.mails_after_commit) == ("3", 2025100600, True)
    assert "s3cret" not in repr(info)


def test_values_are_written_as_php_reads_them() -> None:
    value = {"users": [{"username": "ada", "createpassword": True}, {"preferences": [{"type": "x", "value": 1}]}]}

    assert list(form_fields(value)) == [
        ("users[0][username]", "ada"),
        ("users[0][createpassword]", "1"),
        ("users[1][preferences][0][type]", "x"),
        ("users[1][preferences][0][value]", "1"),
    ]


class Recorded:
    """A client that keeps the form of each call, and gives these answers, the last one again and again."""

    def __init__(self, *answers: Any) -> None:
        self.forms: list[list[tuple[str, str]]] = []
        self.answers = list(answers) or [[]]
        self.session = SimpleNamespace(measured={})

    async def change_form(
        self, operation: str, path: str, form: list[tuple[str, str]], _intent: Any, **_: Any
    ) -> LmsResponse:
        return await self.read_form(operation, path, form)

    async def read_form(self, _operation: str, _path: str, form: list[tuple[str, str]], **_: Any) -> LmsResponse:
        self.forms.append(form)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return parse(200, {}, json.dumps(answer).encode())


async def test_the_control_fields_come_first_and_a_call_above_the_limit_is_not_sent() -> None:
    client: Any = Recorded()
    api = Api(client, "token", 10)

    await api.read("find_users", "f", {"values": list("abcdefg")})
    with pytest.raises(Refused) as raised:
        await api.read("find_users", "f", {"values": list("abcdefgh")})

    (form,) = client.forms
    assert [name for name, _ in form[:3]] == ["wstoken", "wsfunction", "moodlewsrestformat"]
    assert raised.value.code == "call_too_large"
    assert (api.most_items(3), api.most_items(3, besides=2), api.most_items(100)) == (2, 1, 1)


def test_an_address_is_spelled_as_people_write_capitals() -> None:
    who = Candidate(email="ada.mcahern@example.com", first_name="Ada", last_name="McAhern")

    assert spellings(who) >= {
        "Ada.McAhern@example.com",
        "Ada.Mcahern@Example.com",
        "Ada.mcahern@example.com",
        "ADA.MCAHERN@EXAMPLE.COM",
        "ada.mcahern@Example.com",
    }
    assert {each.lower() for each in spellings(who)} == {who.email}
    assert len(spellings(who)) <= 15
    assert spellings(Candidate(first_name="Ada")) == frozenset()


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("Ada.Ahern@Example.COM", "ada.ahern@example.com"),
        ("a+b@example.com", "ab@example.com"),
        ("o'neil@example.com", "oneil@example.com"),
    ],
)
def test_a_user_name_is_made_from_the_address_as_moodle_makes_it(address: str, name: str) -> None:
    assert user_name_of(Candidate(email=address)) == name
    assert is_user_name(name)
    assert user_name_of(Candidate(email=address, login_name="given")) == "given"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("login_name", "OneUp"),
        ("login_name", "one up"),
        ("login_name", "jörg"),
        ("login_name", "a" * 101),
        ("first_name", "<b>Bob</b>"),
        ("first_name", "a" * 101),
        ("email", "josé@example.com"),
        ("email", "x@exämple.com"),
        ("external_id", "a" * 256),
    ],
)
def test_what_moodle_refuses_is_known(column: str, value: str) -> None:
    assert problem_of(column, value)


@pytest.mark.parametrize(
    ("value", "offered"),
    [
        ("Dilek.Ayd\u0131n@example.com", "dilek.aydin@example.com"),
        ("strauß_łukasz", "strauss_lukasz"),
        ("søren o'neil", "sorenoneil"),
        ("José", "jose"),
    ],
)
def test_a_user_name_is_offered_in_plain_letters(value: str, offered: str) -> None:
    assert f'write "{offered}", or leave the cell empty' in str(problem_of("login_name", value))


@pytest.mark.parametrize("value", ["анна@example.com", "名前", "!!"])
def test_a_user_name_that_would_lose_letters_is_not_offered(value: str) -> None:
    assert str(problem_of("login_name", value)).endswith("; leave the cell empty to use the address.")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("first_name", "a < b"),
        ("last_name", "O'Brien & Söhne"),
        ("first_name", "😀"),
        ("email", "a+b@example.com"),
        ("login_name", "ada-1_2.3@x"),
    ],
)
def test_what_moodle_accepts_is_not_refused(column: str, value: str) -> None:
    assert problem_of(column, value) is None


def test_a_random_password_meets_the_default_policy() -> None:
    made = {new_password() for _ in range(50)}

    assert len(made) == 50
    for password in made:
        assert len(password) >= 8
        assert all(re.search(kind, password) for kind in ("[a-z]", "[A-Z]", "[0-9]", "[^a-zA-Z0-9]"))


def found(*people: dict[str, Any]) -> Found:
    users = Found()
    users.add({"firstname": "Ana", "lastname": "Ní 1"} | who for who in people)
    return users


ONE = {"id": 5, "username": "person1", "email": "Person1@Example.org", "idnumber": "N-1"}
TWO = {"id": 6, "username": "two", "email": "two@example.org", "idnumber": "N-2"}


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"login_name": None}, "5"),
        ({"email": "new@example.org", "login_name": None, "external_id": "N-1"}, "5"),
        ({"email": "new@example.org", "login_name": "person1"}, "5"),
        ({"email": "other@example.org", "login_name": None}, None),
        ({"email": "two@example.org", "login_name": None, "external_id": "N-1"}, "ambiguous_candidate"),
        ({"email": "two@example.org", "login_name": "person1"}, "ambiguous_candidate"),
        ({"login_name": None, "external_id": "N-9"}, "candidate_exists"),
        (
            {"email": "q@example.org", "first_name": "Zoe", "last_name": "Quinn", "login_name": "two"},
            "login_name_taken",
        ),
        (
            {"email": "q@example.org", "first_name": "Zoe", "last_name": "Quinn", "login_name": None}
            | {"external_id": "N-1"},
            "other_person",
        ),
    ],
)
def test_a_candidate_is_the_one_whom_all_identifiers_mean(changes: dict[str, Any], wanted: str | None) -> None:
    result = match(a_candidate(1, **changes), found(ONE, TWO))

    if isinstance(result, Refused):
        assert result.code == wanted
    elif isinstance(result, FoundPerson):
        assert result.person.candidate_id == wanted
    else:
        assert (result, wanted) == (LookupMiss.ABSENT, None)


def test_a_deleted_user_is_nobody() -> None:
    deleted = {"id": 9, "username": "b50_020@example.com.1795873518", "email": "0cc175b9c0f1b6a831c399e269772661"}

    assert is_deleted(deleted)
    assert not is_deleted(ONE)
    assert match(Candidate(candidate_id="9", email="b50_020@example.com"), found(deleted)) is LookupMiss.ABSENT


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"role": "student"}, "role"),
        ({"password": "none"}, "password"),
        ({"password": "sms"}, "password"),
        ({"withdraw": "delete"}, "withdraw"),
        ({"fields_per_call": 3}, "fields_per_call"),
        ({"known_user": "ada"}, "known_user"),
        ({"rolle": 5}, "rolle"),
    ],
)
def test_an_error_of_the_settings_names_the_key(keys: dict[str, Any], named: str) -> None:
    with pytest.raises(Exception, match=named) as raised:
        a_connection("moodle", **keys)
    assert not isinstance(raised.value, ValidationError)


def test_the_settings_have_the_defaults_of_the_contract() -> None:
    connection: Any = a_connection("moodle", role="5")

    assert isinstance(connection.token, SecretStr)
    assert (connection.role, connection.password, connection.auth) == (5, "mail", "manual")
    assert (connection.batch_size, connection.max_in_flight, connection.fields_per_call) == (50, 4, 1000)
    assert (connection.withdraw, connection.doubt_minutes) == ("suspend", 60)


SITE = {"userid": 3, "username": "provsvc", "version": "2025100600.02", "release": "5.1+", "functions": []}
ADMIN = {"id": 2, "username": "admin", "email": "root@localhost", "fullname": "Admin User"}
OWN = {"id": 3, "username": "provsvc", "email": "provsvc@example.org"}


def a_site(*answers: Any) -> tuple[Site, Recorded]:
    client: Any = Recorded(SITE, *answers)
    return Site(Api(client, "token", 1000), None), client


async def test_an_administrator_without_a_real_address_is_somebody_who_exists() -> None:
    site, client = a_site([OWN, ADMIN], [], [ADMIN])

    (result,) = await look_up(site, [Candidate(email="ada@example.org")], ())

    assert result is LookupMiss.ABSENT
    asked = [[value for name, value in form if name.startswith("values")] for form in client.forms[2:]]
    assert asked == [["ada@example.org"], ["ada@example.org", "admin"]]


@pytest.mark.parametrize(
    ("rows", "capabilities"),
    [
        ([OWN], ["moodle/user:viewdetails"]),
        ([OWN, {"id": 2, "email": "a@example.org"}], ["moodle/user:viewalldetails"]),
        ([OWN, {"id": 2, "username": "admin"}], ["moodle/site:viewuseridentity"]),
        ([OWN, {"id": 2}], ["moodle/user:viewalldetails", "moodle/site:viewuseridentity"]),
    ],
)
async def test_what_the_account_is_not_shown_names_the_capability(rows: list[Any], capabilities: list[str]) -> None:
    site, _ = a_site(rows)

    with pytest.raises(StopJob) as raised:
        await look_up(site, [Candidate(email="ada@example.org")], ())

    assert all(capability in str(raised.value) for capability in capabilities)


async def test_a_look_up_that_does_not_find_who_exists_is_not_believed() -> None:
    site, _ = a_site([OWN, ADMIN | {"email": "admin@example.org"}], [], [ADMIN])

    with pytest.raises(StopJob, match="viewuseridentity"):
        await look_up(site, [Candidate(email="ada@example.org")], ())


async def test_fewer_are_looked_up_at_a_time_where_a_gateway_does_not_wait() -> None:
    late = AnswerLost("The LMS answered 504", 504)
    site, client = a_site([OWN, ADMIN], late, [ADMIN])
    people = [Candidate(email=f"p{number}@example.org") for number in range(200)]

    results = await look_up(site, people, ())

    assert set(results) == {LookupMiss.ABSENT}
    assert max(len(form) for form in client.forms[3:]) <= 3 + 1 + 100 + 1


COURSE = {"courses": [{"id": 58, "shortname": "FIRE", "enrollmentmethods": ["manual"]}], "warnings": []}


def a_course_of(*answers: Any) -> Courses:
    connection: Any = a_connection("moodle")
    client: Any = Recorded(*answers)
    return Courses(Site(Api(client, "token", 1000), None), connection)


async def test_enrolments_in_doubt_are_settled_without_the_capability_to_see_who_is_suspended() -> None:
    may_not = Refused("nopermissions", 200, "…(Review course enrolments).")
    courses = a_course_of(SITE, [OWN, ADMIN], COURSE, may_not, [{"id": 7, "roles": []}])

    found = await courses.find_registrations(enrolments(["7", "8"], course=a_course(legal_entity_id=None)))

    assert isinstance(found[1], RemoteRegistration)
    assert found[2] is LookupMiss.ABSENT


async def test_a_course_whose_list_may_not_be_seen_names_the_capability() -> None:
    courses = a_course_of(SITE, [OWN, ADMIN], Refused("nopermissions", 200, "…(Review course enrolments)."))

    with pytest.raises(Refused, match="moodle/course:enrolreview") as raised:
        await courses.members("58")
    assert raised.value.code == "course_refused"


@pytest.mark.parametrize(
    ("code", "wanted", "kind"),
    [
        ("wsnoinstance", "course_refused", Refused),
        ("requireloginerror", "course_refused", Refused),
        ("nopermissions", "course_refused", Refused),
        ("invalidrecordunknown", "unknown_candidate", Refused),
        ("codingerror", "unknown_candidate", Refused),
        ("userdeleted", "unknown_candidate", Refused),
        ("invalidparameter", "registration_refused", Refused),
        ("wsusercannotassign", "not_allowed", StopJob),
        ("dmlwriteexception", "answer_lost", AnswerLost),
    ],
)
async def test_each_refusal_of_an_enrolment_is_judged_by_its_code(code: str, wanted: str, kind: Any) -> None:
    courses = a_course_of(SITE, [OWN, ADMIN], COURSE)

    async def refuse(*_: Any, **__: Any) -> None:
        raise Refused(code, 200, "m")

    courses.site.api.client.change_form = refuse  # type: ignore[method-assign,assignment]
    with pytest.raises(kind) as raised:
        await courses.enrol(enrolments(["7"], course=a_course(legal_entity_id=None)), nothing)
    assert raised.value.code == wanted


async def test_a_course_is_found_by_its_id_number_in_another_letter_case_and_all_are_listed_once() -> None:
    nothing_found = {"courses": [], "warnings": []}
    listed = [{"id": 58, "idnumber": "C-58"}, {"id": 59, "idnumber": "C-59"}]
    courses = a_course_of(SITE, [OWN, ADMIN], nothing_found, listed, nothing_found)

    assert await courses.find(Course(external_id="c-58")) == "58"
    assert await courses.find(Course(external_id="c-59")) == "59"


#: As Moodle 4.3 shows a user without moodle/site:viewfullnames.
WHOLE = {"id": 7, "username": "person1", "email": "person1@example.org", "fullname": "Ana Ní 1"}


async def test_of_a_user_who_is_shown_with_the_whole_name_alone_its_parts_are_not_known() -> None:
    site, _ = a_site([OWN, ADMIN], [WHOLE], [ADMIN, WHOLE])

    (result,) = await look_up(site, [a_candidate(1)], ())

    assert isinstance(result, FoundPerson)
    assert (result.person.first_name, result.person.last_name) == (None, None)


#: On the last record of an update, which is of nobody.
HAS_ARRIVED = {"item": "user", "itemid": 2147483647, "warningcode": "invaliduserid", "message": "Invalid user ID"}


def some_users(*answers: Any) -> tuple[Users, Recorded]:
    connection: Any = a_connection("moodle")
    site, client = a_site(*answers)
    return Users(site, connection), client


def an_update(**changes: Any) -> ActionRequest:
    row = a_row(2, a_candidate(1, login_name=None, **changes))
    return ActionRequest(row_id=1, action=Action.UPDATE, row=row, candidate_id="7")


@pytest.mark.parametrize(
    ("changes", "differing"),
    [
        ({}, set()),
        # Part of another name is another name.
        ({"first_name": "An"}, {"firstname", "lastname"}),
        ({"first_name": None}, set()),
        ({"last_name": "1"}, {"firstname", "lastname"}),
    ],
)
async def test_a_whole_name_is_compared_with_both_parts(changes: dict[str, Any], differing: set[str]) -> None:
    users, _ = some_users([OWN, ADMIN], [WHOLE])

    state = (await users.read_states([an_update(**changes)]))[1]

    assert isinstance(state, RemoteState)
    assert state.is_done is (not differing)
    assert state.description == (f"other values in {', '.join(sorted(differing))}" if differing else "active")


async def test_a_custom_field_that_moodle_ignores_is_not_called_updated() -> None:
    users, _ = some_users([OWN, ADMIN], [WHOLE], {"warnings": [HAS_ARRIVED]}, [WHOLE])
    request = an_update(fields={"staffid": "S-1"})
    states = await users.read_states([request])

    results = await users.apply([request], {1: states[1]}, nothing)  # type: ignore[dict-item]

    assert isinstance(results[1], Refused)
    assert (results[1].code, "staffid" in results[1].message) == ("update_refused", True)


async def test_the_service_account_is_not_suspended() -> None:
    users, _ = some_users([OWN, ADMIN], [OWN])
    request = ActionRequest(row_id=1, action=Action.DEACTIVATE, row=a_row(2, Candidate()), candidate_id="3")

    state = (await users.read_states([request]))[1]

    assert isinstance(state, RemoteState)
    assert state.refusal is not None
    assert state.refusal.code == "deactivation_refused"


class Truncating(Recorded):
    """A server that reads a number of form fields, and has these users, who are found by ID."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    async def read_form(self, operation: str, path: str, form: list[tuple[str, str]], **_: Any) -> LmsResponse:
        if operation == "site_info":
            self.answers = [SITE]
        else:
            read = {value for name, value in form[: self.most] if name.startswith("values")}
            self.answers = [[user for user in (OWN, ADMIN) if str(user["id"]) in read]]
        return await super().read_form(operation, path, form)


@pytest.mark.parametrize(
    ("stated", "most", "found", "calls"),
    [
        # As many arrive as the connection says: that is seen in the call that finds the known user.
        (1000, 1000, range(1000, 1001), 1),
        # PHP's own limit is tried first.
        (5000, 1001, range(1000, 1001), 4),
        (100_000, 200_000, range(5000, 5001), 1),
        (1000, 45, range(40, 46), 12),
        (1000, 700, range(660, 701), 9),
    ],
)
async def test_how_many_form_fields_arrive_is_seen_before_anything_is_changed(
    stated: int, most: int, found: range, calls: int
) -> None:
    client: Any = Truncating(most)
    site = Site(Api(client, "token", stated), None)

    await site.known()

    assert site.api.fields_per_call in found
    assert len(client.forms) - 1 <= calls
    assert all(len(form) <= stated for form in client.forms)
    later = Site(Api(client, "token", stated), None)
    await later.known()
    assert later.api.fields_per_call == site.api.fields_per_call
    assert len(client.forms[-1]) == site.api.fields_per_call
