"""The pretend LMS as the documentation has it, over a real socket."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from worker.sandbox.rule_syntax import RuleSyntaxError
from worker.sandbox.server import make_state, running

TAHDAH = {"Authorization": "Bearer sandbox-token"}
KMI = {"X-Api-Key": "sandbox-key", "X-Api-Secret": "sandbox-secret"}
REGISTRATIONS = "/api/learningexperiences/legalentities/42/experiences/58/registrations"
LEARNERS = REGISTRATIONS.replace("registrations", "learners")
USERS = "/api/v2/users/"
KMI_REGISTRATIONS = "/api/v2/registrations/"

Start = Callable[..., httpx.Client]

#: One for all clients: making it takes longer than most tests.
TLS = ssl.create_default_context()


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as stack:

        def start_with(**options: Any) -> httpx.Client:
            url = stack.enter_context(running(make_state(**options)))
            return stack.enter_context(httpx.Client(base_url=url, headers=TAHDAH | KMI, verify=TLS))

        yield start_with


@pytest.fixture
def lms(start: Start) -> httpx.Client:
    return start(seed_users=3)


def create(lms: httpx.Client, email: str = "ana@example.com") -> int:
    answer = lms.post("/api/candidates", json={"firstName": "Ana", "lastName": "Ní", "email": email})
    assert answer.status_code == 200, answer.text
    return answer.json()["candidateId"]


def item(candidate_id: Any, **changes: Any) -> dict[str, Any]:
    return {"candidateId": candidate_id, "behavior": 1, "registrationDate": "2026-01-15"} | changes


def register(lms: httpx.Client, *items: dict[str, Any], path: str = REGISTRATIONS) -> httpx.Response:
    return lms.post(path, json={"candidateIds": list(items)})


def a_user(**changes: Any) -> dict[str, Any]:
    user = {
        "email": "ana@example.com",
        "firstName": "Ana",
        "lastName": "Ní",
        "loginName": "ana",
        "externalId": "A-1",
    }
    return {key: value for key, value in (user | changes).items() if value is not None}


def state(lms: httpx.Client) -> dict[str, Any]:
    return lms.get("/sandbox/state").json()


def test_a_candidate_is_created_and_registered_with_ids_as_strings(lms: httpx.Client) -> None:
    candidate = create(lms)

    answer = register(lms, item(candidate))

    assert answer.status_code == 200
    (registration,) = answer.json()
    assert registration["candidateId"] == str(candidate)
    assert isinstance(registration["candidateExperienceId"], str)
    assert registration["registrationDate"] == "2026-01-15"
    assert state(lms)["tahdah"]["by_course"] == {"58": 1}


def test_every_field_of_a_candidate_is_kept(lms: httpx.Client) -> None:
    body = {"firstName": "Ana", "lastName": "Ní", "email": "ana@example.com", "dateOfBirth": "1990-01-02"}

    lms.post("/api/candidates", json=body)

    (found,) = [each for each in lms.get("/sandbox/candidates").json() if each["system"] == "tahdah"]
    assert found["fields"] == body


@pytest.mark.parametrize("missing", ["firstName", "lastName", "email"])
def test_a_candidate_without_a_needed_field_is_refused_by_its_name(lms: httpx.Client, missing: str) -> None:
    body = {"firstName": "Ana", "lastName": "Ní", "email": "ana@example.com"}
    del body[missing]

    answer = lms.post("/api/candidates", json=body)

    assert answer.status_code == 400
    assert missing in answer.json()["detail"]


def test_creating_the_same_candidate_twice_makes_two_and_counts_as_a_duplicate(lms: httpx.Client) -> None:
    first, second = create(lms), create(lms, "ANA@example.com")
    register(lms, item(first), item(second))

    assert first != second
    assert state(lms)["duplicates"]["tahdah"] == {"persons": 1, "registrations": 1}


@pytest.mark.parametrize(("choice", "status"), [("409", 409), ("400", 400), ("existing", 200)])
def test_a_known_e_mail_can_be_refused_or_answered_with_who_is_there(
    start: Start, choice: str, status: int
) -> None:
    lms = start(email_taken=choice)
    create(lms)

    answer = lms.post("/api/candidates", json={"firstName": "A", "lastName": "B", "email": "ana@example.com"})

    assert answer.status_code == status
    assert state(lms)["tahdah"]["candidates"] == 1


def test_the_name_of_the_candidate_id_can_be_chosen(start: Start) -> None:
    lms = start(candidate_id_field="id")

    answer = lms.post("/api/candidates", json={"firstName": "A", "lastName": "B", "email": "a@example.com"})

    assert isinstance(answer.json()["id"], int)


@pytest.mark.parametrize("headers", [{"Authorization": "Bearer wrong"}, {"Authorization": ""}])
def test_tahdah_refuses_an_unknown_token(lms: httpx.Client, headers: dict[str, str]) -> None:
    assert lms.post("/api/candidates", json={}, headers=headers).status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        REGISTRATIONS.replace("58", "77"),
        REGISTRATIONS.replace("42", "7"),
        REGISTRATIONS.replace("58", "x"),
        "/api/no",
    ],
)
def test_an_unknown_course_entity_or_path_is_not_found(lms: httpx.Client, path: str) -> None:
    assert register(lms, item(create(lms)), path=path).status_code == 404


@pytest.mark.parametrize(
    "change",
    [
        {"behavior": 3},
        {"behavior": "1"},
        {"behavior": None},
        {"registrationDate": "15/01/2026"},
        {"registrationDate": "2026-02-30"},
        {"registrationDate": None},
        {"candidateId": "100123"},
    ],
)
def test_an_item_that_is_not_as_the_page_has_it_sinks_the_batch(lms: httpx.Client, change: dict[str, Any]) -> None:
    good, bad = create(lms), create(lms, "bob@example.com")

    answer = register(lms, item(good), item(bad) | change)

    assert answer.status_code == 400
    assert state(lms)["tahdah"]["registrations"] == 0


def test_a_candidate_who_does_not_exist_is_named_and_sinks_the_batch(lms: httpx.Client) -> None:
    answer = register(lms, item(create(lms)), item(7))

    assert answer.status_code == 400
    assert "Candidate 7 does not exist" in answer.json()["detail"]
    assert state(lms)["tahdah"]["registrations"] == 0


def test_somebody_already_registered_is_a_conflict_that_names_them_and_nothing_is_done(lms: httpx.Client) -> None:
    old, new = create(lms), create(lms, "bob@example.com")
    register(lms, item(old))

    answer = register(lms, item(new), item(old))

    assert answer.status_code == 409
    assert str(old) in answer.json()["detail"]
    assert str(new) not in answer.json()["detail"]
    assert state(lms)["tahdah"]["registrations"] == 1


@pytest.mark.parametrize(
    ("choice", "status", "standing"), [("400", 400, 1), ("existing", 200, 1), ("second", 200, 2)]
)
def test_what_a_second_registration_does_can_be_chosen(
    start: Start, choice: str, status: int, standing: int
) -> None:
    lms = start(tahdah_twice=choice)
    candidate = create(lms)
    register(lms, item(candidate))

    assert register(lms, item(candidate)).status_code == status
    assert state(lms)["tahdah"]["registrations"] == standing
    assert state(lms)["duplicates"]["registrations"] == standing - 1


def test_the_same_candidate_twice_in_a_batch_is_refused(lms: httpx.Client) -> None:
    candidate = create(lms)

    assert register(lms, item(candidate), item(candidate)).status_code == 400


def test_a_batch_that_is_too_large_is_refused(start: Start) -> None:
    lms = start(max_batch=2)

    assert register(lms, item(1), item(2), item(3)).status_code == 413
    assert register(lms).status_code == 400


def test_the_older_path_registers_too(lms: httpx.Client) -> None:
    assert register(lms, item(create(lms)), path=LEARNERS).status_code == 200


@pytest.mark.parametrize(("there", "gone"), [("registrations", LEARNERS), ("learners", REGISTRATIONS)])
def test_either_path_may_be_missing(start: Start, there: str, gone: str) -> None:
    lms = start(registration_paths=frozenset({there}))
    candidate = create(lms)

    assert register(lms, item(candidate), path=gone).status_code == 404
    assert lms.get(gone).status_code == 404
    assert register(lms, item(candidate), path=LEARNERS.replace("learners", there)).status_code == 200


def test_registrations_can_be_looked_up(lms: httpx.Client) -> None:
    made = register(lms, item(create(lms))).json()

    assert lms.get(REGISTRATIONS).json() == made
    assert lms.get(REGISTRATIONS.replace("58", "59")).json() == []


@pytest.mark.parametrize("status", [404, 405])
def test_the_look_up_may_be_missing(start: Start, status: int) -> None:
    assert start(lookup=str(status)).get(REGISTRATIONS).status_code == status


def test_a_user_is_created_with_every_documented_field_and_those_of_the_portal(lms: httpx.Client) -> None:
    answer = lms.post(USERS, json=a_user(ovFormWithInput12="x", country="IE"))

    assert answer.status_code == 201
    made = answer.json()
    assert made["ovFormWithInput12"] == "x"
    assert made["expirationDate"] == ""
    assert made["externalId"] == "A-1"
    assert made["createdDate"].endswith("Z")
    assert lms.get(f"{USERS}{made['id']}/").json() == made
    assert lms.get(f"{USERS}external_id/A-1/").json() == made


@pytest.mark.parametrize("missing", ["email", "firstName", "lastName", "loginName"])
def test_a_user_without_a_needed_field_is_refused_field_by_field(lms: httpx.Client, missing: str) -> None:
    answer = lms.post(USERS, json=a_user(**{missing: None}))

    assert answer.status_code == 400
    assert answer.json() == {missing: ["This field is required."]}


@pytest.mark.parametrize(
    ("field", "value"), [("email", "nobody"), ("lastName", " "), ("zip", 5), ("expirationDate", "soon")]
)
def test_a_field_that_cannot_be_is_refused(lms: httpx.Client, field: str, value: Any) -> None:
    answer = lms.post(USERS, json=a_user(**{field: value}))

    assert answer.status_code == 400
    assert field in answer.json()


def test_a_login_name_is_unique_and_an_external_id_is_not(lms: httpx.Client) -> None:
    lms.post(USERS, json=a_user())

    assert lms.post(USERS, json=a_user()).json() == {"loginName": ["A user with that login name already exists."]}
    assert lms.post(USERS, json=a_user(loginName="ana2")).status_code == 201
    assert lms.get(f"{USERS}external_id/A-1/").status_code == 400
    assert state(lms)["duplicates"]["kmi"]["persons"] == 1


@pytest.mark.parametrize(("choice", "status"), [("400", 400), ("409", 409), ("existing", 200)])
def test_an_e_mail_can_be_unique_too(start: Start, choice: str, status: int) -> None:
    lms = start(kmi_email_taken=choice)
    lms.post(USERS, json=a_user())

    assert lms.post(USERS, json=a_user(loginName="ana2")).status_code == status
    assert state(lms)["kmi"]["candidates"] == 1


def test_external_ids_are_kept_apart_per_api_key(start: Start) -> None:
    lms = start(more_api_keys=(("other-key", "other-secret"),))
    other = {"X-Api-Key": "other-key", "X-Api-Secret": "other-secret"}
    made = lms.post(USERS, json=a_user()).json()

    assert lms.get(f"{USERS}external_id/A-1/", headers=other).json() == {"detail": "Not found."}
    assert lms.get(f"{USERS}{made['id']}/", headers=other).json()["externalId"] == ""


def test_users_come_by_pages_of_at_most_a_hundred(start: Start) -> None:
    lms = start(seed_users=230)

    pages = [lms.get(USERS, params={"offset": offset, "limit": 500}).json() for offset in (0, 100, 200, 300)]

    assert [len(page) for page in pages] == [100, 100, 30, 0]
    assert pages[0][0]["email"] == "person1@example.com"
    assert pages[2][-1]["externalId"] == "P-230"
    assert len(lms.get(USERS, params={"limit": 7}).json()) == 7


def test_users_are_listed_by_when_they_were_created_and_updated(lms: httpx.Client) -> None:
    made = lms.post(USERS, json=a_user()).json()
    lms.put(f"{USERS}1001/", json=a_user(email="new@example.com", loginName="person1"))

    created = lms.get(USERS, params={"createdAfter": made["createdDate"]}).json()
    updated = lms.get(USERS, params={"updatedAfter": made["createdDate"]}).json()

    assert [each["id"] for each in created] == [made["id"]]
    assert [each["id"] for each in updated] == [1001, made["id"]]
    assert lms.get(USERS, params={"createdAfter": "yesterday"}).status_code == 400
    assert lms.get(USERS, params={"groupId": 9}).json() == []


def test_an_update_by_external_id_needs_the_login_name_and_by_id_does_not(lms: httpx.Client) -> None:
    body = a_user(externalId=None, loginName=None, lastName="Changed")

    assert lms.put(f"{USERS}external_id/P-2/", json=body).json() == {"loginName": ["This field is required."]}
    assert lms.put(f"{USERS}1002/", json=body).json()["lastName"] == "Changed"
    assert lms.get(f"{USERS}external_id/P-2/").json()["loginName"] == "person2"


def test_a_deleted_user_is_only_marked_and_found_no_more(lms: httpx.Client) -> None:
    assert lms.delete(f"{USERS}external_id/P-1/").status_code == 204
    assert lms.delete(f"{USERS}1002/").content == b""

    assert lms.get(f"{USERS}1001/").json() == {"detail": "Not found."}
    assert [each["id"] for each in lms.get(USERS).json()] == [1003]
    assert sum(each.get("deleted", False) for each in lms.get("/sandbox/candidates").json()) == 2


def test_a_registration_has_the_form_of_the_page_with_the_user_as_a_float(lms: httpx.Client) -> None:
    answer = lms.post(KMI_REGISTRATIONS, json={"courseId": 58, "userId": 1002, "externalId": "key/1"})

    assert answer.status_code == 201
    assert '"userId":1002.0' in answer.text
    made = answer.json()
    assert made["statusName"] == "Not Started"
    assert made["courseName"] == "Fire Safety"
    assert made["userExternalId"] == "P-2"
    assert lms.get(f"{KMI_REGISTRATIONS}external/key%2F1/").json() == made
    assert lms.get(f"{KMI_REGISTRATIONS}{made['id']}/").json() == made
    assert state(lms)["kmi"]["mails_sent"] == 1


@pytest.mark.parametrize(
    "course", [{"courseId": "58"}, {"courseName": "Fire Safety"}, {"courseExternalId": "C-58"}]
)
@pytest.mark.parametrize(
    "user", [{"userId": 1001}, {"userExternalId": "P-1"}, {"userEmail": "PERSON1@example.com"}]
)
def test_a_course_and_a_user_can_be_named_in_three_ways(
    lms: httpx.Client, course: dict[str, Any], user: dict[str, Any]
) -> None:
    made = lms.post(KMI_REGISTRATIONS, json=course | user).json()

    assert (made["courseId"], made["userId"]) == (58, 1001.0)


def test_of_several_names_the_first_by_priority_counts(lms: httpx.Client) -> None:
    names = {"courseId": 59, "courseName": "Fire Safety", "courseExternalId": "C-60"}
    who = {"userId": 1003, "userExternalId": "P-1", "userEmail": "person2@example.com"}

    made = lms.post(KMI_REGISTRATIONS, json=names | who).json()

    assert (made["courseId"], made["userId"]) == (59, 1003.0)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"courseId": None, "courseName": "Ambiguous"}, "More than one course"),
        ({"courseId": 7}, "No course"),
        ({"courseId": 63}, "does not require registration"),
        ({"courseId": 64}, "not published"),
        ({"courseId": None}, "required"),
        ({"userId": 7}, "No user"),
        ({"userId": None}, "required"),
        ({"userId": None, "userEmail": "nobody@example.com"}, "No user"),
        ({"userId": 1001.5}, "valid integer"),
    ],
)
def test_a_registration_that_cannot_be_is_refused_with_a_detail(
    lms: httpx.Client, change: dict[str, Any], word: str
) -> None:
    answer = lms.post(KMI_REGISTRATIONS, json={"courseId": 58, "userId": 1001} | change)

    assert answer.status_code == 400
    assert word in answer.text
    assert state(lms)["kmi"]["mails_sent"] == 0


def test_two_users_with_one_external_id_or_e_mail_are_ambiguous(lms: httpx.Client) -> None:
    for login in ("ana", "ana2"):
        lms.post(USERS, json=a_user(loginName=login))

    for who in ({"userExternalId": "A-1"}, {"userEmail": "ana@example.com"}):
        answer = lms.post(KMI_REGISTRATIONS, json={"courseId": 58} | who)
        assert answer.json() == {"detail": "More than one user was found."}


def test_an_inactive_user_is_refused(lms: httpx.Client) -> None:
    lms.post(USERS, json=a_user(expirationDate="2020-01-01T00:00:00Z"))
    lms.delete(f"{USERS}1001/")

    for who in ({"userExternalId": "A-1"}, {"userId": 1001}):
        answer = lms.post(KMI_REGISTRATIONS, json={"courseId": 58} | who)
        assert answer.json() == {"detail": "The user is not active."}


@pytest.mark.parametrize(
    ("choice", "status", "standing"), [("400", 400, 1), ("409", 409, 1), ("existing", 200, 1), ("second", 201, 2)]
)
def test_registering_twice_does_what_was_chosen(start: Start, choice: str, status: int, standing: int) -> None:
    lms = start(seed_users=1, kmi_twice=choice)
    body = {"courseId": 58, "userId": 1001}
    lms.post(KMI_REGISTRATIONS, json=body)

    answer = lms.post(KMI_REGISTRATIONS, json=body)

    assert answer.status_code == status
    assert ("already registered" in answer.text) == (status >= 400)
    assert state(lms)["kmi"]["registrations"] == state(lms)["kmi"]["mails_sent"] == standing
    assert state(lms)["duplicates"]["kmi"]["registrations"] == standing - 1


@pytest.mark.parametrize("by", ["id", "external"])
def test_a_registration_is_approved_completed_and_withdrawn(lms: httpx.Client, by: str) -> None:
    made = lms.post(KMI_REGISTRATIONS, json={"courseId": 58, "userId": 1001, "externalId": "k"}).json()
    path = f"{KMI_REGISTRATIONS}{made['id'] if by == 'id' else 'external/k'}/"

    assert lms.post(f"{path}approve/").json()["statusName"] == "Approved"
    done = lms.post(f"{path}complete/", json={"score": 42, "success": "true"}).json()
    assert (done["statusName"], done["score"]) == ("Completed", 42.0)
    assert done["completionDate"].endswith("Z")
    assert lms.post(f"{path}approve/").status_code == 400
    assert lms.post(f"{path}withdraw/").status_code == 204
    assert lms.get(path).json()["statusName"] == "Withdrawn"


@pytest.mark.parametrize("body", [{"score": "42"}, {"success": True}])
def test_success_is_a_text_and_a_score_a_number(lms: httpx.Client, body: dict[str, Any]) -> None:
    made = lms.post(KMI_REGISTRATIONS, json={"courseId": 58, "userId": 1001}).json()

    assert lms.post(f"{KMI_REGISTRATIONS}{made['id']}/complete/", json=body).status_code == 400


def test_after_a_withdrawal_one_can_register_again(lms: httpx.Client) -> None:
    body = {"courseId": 58, "userId": 1001}
    made = lms.post(KMI_REGISTRATIONS, json=body).json()
    lms.post(f"{KMI_REGISTRATIONS}{made['id']}/withdraw/")

    assert lms.post(KMI_REGISTRATIONS, json=body).status_code == 201
    assert state(lms)["duplicates"]["registrations"] == 0


@pytest.mark.parametrize("path", ["7/", "external/none/", "external/none/approve/", "7/withdraw/"])
def test_an_unknown_registration_is_not_found_in_the_words_of_the_page(lms: httpx.Client, path: str) -> None:
    method = "POST" if path.count("/") > 1 and not path.endswith("none/") else "GET"

    answer = lms.request(method, f"{KMI_REGISTRATIONS}{path}")

    assert answer.status_code == 404
    assert answer.json() == {"detail": "Not registered for this course."}


def test_registrations_are_listed_by_course_and_user(start: Start) -> None:
    lms = start(seed_users=120, registered=["58:1-120", "59:5"])

    def ids(**query: int) -> list[float]:
        return [each["userId"] for each in lms.get(KMI_REGISTRATIONS, params=query).json()]

    assert len(ids()) == 100
    assert len(ids(course_id=58, offset=100)) == 20
    assert ids(course_id=59) == [1005.0]
    assert ids(user_id=1005) == [1005.0, 1005.0]
    assert ids(course_id=58, user_id=1005) == [1005.0]
    assert lms.get(KMI_REGISTRATIONS, params={"course_id": "x"}).status_code == 400


def test_withdrawn_registrations_can_be_left_out_of_the_list(start: Start) -> None:
    lms = start(seed_users=1, registered=["58:1-1"], list_withdrawn=False)
    lms.post(f"{KMI_REGISTRATIONS}100500/withdraw/")

    assert lms.get(KMI_REGISTRATIONS).json() == []


def test_a_path_without_its_slash_is_redirected_and_the_body_is_lost(lms: httpx.Client) -> None:
    answer = lms.post("/api/v2/users", json=a_user())

    assert answer.status_code == 301
    assert answer.headers["location"] == "/api/v2/users/"
    assert lms.post("/api/v2/users", json=a_user(), follow_redirects=True).request.method == "GET"
    assert state(lms)["kmi"]["candidates"] == 3


@pytest.mark.parametrize("headers", [{"X-Api-Key": "wrong"}, {"X-Api-Secret": "wrong"}, {"X-Api-Key": ""}])
def test_kmi_refuses_unknown_keys(lms: httpx.Client, headers: dict[str, str]) -> None:
    answer = lms.get(USERS, headers=headers)

    assert answer.status_code == 401
    assert answer.json() == {"detail": "Invalid token."}


@pytest.mark.parametrize(("method", "path", "status"), [("PUT", "users/", 405), ("GET", "courses/", 404)])
def test_what_kmi_does_not_know_is_refused(lms: httpx.Client, method: str, path: str, status: int) -> None:
    assert lms.request(method, f"/api/v2/{path}").status_code == status


def test_a_body_that_is_no_json_is_refused(lms: httpx.Client) -> None:
    for path in (USERS, KMI_REGISTRATIONS, "/api/candidates", REGISTRATIONS):
        assert lms.post(path, content=b"{").status_code == 400
        assert lms.post(path, json=[]).status_code == 400


def test_a_body_of_odd_types_is_refused_and_never_breaks_the_sandbox(start: Start) -> None:
    lms = start(seed_users=1, registered=["58:1"], bad_days=["*:404:marker=nobody"])
    odd: list[Any] = [None, [], {}, True, "x", 1.5]

    for value in odd:
        assert lms.post(USERS, json=a_user(email=value or [])).status_code == 400
        assert lms.post(KMI_REGISTRATIONS, json={"courseId": value, "userId": value}).status_code == 400
        assert (
            lms.post("/api/candidates", json={"firstName": value, "lastName": 1, "email": value}).status_code == 400
        )
        assert lms.post(REGISTRATIONS, json={"candidateIds": value}).status_code == 400
        assert lms.post(REGISTRATIONS, json={"candidateIds": [value]}).status_code == 400
        done = lms.post(f"{KMI_REGISTRATIONS}100500/complete/", json={"success": value, "score": value})
        assert done.status_code == (200 if value is None else 400)


def test_the_page_tells_a_person_what_is_there(lms: httpx.Client) -> None:
    register(lms, item(create(lms, "<b>@example.com")))

    page = lms.get("/", params={"refresh": 5}).text

    for words in ("Fire Safety", "create_candidate", "[connections.kmi]", 'content="5"', "&lt;b&gt;@example.com"):
        assert words in page
    assert "<b>@" not in page


def test_the_journal_holds_operation_and_status_and_no_bodies(lms: httpx.Client) -> None:
    create(lms)
    lms.get(USERS)

    entries = lms.get("/sandbox/journal").json()

    assert [(each["system"], each["operation"], each["status"]) for each in entries] == [
        ("tahdah", "create_candidate", 200),
        ("kmi", "list_users", 200),
    ]
    assert set(entries[0]) == {"time", "system", "operation", "status"}
    assert state(lms)["calls"]["kmi"] == {"list_users": {"200": 1}}


def test_a_reset_finds_the_world_as_it_began(lms: httpx.Client) -> None:
    create(lms)
    lms.delete(f"{USERS}1001/")

    lms.post("/sandbox/reset")

    assert state(lms)["tahdah"]["candidates"] == 0
    assert state(lms)["kmi"]["candidates"] == 3
    assert lms.get("/sandbox/journal").json() == []


def test_the_registrations_of_both_systems_can_be_read(lms: httpx.Client) -> None:
    register(lms, item(create(lms)))
    lms.post(KMI_REGISTRATIONS, json={"courseId": 59, "userId": 1001, "externalId": "k"})

    tahdah, kmi = lms.get("/sandbox/registrations").json()

    assert (tahdah["email"], tahdah["course_id"], tahdah["behavior"]) == ("ana@example.com", 58, 1)
    assert (kmi["email"], kmi["course_id"], kmi["external_id"]) == ("person1@example.com", 59, "k")


def test_what_is_new_appears_late_in_lists_and_look_ups_when_it_lags(start: Start) -> None:
    lms = start(lag=0.25, seed_users=1)
    register(lms, item(create(lms)))
    user = lms.post(USERS, json=a_user()).json()
    lms.post(KMI_REGISTRATIONS, json={"courseId": 58, "userId": user["id"], "externalId": "k"})
    paths = (REGISTRATIONS, KMI_REGISTRATIONS, f"{USERS}external_id/A-1/", f"{KMI_REGISTRATIONS}external/k/")

    def found() -> list[bool]:
        answers = [lms.get(path) for path in paths]
        return [answer.status_code == 200 and answer.json() != [] for answer in answers]

    assert found() == [False] * 4
    while not all(found()):
        pass
    assert state(lms)["kmi"]["registrations"] == 1


def test_an_option_is_chosen_in_words_by_the_name_of_its_system() -> None:
    world = make_state(
        moodle_version="4.3",
        moodle_lacks="moodle/user:create,moodle/course:view",
        kmi_seed_users="2",
        latency="1.5",
    )

    assert world.moodle.options.version == "4.3"
    assert world.moodle.options.lacks == {"moodle/user:create", "moodle/course:view"}
    assert len(world.kmi.people.users) == 2
    assert world.options.latency == 1.5


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ({"moodle_version": "3.0"}, "moodle_version: '3.0'"),
        ({"kmi_registered": "58"}, "58:1-100"),
        ({"nonsense": "1"}, "kmi_seed_users"),
    ],
)
def test_an_option_that_cannot_be_read_is_refused_with_what_can(option: dict[str, str], text: str) -> None:
    with pytest.raises(RuleSyntaxError, match=re.escape(text)):
        make_state(**option)
