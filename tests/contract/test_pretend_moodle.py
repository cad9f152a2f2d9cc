"""The pretend Moodle answers as real servers did, over a real socket: their web services, row by row."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.conftest import wait_until
from worker.sandbox.server import make_state, running

TOKEN = "sandbox-moodle-token"
TLS = ssl.create_default_context()
INVALID = {
    "exception": "core\\exception\\invalid_parameter_exception",
    "errorcode": "invalidparameter",
    "message": "Invalid parameter value detected",
}


def flat(value: Any, name: str = "") -> dict[str, str]:
    """Return nested values as PHP's form fields."""
    if isinstance(value, dict):
        pairs = [(f"{name}[{key}]" if name else key, each) for key, each in value.items()]
    elif isinstance(value, list):
        pairs = [(f"{name}[{number}]", each) for number, each in enumerate(value)]
    else:
        return {name: str(int(value)) if isinstance(value, bool) else str(value)}
    return {key: text for path, each in pairs for key, text in flat(each, path).items()}


@dataclass
class Moodle:
    client: httpx.Client
    world: Any

    def send(self, function: str, *, control_last: bool = False, **fields: Any) -> httpx.Response:
        control = {"wstoken": TOKEN, "wsfunction": function, "moodlewsrestformat": "json"}
        data = flat(fields)
        return self.post(data | control if control_last else control | data)

    def post(self, data: dict[str, str], **more: Any) -> httpx.Response:
        return self.client.post("/moodle/webservice/rest/server.php", data=data, **more)

    def ask(self, function: str, **fields: Any) -> Any:
        answer = self.send(function, **fields)
        assert answer.status_code == 200
        return answer.json()

    def code(self, function: str, **fields: Any) -> str:
        return str(self.ask(function, **fields)["errorcode"])

    def create(self, *users: dict[str, Any]) -> Any:
        return self.ask("core_user_create_users", users=list(users))

    def enrol(self, *enrolments: dict[str, Any]) -> Any:
        return self.ask("enrol_manual_enrol_users", enrolments=list(enrolments))

    def find(self, field: str, *values: str) -> Any:
        return self.ask("core_user_get_users_by_field", field=field, values=list(values))

    def enrolled(self, course_id: int = 58, **options: Any) -> Any:
        listed = [{"name": name, "value": value} for name, value in options.items()]
        return self.ask(
            "core_enrol_get_enrolled_users", courseid=course_id, **({"options": listed} if listed else {})
        )

    @property
    def count(self) -> int:
        return len(self.world.moodle.site.standing())


Start = Callable[..., Moodle]


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as stack:

        def start_with(**options: Any) -> Moodle:
            shared = {name: options.pop(name) for name in ("bad_days", "gateway") if name in options}
            world = make_state(**shared, **{f"moodle_{name}": value for name, value in options.items()})
            url = stack.enter_context(running(world))
            return Moodle(stack.enter_context(httpx.Client(base_url=url, verify=TLS)), world)

        yield start_with


@pytest.fixture
def moodle(start: Start) -> Moodle:
    return start()


def a_user(name: str = "ada", **changes: Any) -> dict[str, Any]:
    user = {
        "username": name,
        "password": "Secret-12",
        "firstname": "Ada",
        "lastname": "Byron",
        "email": f"{name}@example.com",
    }
    return {key: value for key, value in (user | changes).items() if value is not None}


def enrolment(user_id: Any, course_id: Any = 58, **changes: Any) -> dict[str, Any]:
    return {"roleid": 5, "userid": user_id, "courseid": course_id} | changes


# The wire


def test_errors_are_answered_with_200_and_as_xml_unless_json_was_asked_for(moodle: Moodle) -> None:
    control = {"wstoken": "wrong", "wsfunction": "core_webservice_get_site_info"}

    as_json = moodle.post(control | {"moodlewsrestformat": "json"})
    as_xml = moodle.post(control)

    assert as_json.status_code == as_xml.status_code == 200
    assert as_json.json()["errorcode"] == "invalidtoken"
    assert as_xml.text == (
        '<?xml version="1.0" encoding="UTF-8" ?>\n<EXCEPTION class="core\\exception\\moodle_exception">\n'
        "<ERRORCODE>invalidtoken</ERRORCODE>\n<MESSAGE>Invalid token - token not found</MESSAGE>\n</EXCEPTION>\n"
    )


def test_get_works_as_post_does_and_json_bodies_and_bearer_tokens_do_not(moodle: Moodle) -> None:
    path = "/moodle/webservice/rest/server.php"
    control = {"wstoken": TOKEN, "wsfunction": "core_webservice_get_site_info", "moodlewsrestformat": "json"}

    assert moodle.client.get(path, params=control).json()["userid"] == 3
    assert moodle.client.post(path, params={"wstoken": TOKEN}, data=control | {"wstoken": ""}).status_code == 200
    assert "invalidtoken" in moodle.client.post(path, json=control).text
    assert "invalidtoken" in moodle.client.post(path, headers={"Authorization": f"Bearer {TOKEN}"}).text
    assert moodle.client.head(path).status_code == 200
    assert moodle.client.get("/moodle/nothing.php").status_code == 404
    assert "<KEY name=" in moodle.post({"wstoken": TOKEN, "wsfunction": control["wsfunction"]}).text


@pytest.mark.parametrize(
    ("version", "name"), [("5.1", "core\\exception\\moodle_exception"), ("4.3", "moodle_exception")]
)
def test_the_class_of_an_error_has_a_namespace_from_some_version_on(start: Start, version: str, name: str) -> None:
    moodle = start(version=version)

    answer = moodle.post({"wstoken": "no", "wsfunction": "x", "moodlewsrestformat": "json"}).json()

    assert answer["exception"] == name


def test_an_unknown_function_and_an_empty_one_are_told_apart(moodle: Moodle) -> None:
    assert moodle.code("core_user_no_such") == "invalidrecordunknown"
    assert moodle.code("") == "invalidparameter"


# core_user_create_users


def test_people_are_created_in_the_order_sent(moodle: Moodle) -> None:
    made = moodle.create(a_user("zoe"), a_user("ada"), a_user("bob"))

    assert [each["username"] for each in made] == ["zoe", "ada", "bob"]
    assert moodle.world.moodle.mails_sent == 0


REFUSED = {
    "username taken": {"username": "taken"},
    "e-mail taken": {"email": "taken@example.com"},
    "e-mail taken in another letter case": {"email": "TAKEN@Example.com"},
    "e-mail missing": {"email": None},
    "e-mail empty": {"email": ""},
    "no e-mail": {"email": "not-an-email"},
    "a local domain": {"email": "root@localhost"},
    "an accent in the e-mail": {"email": "josé@example.com"},
    "an accent in its domain": {"email": "x@exämple.com"},
    "upper case in the username": {"username": "Ada"},
    "a space at the end of the username": {"username": "ada "},
    "a plus in the username": {"username": "ada+1"},
    "an accent in the username": {"username": "adaé"},
    "no password": {"password": None},
    "an empty password": {"password": ""},
    "no password for nologin": {"password": None, "auth": "nologin"},
    "a blank first name": {"firstname": " "},
    "no last name": {"lastname": None},
    "tags in a name": {"firstname": "<b>Bob</b>"},
    "an unknown field": {"nickname": "Al"},
    "suspended": {"suspended": True},
    "a language that is not installed": {"lang": "xx"},
    "a plugin that is not installed": {"auth": "nosuch"},
}


def test_whatever_is_wrong_with_one_record_undoes_all_and_is_one_and_the_same_answer(moodle: Moodle) -> None:
    moodle.create(a_user("taken"))
    before = moodle.count
    wrong = {
        name: answer
        for name, change in REFUSED.items()
        if (answer := moodle.create(a_user("good"), a_user("ada", **change))) != INVALID
    }

    assert wrong == {}
    assert moodle.count == before
    assert moodle.code("core_user_create_users", users="") == "invalidparameter"
    assert moodle.code("core_user_create_users") == "invalidparameter"
    (made,) = moodle.create(a_user("good"))
    assert made["id"] > 10, "the ids of what was undone are used up"


ACCEPTED = {
    "an id number that somebody has": {"idnumber": "S-1"},
    "a plus in the e-mail": {"email": "a+b@example.com"},
    "an apostrophe in the e-mail": {"email": "o'neil@example.com"},
    "letter case in the e-mail": {"email": "MiXed@Example.org"},
    "a sign that is no tag": {"firstname": "a < b"},
    "an ampersand": {"lastname": "O'Brien & Söhne 😀\t"},
    "padded names": {"firstname": "  Ann  "},
    "an unknown profile field": {"customfields": [{"type": "nosuch", "value": "1"}]},
    "an unknown country": {"country": "CHE"},
    "an unknown time zone": {"timezone": "Mars/Base"},
    "no password for oauth2": {"password": None, "auth": "oauth2"},
}


def test_what_moodle_does_not_mind_is_stored_as_sent(moodle: Moodle) -> None:
    moodle.create(a_user("first", idnumber="S-1"))
    for number, (name, change) in enumerate(ACCEPTED.items()):
        assert isinstance(moodle.create(a_user(f"u{number}", **change)), list), name

    (mixed,) = moodle.find("email", "MiXed@Example.org")
    (padded,) = moodle.find("username", "u6")
    (country,) = moodle.find("username", "u8")
    assert mixed["email"] == "MiXed@Example.org"
    assert padded["firstname"] == "  Ann  "
    assert "country" not in country
    assert "idnumber" not in country
    assert len(moodle.find("idnumber", "S-1")) == 2


@pytest.mark.parametrize(
    "change",
    [{"username": "a" * 101}, {"firstname": "a" * 101}, {"idnumber": "a" * 256}, {"email": f"{'a' * 100}@e.org"}],
)
def test_texts_that_are_too_long_fail_in_the_database(moodle: Moodle, change: dict[str, str]) -> None:
    assert moodle.create(a_user("good"), a_user(**change))["errorcode"] == "dmlwriteexception"
    assert moodle.find("username", "good") == []


def test_a_weak_password_has_its_page_in_the_error_code(moodle: Moodle) -> None:
    answer = moodle.create(a_user(password="abc"))

    assert answer["errorcode"].startswith("<div>Passwords must be at least 8 characters long.</div>")
    assert answer["message"].startswith("error/<div>")


@pytest.mark.parametrize(("version", "mails"), [("5.1", 0), ("4.3", 4)])
def test_the_old_version_mails_people_whose_creation_is_then_undone(start: Start, version: str, mails: int) -> None:
    moodle = start(version=version)
    good = [a_user(f"u{number}", password=None, createpassword=True) for number in range(4)]

    moodle.create(*good, a_user("bad", email="no"))

    assert moodle.world.moodle.mails_sent == mails
    moodle.create(*good)
    assert moodle.world.moodle.mails_sent == mails + 4


def test_profile_fields_and_preferences_are_kept(moodle: Moodle) -> None:
    moodle.create(
        a_user(
            customfields=[{"type": "staffid", "value": "S-1"}],
            preferences=[{"type": "auth_forcepasswordchange", "value": 1}],
        )
    )

    (found,) = moodle.find("username", "ada")
    (field,) = found["customfields"]
    assert (field["shortname"], field["value"]) == ("staffid", "S-1")
    assert moodle.world.moodle.site.by_username("ada").preferences == {"auth_forcepasswordchange": "1"}


# Look-ups


def test_who_is_not_there_is_absent_and_twice_asked_comes_once(moodle: Moodle) -> None:
    moodle.create(a_user("ada"), a_user("bob"))

    found = moodle.find("username", "bob", "nobody", "ada", "bob")

    assert sorted(each["username"] for each in found) == ["ada", "bob"]


def test_one_ill_formed_username_fails_the_call_and_an_ill_formed_e_mail_does_not(moodle: Moodle) -> None:
    moodle.create(a_user("ada"))

    assert moodle.find("username", "ada", "Ada") == INVALID
    assert len(moodle.find("email", "ada@example.com", "nonsense")) == 1
    assert moodle.code("core_user_get_users_by_field", field="phone", values=["1"]) == "codingerror"


@pytest.mark.parametrize(("database", "found"), [("pg", 0), ("maria", 1)])
def test_letter_case_is_the_databases_matter(start: Start, database: str, found: int) -> None:
    moodle = start(database=database)
    moodle.create(a_user("ada", idnumber="id-1"))

    assert len(moodle.find("email", "ADA@EXAMPLE.COM")) == found
    assert len(moodle.find("idnumber", "ID-1")) == found
    for field, value in (("shortname", "fire"), ("idnumber", "c-58")):
        courses = moodle.ask("core_course_get_courses_by_field", field=field, value=value)
        assert len(courses["courses"]) == found


def test_the_search_by_e_mail_takes_wild_cards_and_any_letter_case(moodle: Moodle) -> None:
    moodle.create(a_user("one1"), a_user("one3"), a_user("two"))

    def found(*criteria: tuple[str, str]) -> Any:
        listed = [{"key": key, "value": value} for key, value in criteria]
        return moodle.ask("core_user_get_users", criteria=listed)

    assert len(found(("email", "ONE_@example.com"))["users"]) == 2
    assert len(found(("email", "%"))["users"]) == moodle.count - 1
    assert len(found(("email", "one%"), ("username", "ONE1"))["users"]) == 1
    assert found(("email", "a"), ("email", "b"))["errorcode"] == "keyalreadyset"
    unknown = found(("foo", "x"))
    assert len(unknown["users"]) == moodle.count - 1
    assert unknown["warnings"][0]["warningcode"] == "invalidfieldparameter"


def test_the_suspended_are_found_and_the_deleted_only_by_their_id(moodle: Moodle) -> None:
    ada, bob = moodle.create(a_user("ada"), a_user("bob"))
    moodle.ask("core_user_update_users", users=[{"id": ada["id"], "suspended": True}])
    moodle.ask("core_user_delete_users", userids=[bob["id"]])

    assert moodle.find("username", "ada")[0]["suspended"] is True
    assert moodle.find("email", "bob@example.com") == []
    assert moodle.find("id", bob["id"])[0]["username"].startswith("bob@example.com.")
    (again,) = moodle.create(a_user("bob"))
    assert again["id"] != bob["id"]


def test_the_rows_of_the_old_version_lack_names(start: Start) -> None:
    moodle = start(version="4.3")
    moodle.create(a_user("ada"))

    (row,) = moodle.find("username", "ada")

    assert "firstname" not in row
    assert row["fullname"] == "Ada Byron"


def test_courses_are_found_by_their_fields(moodle: Moodle) -> None:
    def ids(field: str, value: str) -> list[int]:
        answer = moodle.ask("core_course_get_courses_by_field", field=field, value=value)
        return [each["id"] for each in answer["courses"]]

    assert ids("id", "58") == ids("shortname", "FIRE") == ids("idnumber", "C-58") == [58]
    assert ids("ids", "58,60,999") == [58, 60]
    assert ids("id", "999") == []
    assert moodle.code("core_course_get_courses_by_field", field="fullname", value="x") == "invalidparameter"
    every = moodle.ask("core_course_get_courses")
    assert every[0]["id"] == 1, "the site itself"
    assert [each["id"] for each in moodle.ask("core_course_get_courses", options={"ids": [59, 999]})] == [59]


# Enrolments


def test_enrolling_answers_null_and_again_is_no_error(moodle: Moodle) -> None:
    (ada,) = moodle.create(a_user())
    answer = moodle.send("enrol_manual_enrol_users", enrolments=[enrolment(ada["id"]), enrolment(ada["id"])])

    assert answer.content == b"null"
    assert moodle.enrol(enrolment(ada["id"], roleid=4)) is None
    (row,) = moodle.enrolled()
    assert [each["shortname"] for each in row["roles"]] == ["teacher", "student"]


def test_enrolling_again_wipes_suspension_and_dates(moodle: Moodle) -> None:
    (ada,) = moodle.create(a_user())
    moodle.enrol(enrolment(ada["id"], suspend=1, timestart=1, timeend=2))
    assert moodle.enrolled(onlyactive=1) == []
    assert len(moodle.enrolled(onlysuspended=1)) == len(moodle.enrolled()) == 1
    assert moodle.ask("core_enrol_get_users_courses", userid=ada["id"]) == []

    moodle.enrol(enrolment(ada["id"]))

    assert len(moodle.enrolled(onlyactive=1)) == 1
    (course,) = moodle.ask("core_enrol_get_users_courses", userid=ada["id"])
    assert (course["id"], course["enrolledusercount"]) == (58, 1)


@pytest.mark.parametrize("version", ["5.1", "4.3"])
def test_one_wrong_enrolment_undoes_all(start: Start, version: str) -> None:
    moodle = start(version=version)
    ada, gone, suspended = moodle.create(a_user("ada"), a_user("gone"), a_user("sus"))
    moodle.ask("core_user_delete_users", userids=[gone["id"]])
    moodle.ask("core_user_update_users", users=[{"id": suspended["id"], "suspended": 1}])
    new = version == "5.1"

    def code(**change: Any) -> str:
        return str(moodle.enrol(enrolment(ada["id"]), enrolment(ada["id"]) | change)["errorcode"])

    assert code(userid=9999) == ("invalidrecordunknown" if new else "codingerror")
    assert code(userid=gone["id"]) == ("userdeleted" if new else "codingerror")
    assert code(courseid=999) == "invalidparameter"
    assert code(roleid=777) == "wsusercannotassign"
    assert code(courseid=63) == code(courseid=1) == "wsnoinstance"
    assert code(roleid="x") == "invalidparameter"
    assert moodle.enrolled() == []
    assert moodle.enrol(enrolment(suspended["id"])) is None
    assert moodle.code("enrol_manual_enrol_users", enrolments="") == "invalidparameter"


@pytest.mark.parametrize("version", ["5.1", "4.3"])
def test_people_are_taken_off_and_not_being_on_is_no_error(start: Start, version: str) -> None:
    moodle = start(version=version)
    ada, bob = moodle.create(a_user("ada"), a_user("bob"))
    moodle.enrol(enrolment(ada["id"]))
    new = version == "5.1"

    def off(user_id: int, course_id: int = 58) -> Any:
        return moodle.ask("enrol_manual_unenrol_users", enrolments=[{"userid": user_id, "courseid": course_id}])

    assert off(9999)["errorcode"] == ("invalidrecordunknown" if new else "invalidparameter")
    assert off(ada["id"], 999)["errorcode"] == ("invalidrecordunknown" if new else "invalidrecord")
    assert off(ada["id"]) is off(bob["id"]) is None
    assert moodle.enrolled() == []
    assert moodle.code("core_enrol_get_enrolled_users", courseid=999) == (
        "invalidrecordunknown" if new else "invalidrecord"
    )


def test_the_list_of_a_course_comes_in_parts_and_with_some_fields(moodle: Moodle) -> None:
    made = moodle.create(*(a_user(f"u{number}") for number in range(5)))
    moodle.enrol(*(enrolment(each["id"]) for each in made))

    part = moodle.enrolled(limitfrom=1, limitnumber=2, userfields="id,email")

    assert [each["id"] for each in part] == [made[1]["id"], made[2]["id"]]
    assert part[0].keys() == {"id", "email", "fullname"}
    assert moodle.enrolled()[0]["enrolledcourses"][0]["id"] == 58


def test_each_record_of_an_update_counts_alone(moodle: Moodle) -> None:
    ada, bob = moodle.create(a_user("ada"), a_user("bob"))
    wrong = [
        {"id": 9999, "city": "X"},
        {"id": ada["id"], "email": "bob@example.com"},
        {"id": ada["id"], "email": "nonsense"},
        {"id": ada["id"], "username": "bob"},
        {"id": 2, "city": "X"},
        {"id": 1, "city": "X"},
    ]

    answer = moodle.ask("core_user_update_users", users=[*wrong, {"id": bob["id"], "city": "Delft"}])

    assert [each["warningcode"] for each in answer["warnings"]] == [
        "invaliduserid",
        "useremailduplicate",
        "useremailinvalid",
        "dmlwriteexception",
        "usernotupdatedadmin",
        "usernotupdatedguest",
    ]
    assert moodle.find("username", "bob")[0]["city"] == "Delft"


@pytest.mark.parametrize(("version", "code"), [("5.1", "invalidrecordunknown"), ("4.3", "invaliduser")])
def test_deleting_is_all_or_nothing(start: Start, version: str, code: str) -> None:
    moodle = start(version=version)
    (ada,) = moodle.create(a_user())

    assert moodle.code("core_user_delete_users", userids=[ada["id"], 9999]) == code
    assert moodle.code("core_user_delete_users", userids=[2]) == "useradminodelete"
    assert moodle.code("core_user_delete_users", userids=[3]) == "usernotdeletederror"
    assert len(moodle.find("username", "ada")) == 1


# What the account lacks


@pytest.mark.parametrize(
    ("lacks", "function", "fields", "expected"),
    [
        ("webservice/rest:use", "core_webservice_get_site_info", {}, "accessexception"),
        ("moodle/user:create", "core_user_create_users", {"users": [a_user("new")]}, "nopermissions"),
        ("moodle/user:update", "core_user_update_users", {"users": [{"id": 4}]}, "nopermissions"),
        ("moodle/user:delete", "core_user_delete_users", {"userids": [4]}, "nopermissions"),
        ("moodle/user:viewdetails", "core_user_get_users_by_field", {"field": "id", "values": [4]}, []),
        ("moodle/user:viewdetails", "core_enrol_get_enrolled_users", {"courseid": 58}, []),
        (
            "moodle/user:viewalldetails",
            "core_user_get_users_by_field",
            {"field": "username", "values": ["ada"]},
            [],
        ),
        (
            "moodle/site:viewuseridentity",
            "core_user_get_users_by_field",
            {"field": "email", "values": ["ada@example.com"]},
            [],
        ),
        ("moodle/course:view", "enrol_manual_enrol_users", {"enrolments": [enrolment(4)]}, "requireloginerror"),
        ("moodle/course:view", "core_enrol_get_enrolled_users", {"courseid": 58}, "errorcoursecontextnotvalid"),
        ("moodle/course:view", "core_enrol_get_users_courses", {"userid": 4}, []),
        (
            "moodle/course:viewhiddencourses",
            "enrol_manual_enrol_users",
            {"enrolments": [enrolment(4, 64)]},
            "requireloginerror",
        ),
        ("enrol/manual:enrol", "enrol_manual_enrol_users", {"enrolments": [enrolment(4)]}, "nopermissions"),
        (
            "enrol/manual:unenrol",
            "enrol_manual_unenrol_users",
            {"enrolments": [{"userid": 4, "courseid": 58}]},
            "nopermissions",
        ),
        ("moodle/role:assign", "enrol_manual_enrol_users", {"enrolments": [enrolment(4)]}, "wsusercannotassign"),
    ],
)
def test_a_capability_that_is_missing_shows_as_measured(
    start: Start, lacks: str, function: str, fields: dict[str, Any], expected: Any
) -> None:
    moodle = start(lacks=frozenset({lacks}))
    moodle.world.moodle.site.enrol(58, 2, role_id=5)
    site = moodle.world.moodle.site
    site.add(type(site.accounts[1])(4, "ada", "Ada", "Byron", "ada@example.com"))

    answer = moodle.ask(function, **fields)

    assert (answer["errorcode"] if isinstance(answer, dict) else answer) == expected
    if lacks != "webservice/rest:use":
        assert len(moodle.find("id", "3")) == 1, "its own row the account always sees"


# Size


def test_fields_past_the_limit_vanish_in_silence(moodle: Moodle) -> None:
    def users(count: int, **more: Any) -> list[dict[str, Any]]:
        return [a_user(f"u{number}", auth="manual", **more) for number in range(count)]

    assert len(moodle.create(*users(166))) == 166
    assert moodle.create(*users(167)) == INVALID, "the cut falls inside a record"


def test_a_record_whose_optional_fields_are_cut_off_is_made_without_them(moodle: Moodle) -> None:
    users = [a_user(f"u{number}", auth="manual", city="Delft", idnumber=f"S-{number}") for number in range(130)]

    made = moodle.create(*users)

    assert len(made) == 125
    (last,) = moodle.find("id", made[-1]["id"])
    assert "idnumber" not in last
    assert moodle.find("id", made[-2]["id"])[0]["idnumber"] == "S-123"


def test_a_higher_limit_keeps_more_and_enrolments_are_cut_too(start: Start) -> None:
    moodle = start(max_input_vars=5000)
    people = [account.id for account in moodle.world.moodle.site.accounts.values()]
    site = moodle.world.moodle.site
    for number in range(1700):
        site.add(type(site.accounts[1])(10 + number, f"u{number}", "A", "B", f"u{number}@example.com"))
    assert len(people) == 3

    assert moodle.enrol(*(enrolment(10 + number) for number in range(1700))) is None

    assert len(site.enrolments[58]) == 1666


def test_control_fields_at_the_end_of_too_long_a_body_are_lost(moodle: Moodle) -> None:
    users = [a_user(f"u{number}") for number in range(300)]

    answer = moodle.send("core_user_create_users", control_last=True, users=users)

    assert "<ERRORCODE>invalidtoken</ERRORCODE>" in answer.text


def test_bodies_that_are_too_long_lose_all_fields_or_are_refused(start: Start) -> None:
    moodle = start(post_max_size=2000, client_max_body_size=4000)

    assert "invalidtoken" in moodle.send("core_user_create_users", users=[a_user(lastname="x" * 2500)]).text
    assert moodle.send("core_user_create_users", users=[a_user(lastname="x" * 5000)]).status_code == 413


# Lost answers and doubled calls


def both(*calls: Callable[[], Any]) -> list[Any]:
    """Make calls at once and return their answers."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [each.result() for each in [pool.submit(call) for call in calls]]


def test_of_two_calls_that_create_the_same_person_at_once_one_fails_in_the_database(start: Start) -> None:
    moodle = start(slowness=10)

    answers = both(*[lambda: moodle.create(a_user())] * 2)

    assert sorted(type(each).__name__ for each in answers) == ["dict", "list"]
    assert [each["errorcode"] for each in answers if isinstance(each, dict)] == ["dmlwriteexception"]
    assert moodle.create(a_user()) == INVALID


def test_one_e_mail_under_two_usernames_at_once_makes_two(start: Start) -> None:
    moodle = start(slowness=10)

    both(*(lambda name=name: moodle.create(a_user(name, email="one@example.com")) for name in ("ada", "bob")))

    assert len(moodle.find("email", "one@example.com")) == 2
    assert moodle.world.moodle.duplicates()["persons"] == 1


def test_of_enrolments_sent_three_times_at_once_one_is_made(start: Start) -> None:
    moodle = start(slowness=10)
    (ada,) = moodle.create(a_user())

    answers = both(*[lambda: moodle.enrol(enrolment(ada["id"]))] * 3)

    assert answers.count(None) == 1
    assert [each["errorcode"] for each in answers if each] == ["dmlwriteexception"] * 2
    assert moodle.enrol(enrolment(ada["id"])) is None


def test_behind_a_gateway_that_gives_up_the_work_appears_later(start: Start) -> None:
    moodle = start(slowness=30, gateway=0.2)

    answer = moodle.send("core_user_create_users", users=[a_user()])

    assert answer.status_code == 504
    assert moodle.world.moodle.site.by_username("ada") is None
    wait_until(lambda: moodle.world.moodle.site.by_username("ada"), "the end of the call")


def test_a_504_can_be_asked_for_with_the_work_done_afterwards(start: Start) -> None:
    moodle = start(bad_days=["create_users:late:seconds=0.2"])

    assert moodle.send("core_user_create_users", users=[a_user()]).status_code == 504
    assert moodle.find("username", "ada") == []
    wait_until(lambda: moodle.find("username", "ada"), "the end of the call")


def test_a_client_that_hangs_up_does_not_stop_the_work(start: Start) -> None:
    moodle = start(slowness=10)

    with pytest.raises(httpx.ReadTimeout):
        moodle.post(
            {"wstoken": TOKEN, "wsfunction": "core_user_create_users"} | flat({"users": [a_user()]}), timeout=0.1
        )

    wait_until(lambda: moodle.world.moodle.site.by_username("ada"), "the end of the call")


# When the site is not well


@pytest.mark.parametrize(
    ("state", "status", "code"),
    [
        ("accessexception", 200, "accessexception"),
        ("wsaccessusersuspended", 200, "wsaccessusersuspended"),
        ("sitemaintenance", 200, "sitemaintenance"),
        ("upgraderunning", 200, "upgraderunning"),
        ("dbconnectionfailed", 200, "dbconnectionfailed"),
        ("off", 403, None),
        ("maintenance-503", 503, None),
        ("502", 502, None),
    ],
)
def test_each_state_of_the_site_is_answered_in_its_way(
    start: Start, state: str, status: int, code: str | None
) -> None:
    answer = start(state=state).send("core_webservice_get_site_info")

    assert answer.status_code == status
    assert code is None or answer.json()["errorcode"] == code
    assert answer.headers.get("retry-after") == ("300" if status == 503 else None)
    assert (answer.content == b"") == (status == 403)


def test_an_error_of_moodle_can_be_asked_for_by_its_code(start: Start) -> None:
    moodle = start(bad_days=["moodle.*:sitemaintenance:first=1", "create_users:dmlwriteexception"])

    assert moodle.code("core_webservice_get_site_info") == "sitemaintenance"
    assert moodle.ask("core_webservice_get_site_info")["userid"] == 3
    assert moodle.create(a_user())["errorcode"] == "dmlwriteexception"
    assert moodle.find("username", "ada") == [], "nothing was done"


def test_an_expired_token_is_deleted_by_its_first_use(start: Start) -> None:
    moodle = start(state="token-expired")

    assert moodle.code("core_webservice_get_site_info") == "accessexception"
    assert moodle.code("core_webservice_get_site_info") == "invalidtoken"


@pytest.mark.parametrize("state", ["sitepolicynotagreed", "forcepasswordchangenotice"])
def test_site_info_answers_though_the_account_has_something_to_do_first(start: Start, state: str) -> None:
    moodle = start(state=state)

    assert moodle.ask("core_webservice_get_site_info")["userid"] == 3
    assert len(moodle.ask("core_course_get_courses_by_field")["courses"]) == 7
    assert moodle.find("username", "admin")["errorcode"] == state
    assert moodle.enrolled()["errorcode"] == "errorcoursecontextnotvalid"


def test_another_host_is_redirected_and_nothing_is_done(start: Start) -> None:
    moodle = start(wwwroot="https://moodle.example")

    answer = moodle.send("core_user_create_users", users=[a_user()])

    assert (answer.status_code, answer.headers["location"]) == (303, "https://moodle.example")
    assert moodle.count == 3


def test_a_function_that_the_service_does_not_hold_is_refused(start: Start) -> None:
    moodle = start(without=frozenset({"core_user_get_users"}))

    assert moodle.code("core_user_get_users", criteria=[{"key": "id", "value": 1}]) == "accessexception"
    named = {each["name"] for each in moodle.ask("core_webservice_get_site_info")["functions"]}
    assert "core_user_get_users" not in named
    assert "core_user_create_users" in named
