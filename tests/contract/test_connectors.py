"""The contract of every connector, against the sandbox: Roster's own, and one of another package.

Another connector needs one entry in `SANDBOX_NAMES`: the sandbox's names of its operations, and what this LMS
cannot do. Its pretend LMS says how to connect, what it holds, and which ids it gives.
"""

from __future__ import annotations

import inspect
import re
import time
import typing
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, fields, replace
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from tests.builders import (
    NORTH,
    SECRET,
    UnlimitedLimiter,
    a_candidate,
    a_connection,
    a_course,
    a_row,
    a_sandbox_of_all,
    an_action_request,
    connected,
    enrolments,
    nothing,
    raw_connection,
)
from tests.toy_package import toy_installed
from worker import bootstrap, lms
from worker.errors import AnswerLost, LmsError, LmsUnavailable, RateLimited, Refused, SettingsError, StopJob
from worker.lms.contract import (
    ActionRequest,
    ActionResult,
    Connector,
    LookupMiss,
    RegistrationOwner,
    RemoteRegistration,
    RemoteState,
)
from worker.model import Action, Candidate, RowRules
from worker.reports.codes import CODES
from worker.sandbox import systems
from worker.sandbox.server import make_state, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    from worker.lms.http import LmsClient

    Open = Callable[..., AbstractAsyncContextManager[tuple[Connector, LmsClient]]]

with toy_installed():
    SECRETS = {
        "wrong-secret",
        *(str(each.values[key]) for each in a_sandbox_of_all().values() for key in each.secrets),
    }


@dataclass(frozen=True)
class Names:
    """The sandbox's names of an LMS's operations, what the LMS cannot do, and wrong credentials."""

    create: str
    register: str
    list_people: str | None
    find_candidate: str | None
    find_registration: str
    #: Settings in roster.toml that the LMS refuses.
    wrong_credentials: dict[str, str]
    lists_registered: bool = False
    #: The names of actions that are not the actions' own.
    actions: dict[Action, str] = field(default_factory=dict)
    #: Whether a list of a full page's length may be the first of more.
    doubts_full_pages: bool = False
    #: Whether refusals are HTTP statuses; else all are 200 with a code, and 403 is of the whole account.
    refuses_by_status: bool = True
    #: Whether it says that a person exists already, and that a registration does.
    says_what_exists: bool = True
    #: Whether a registration has an id, and the answer to a registering call names it.
    numbers_registrations: bool = True
    lists_by_pages: bool = True
    #: How many calls the harmless one takes, and operations that a process makes once, before others.
    probe_calls: int = 1
    first: frozenset[str] = frozenset()

    @property
    def changing(self) -> set[str]:
        """The operations that change something."""
        return {self.create, self.register, *self.actions.values(), *(each for each in Action)}


SANDBOX_NAMES = {
    "kmi": Names(
        create="create_user",
        register="create_registration",
        list_people="list_users",
        find_candidate="find_user",
        find_registration="find_registration",
        wrong_credentials={"api_secret": "wrong-secret"},
        lists_registered=True,
        actions={Action.UPDATE: "update_user", Action.DEACTIVATE: "delete_user"},
    ),
    "tahdah": Names(
        create="create_candidate",
        register="register",
        list_people=None,
        find_candidate=None,
        find_registration="list_registrations",
        wrong_credentials={"token": "wrong-secret"},
        doubts_full_pages=True,
    ),
    "moodle": Names(
        create="create_users",
        register="enrol_users",
        list_people=None,
        find_candidate="find_users",
        find_registration="list_enrolled",
        wrong_credentials={"token": "wrong-secret"},
        lists_registered=True,
        actions={Action.UPDATE: "update_users", Action.DEACTIVATE: "update_users", Action.WITHDRAW: "enrol_users"},
        refuses_by_status=False,
        says_what_exists=False,
        numbers_registrations=False,
        lists_by_pages=False,
        probe_calls=4,
        first=frozenset({"site_info", "find_users"}),
    ),
    "toy": Names(
        create="create_person",
        register="enrol",
        list_people=None,
        find_candidate="find_person",
        find_registration="list_enrolments",
        wrong_credentials={"token": "wrong-secret"},
    ),
}


@pytest.fixture(autouse=True, scope="module")
def _toy() -> Iterator[None]:
    with toy_installed():
        yield


@pytest.fixture(params=[*lms.systems(), "toy"])
def system(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def names(system: str) -> Names:
    assert system in SANDBOX_NAMES, f"say in SANDBOX_NAMES the operations of {system}"
    return SANDBOX_NAMES[system]


@pytest.fixture
def open_lms(system: str) -> Iterator[Open]:
    """Start a sandbox with injected faults and connect to it."""
    with ExitStack() as stack:

        @asynccontextmanager
        async def open_one(
            *bad_days: str, settings: dict[str, Any] | None = None, **options: Any
        ) -> AsyncIterator[tuple[Connector, LmsClient]]:
            url = stack.enter_context(running(make_state(bad_days=bad_days, **as_options_of(system, options))))
            async with connected(a_connection(system, url, **(settings or {}))) as pair:
                yield pair

        yield open_one


def as_options_of(system: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options with the system's name before those that it has; what it cannot be is left out."""
    own = {each.name for each in fields(systems.installed()[system].options_type)}
    return {f"{system}_{name}": value for name, value in options.items() if name in own}


def is_of_the_account(names: Names, bad_day: str) -> bool:
    return bad_day == "403" and not names.refuses_by_status


def changes(client: LmsClient, names: Names) -> int:
    """Count the calls that change something."""
    return sum(count for name, count in client.calls.items() if name in names.changing)


def is_id(connector: Connector, text: str) -> bool:
    return re.fullmatch(connector.rules.id_pattern, text) is not None


async def created(connector: Connector, count: int = 1) -> list[str]:
    return [
        await connector.create_candidate(a_candidate(number, external_id=f"X-{number}"), nothing)
        for number in range(1, count + 1)
    ]


async def registered(connector: Connector, ids: list[str], **changes: Any) -> dict[int, RemoteRegistration]:
    """Register these, in as many calls as the LMS needs."""
    found: dict[int, RemoteRegistration] = {}
    size = connector.rules.rows_per_call
    wanted = enrolments(ids, **changes)
    for start in range(0, len(wanted), size):
        found |= dict(await connector.register_batch(wanted[start : start + size], nothing))
    return found


# Declared


def test_every_connector_declares_what_is_required(system: str) -> None:
    module = lms.load_connector(system)

    for name in ("Settings", "connect", "headers", "rules"):
        assert hasattr(module, name), f"{system} lacks {name}"
    (literal,) = typing.get_args(module.Settings.model_fields["system"].annotation)
    assert literal == system


def test_every_connector_implements_the_contract(system: str) -> None:
    connector = lms.connect(a_connection(system), client=None)  # type: ignore[arg-type]

    for name, wanted in inspect.getmembers(Connector, inspect.isfunction):
        if name.startswith("_"):
            continue
        offered = getattr(connector, name)
        assert inspect.getdoc(offered), name
        assert list(inspect.signature(offered).parameters) == list(inspect.signature(wanted).parameters)[1:]
        assert inspect.iscoroutinefunction(offered) or inspect.isasyncgenfunction(offered)


def test_rules_say_what_a_row_must_have(system: str) -> None:
    rules = lms.rules_of(a_connection(system))

    assert isinstance(rules, RowRules)
    assert Action.REGISTER in rules.actions
    assert rules.course_columns
    assert rules.course_columns <= {"course_id", "course_name", "course_external_id"}
    assert rules.rows_per_call >= 1
    assert set(rules.required_to_create) <= {"email", "first_name", "last_name", "login_name", "external_id"}
    assert all(isinstance(value, str) for value in rules.defaults.values())


def test_every_secret_of_a_connection_is_kept_as_a_secret(system: str) -> None:
    connection = a_connection(system)
    secret = {name for name, value in connection if isinstance(value, SecretStr)}
    raw = raw_connection(system, "http://127.0.0.1:9")

    assert {name for name, value in raw.items() if value in SECRETS} == secret
    assert secret


def test_no_secret_is_shown_by_a_connection_or_its_warnings(system: str) -> None:
    connection = a_connection(system)
    raw = raw_connection(system, "http://127.0.0.1:9")
    shown = [
        repr(connection),
        str(connection),
        connection.model_dump_json(),
        str(connection.model_dump()),
        *lms.literal_secrets(connection, raw),
        bootstrap.credential_of(connection),
        bootstrap.pace_key(connection),
    ]

    assert len(lms.literal_secrets(connection, raw)) >= 1
    assert not [secret for secret in SECRETS for text in shown if secret in text]


def test_no_secret_is_shown_when_a_connection_cannot_be_read(system: str) -> None:
    raw = raw_connection(system, "http://127.0.0.1:9", batch_size="many", nonsense=SECRET)

    with pytest.raises(SettingsError) as raised:
        lms.read_connection(NORTH, raw)

    assert not [secret for secret in SECRETS if secret in f"{raised.value} {raised.value!r}"]
    assert f"connections.{NORTH}.batch_size" in str(raised.value)


def test_a_missing_secret_is_named(system: str, names: Names) -> None:
    raw = raw_connection(system, "http://127.0.0.1:9")
    missing = next(iter(names.wrong_credentials))
    del raw[missing]

    with pytest.raises(SettingsError, match=rf"connections\.{NORTH}\.{missing} is missing"):
        lms.read_connection(NORTH, raw)


def test_two_accounts_at_one_host_have_two_paces_and_one_account_has_one(system: str, names: Names) -> None:
    one, same, other = (
        a_connection(system),
        a_connection(system, batch_size=7),
        a_connection(system, **names.wrong_credentials),
    )

    assert bootstrap.credential_of(one) == bootstrap.credential_of(same)
    assert bootstrap.credential_of(one) != bootstrap.credential_of(other)


# Candidates


async def test_a_candidate_is_created_and_has_an_id_as_text(open_lms: Open, names: Names) -> None:
    async with open_lms() as (connector, client):
        first, second = await created(connector, 2)

        assert first != second
        assert is_id(connector, first)
        assert {name: count for name, count in client.calls.items() if name not in names.first} == {names.create: 2}


@pytest.mark.parametrize("form", ["string-ids", "int-ids", "float-ids", "200", "201"])
async def test_an_id_is_the_same_text_in_every_form(open_lms: Open, names: Names, form: str) -> None:
    if form == "201" and not names.refuses_by_status:
        pytest.skip("this LMS has one status for all that it says")
    async with open_lms(f"{names.create}:{form}") as (connector, _):
        (candidate_id,) = await created(connector)

    assert is_id(connector, candidate_id)


@pytest.mark.parametrize("field", ["candidateId", "id", "Id", "CandidateID"])
async def test_the_id_of_a_new_candidate_is_found_under_every_likely_name(open_lms: Open, field: str) -> None:
    async with open_lms(candidate_id_field=field) as (connector, _):
        (candidate_id,) = await created(connector)

    assert is_id(connector, candidate_id)


async def test_every_column_of_a_candidate_reaches_the_lms_or_is_left_out_and_none_is_empty(
    open_lms: Open, system: str
) -> None:
    columns = ("address", "address2", "city", "state", "zip", "country", "login_name", "external_id")
    everything = a_candidate(
        **{name: f"{name}-1" for name in columns} | {"state": "NY", "country": "NL"},
        date_of_birth=date(1999, 12, 31),
        expiration_date=date(2030, 1, 2),
        fields={"shoeSize": "44"},
    )
    world = make_state()
    with running(world) as url:
        async with connected(a_connection(system, url)) as (connector, _):
            await connector.create_candidate(everything, nothing)
            await connector.create_candidate(a_candidate(2), nothing)

    full, sparse = (each["fields"] for each in world.systems[system].candidate_rows())
    assert full["shoeSize"] == "44"
    used = {name for name in ("address", "city", "zip", "login_name") if connector.rules.takes(name)}
    assert {f"{name}-1" for name in used} <= {str(value) for value in full.values()}
    assert not [key for key, value in sparse.items() if value in {None, "None"}]


@pytest.mark.parametrize(
    ("bad_day", "code"),
    [("reject", "candidate_refused"), ("422", "candidate_refused"), ("409", None), ("403", None), ("404", None)],
)
async def test_a_refused_candidate_is_refused_with_a_code_of_the_report(
    open_lms: Open, names: Names, bad_day: str, code: str | None
) -> None:
    if is_of_the_account(names, bad_day):
        pytest.skip("this refusal is of the whole account")
    async with open_lms(f"{names.create}:{bad_day}") as (connector, _):
        with pytest.raises(Refused) as raised:
            await created(connector)

    assert raised.value.code in CODES
    assert code in {None, raised.value.code}
    assert raised.value.message
    assert raised.value.status in (range(400, 500) if names.refuses_by_status else {200})


@pytest.mark.parametrize("taken", ["400", "409"])
async def test_an_existing_candidate_is_refused_as_such(open_lms: Open, names: Names, taken: str) -> None:
    async with open_lms(email_taken=taken) as (connector, _):
        await created(connector)
        with pytest.raises(Refused) as raised:
            await created(connector)

    assert raised.value.code == "candidate_exists" if names.says_what_exists else "candidate_refused"


LOST = ["lost-after", "lost-before", "drop-after", "drop-before", "html-502", "202", "204", "error-200"]


@pytest.mark.parametrize("bad_day", LOST)
async def test_a_creation_without_a_usable_answer_is_lost(open_lms: Open, names: Names, bad_day: str) -> None:
    is_said = bad_day == "error-200" and not names.refuses_by_status
    async with open_lms(f"{names.create}:{bad_day}") as (connector, client):
        with pytest.raises(Refused if is_said else AnswerLost):
            await created(connector)

        assert client.calls[names.create] == 1


async def test_a_creation_that_takes_too_long_is_lost(open_lms: Open, names: Names) -> None:
    bad_day = f"{names.create}:timeout-after:seconds=3"
    async with open_lms(bad_day, settings={"timeout_seconds": 0.3}) as (connector, _):
        with pytest.raises(AnswerLost):
            await created(connector)


async def test_a_created_candidate_is_found_or_the_lms_has_no_look_up(open_lms: Open, names: Names) -> None:
    async with open_lms() as (connector, _):
        sent_at = time.time()
        (candidate_id,) = await created(connector)
        by_key = await connector.find_candidate(a_candidate(1, external_id="X-1"), sent_at)
        by_mail = await connector.find_candidate(a_candidate(1), sent_at)
        absent = await connector.find_candidate(a_candidate(9), sent_at)
        absent_key = await connector.find_candidate(a_candidate(9, external_id="X-9"), sent_at)

    if names.find_candidate is None:
        assert {by_key, by_mail, absent, absent_key} == {LookupMiss.NO_LOOKUP}
    else:
        assert (by_key, by_mail) == (candidate_id, candidate_id)
        assert (absent, absent_key) == (LookupMiss.ABSENT, LookupMiss.ABSENT)


async def test_of_two_matching_people_none_is_chosen(open_lms: Open, names: Names) -> None:
    if names.find_candidate is None:
        pytest.skip("this LMS has no look-up")
    async with open_lms(same_email=True) as (connector, _):
        for login_name in ("ana1", "ana2"):
            await connector.create_candidate(a_candidate(1, external_id="X-1", login_name=login_name), nothing)
        found = [
            await connector.find_candidate(a_candidate(1, login_name=None, **who), time.time())
            for who in ({}, {"external_id": "X-1"})
        ]

    assert found == [LookupMiss.AMBIGUOUS, LookupMiss.AMBIGUOUS]


@pytest.mark.parametrize("external_id", ["ID10-05113", "a/b", "a b", "ä?&#%", "7", "a..b"])
async def test_an_external_id_with_special_characters_is_looked_up_unchanged(
    open_lms: Open, names: Names, external_id: str
) -> None:
    if names.find_candidate is None:
        pytest.skip("this LMS has no look-up")
    async with open_lms() as (connector, _):
        who = a_candidate(1, external_id=external_id)
        candidate_id = await connector.create_candidate(who, nothing)

        assert await connector.find_candidate(who, None) == candidate_id


@pytest.mark.parametrize("external_id", [".", ".."])
async def test_an_external_id_that_no_path_can_contain_is_never_reported_absent(
    open_lms: Open, names: Names, external_id: str
) -> None:
    """An HTTP library takes `/external_id/../` for `/`, encoded or not."""
    async with open_lms() as (connector, _):
        who = a_candidate(1, external_id=external_id)
        candidate_id = await connector.create_candidate(who, nothing)

        assert await connector.find_candidate(who, None) in {candidate_id, LookupMiss.NO_LOOKUP}


async def test_a_refused_or_failed_look_up_never_says_absent(open_lms: Open, names: Names) -> None:
    if names.find_candidate is None:
        pytest.skip("this LMS has no look-up")
    for bad_day in ("403", "lost-before", "html-502", "drop-before", "204", "error-200"):
        async with open_lms(f"{names.find_candidate}:{bad_day}") as (connector, _):
            try:
                found = await connector.find_candidate(a_candidate(1, external_id="X-1"), None)
            except LmsError:
                continue
            assert found is LookupMiss.NO_LOOKUP, bad_day


# Registrations


async def test_every_registration_is_confirmed_by_row(open_lms: Open, names: Names) -> None:
    async with open_lms() as (connector, _):
        ids = await created(connector, 5)
        found = await registered(connector, ids)

    assert sorted(found) == [1, 2, 3, 4, 5]
    assert len({each.registration_id for each in found.values()}) == (5 if names.numbers_registrations else 1)
    assert not any(each.existed for each in found.values())


@pytest.mark.parametrize("form", ["shuffled", "string-ids", "int-ids", "float-ids", "200", "201"])
async def test_responses_are_matched_by_id_in_every_order_and_form(
    open_lms: Open, system: str, names: Names, form: str
) -> None:
    if form == "201" and not names.refuses_by_status:
        pytest.skip("this LMS has one status for all that it says")
    world = make_state(bad_days=[f"{names.register}:{form}"])
    with running(world) as url:
        async with connected(a_connection(system, url)) as (connector, _):
            ids = await created(connector, 4)
            found = await registered(connector, ids)

    held = {each["candidate_id"]: each["id"] for each in world.systems[system].registration_rows()}
    expected = held if names.numbers_registrations else dict.fromkeys(held)
    assert {ids[row - 1]: each.registration_id for row, each in found.items()} == expected


async def test_a_row_missing_from_the_response_is_not_confirmed(open_lms: Open, names: Names) -> None:
    async with open_lms(f"{names.register}:short") as (connector, _):
        ids = await created(connector, 3)
        found = await registered(connector, ids)

    assert 3 - len(found) == (1 if connector.rules.rows_per_call > 1 and names.numbers_registrations else 0)


@pytest.mark.parametrize("bad_day", ["lost-after", "lost-before", "drop-after", "drop-before", "html-502"])
async def test_a_registration_whose_answer_is_lost_is_lost(open_lms: Open, names: Names, bad_day: str) -> None:
    async with open_lms(f"{names.register}:{bad_day}") as (connector, client):
        ids = await created(connector)
        with pytest.raises(AnswerLost):
            await registered(connector, ids)

        assert client.calls[names.register] == 1


@pytest.mark.parametrize("bad_day", ["202", "204", "error-200"])
async def test_a_success_without_the_requested_ids_confirms_nothing(
    open_lms: Open, names: Names, bad_day: str
) -> None:
    async with open_lms(f"{names.register}:{bad_day}") as (connector, _):
        ids = await created(connector)
        unsaid = (AnswerLost,) if names.refuses_by_status else (AnswerLost, Refused)
        try:
            found = await registered(connector, ids)
        except unsaid:
            found = {}

    assert found == {}


@pytest.mark.parametrize("bad_day", ["reject", "403", "404", "413", "422"])
async def test_a_refused_registration_is_refused_with_a_code_of_the_report(
    open_lms: Open, names: Names, bad_day: str
) -> None:
    if is_of_the_account(names, bad_day):
        pytest.skip("this refusal is of the whole account")
    async with open_lms(f"{names.register}:{bad_day}") as (connector, _):
        ids = await created(connector)
        with pytest.raises(Refused) as raised:
            await registered(connector, ids)

    assert raised.value.code in CODES
    assert raised.value.code != "already_registered"


@pytest.mark.parametrize("twice", ["400", "409"])
async def test_registering_twice_is_refused_as_already_registered(open_lms: Open, names: Names, twice: str) -> None:
    if not names.says_what_exists:
        pytest.skip("at this LMS registering twice is no error")
    async with open_lms(twice=twice) as (connector, _):
        ids = await created(connector)
        await registered(connector, ids)
        with pytest.raises(Refused) as raised:
            await registered(connector, ids)

    assert raised.value.code == "already_registered"


async def test_a_course_that_does_not_exist_is_refused(open_lms: Open) -> None:
    async with open_lms() as (connector, _):
        ids = await created(connector)
        with pytest.raises(Refused):
            await registered(connector, ids, course=a_course("99"))


async def test_registrations_in_doubt_are_found_or_absent_or_cannot_be_looked_up(
    open_lms: Open, names: Names
) -> None:
    async with open_lms() as (connector, _):
        ids = await created(connector, 3)
        await registered(connector, ids[:2])
        size = connector.rules.rows_per_call
        wanted = enrolments(ids)
        found: dict[int, Any] = {}
        for start in range(0, len(wanted), size):
            found |= dict(await connector.find_registrations(wanted[start : start + size]))

    assert sorted(found) == [1, 2, 3]
    assert all(isinstance(found[row], RemoteRegistration) for row in (1, 2))
    assert all(bool(found[row].registration_id) == names.numbers_registrations for row in (1, 2))
    assert found[3] is LookupMiss.ABSENT


@pytest.mark.parametrize("lookup", ["404", "405"])
async def test_without_a_look_up_no_registration_is_reported_absent(
    open_lms: Open, names: Names, lookup: str
) -> None:
    async with open_lms(f"{names.find_registration}:403", lookup=lookup) as (connector, _):
        ids = await created(connector)
        if is_of_the_account(names, "403"):
            with pytest.raises(StopJob):
                await connector.find_registrations(enrolments(ids))
            return
        found = await connector.find_registrations(enrolments(ids))

    assert found == {1: LookupMiss.NO_LOOKUP}


async def test_a_failed_look_up_of_registrations_never_says_absent(open_lms: Open, names: Names) -> None:
    for bad_day in ("lost-before", "html-502", "drop-before", "204", "error-200", "202"):
        async with open_lms(f"{names.find_registration}:{bad_day}") as (connector, _):
            ids = await created(connector)
            try:
                found = await connector.find_registrations(enrolments(ids))
            except LmsError:
                continue
            assert found == {1: LookupMiss.NO_LOOKUP}, bad_day


@pytest.mark.parametrize("count", [99, 100, 101])
async def test_a_list_that_may_be_one_page_of_several_never_means_absent(
    open_lms: Open, names: Names, count: int
) -> None:
    """Where the paging of a list is not documented, a list of exactly a hundred may be the first page."""
    if not names.doubts_full_pages:
        pytest.skip("the look-up of this LMS names one person")
    async with open_lms() as (connector, _):
        ids = await created(connector, count + 1)
        await registered(connector, ids[:count])
        found = await connector.find_registrations(enrolments(ids[-1:]))

    assert found == {1: LookupMiss.NO_LOOKUP if count == 100 else LookupMiss.ABSENT}


async def test_registering_completes_rows_and_so_waits_in_a_shorter_queue_than_creating(system: str) -> None:
    limiter = UnlimitedLimiter()
    with running(make_state()) as url:
        async with connected(a_connection(system, url), limiter) as (connector, _):
            ids = await created(connector)
            await registered(connector, ids)

    creating, left = max(limiter.requests, key=lambda request: request[1])
    registering, shorter = min(limiter.requests, key=lambda request: request[1])
    assert creating != registering
    assert shorter < left


# Lists


async def test_everyone_is_listed_once_over_all_pages(open_lms: Open, names: Names) -> None:
    async with open_lms(seed_users=250) as (connector, client):
        pages = [page async for page in connector.list_people(None)]
        more = [await connector.has_more_people_than(at_least) for at_least in (249, 250, 251)]

    people = [person.candidate_id for page in pages for person in page]
    if names.list_people is None:
        assert (people, more) == ([], [None, None, None])
        assert not connector.rules.lists_people
        return
    assert connector.rules.lists_people
    assert len(people) == len(set(people)) == 250
    assert [len(page) for page in pages if page] == [100, 100, 50]
    assert connector.rules.people_per_page == 100
    assert more == [True, False, False]
    assert client.calls[names.list_people] == 6
    person = pages[0][0]
    assert (person.external_id, person.email) == ("P-1", "person1@example.com")


@pytest.mark.parametrize("count", [0, 100, 200])
async def test_full_pages_end_with_an_empty_one(open_lms: Open, names: Names, count: int) -> None:
    if names.list_people is None:
        pytest.skip("this LMS has no list of people")
    async with open_lms(seed_users=count) as (connector, _):
        assert sum([len(page) async for page in connector.list_people(None)]) == count


async def test_only_people_changed_since_a_time_are_listed_on_request(open_lms: Open, names: Names) -> None:
    if names.list_people is None:
        pytest.skip("this LMS has no list of people")
    async with open_lms(seed_users=120) as (connector, _):
        candidate_id = await connector.create_candidate(a_candidate(999), nothing)
        since = [page async for page in connector.list_people(time.time() - 60)]

    assert [person.candidate_id for page in since for person in page] == [candidate_id]


async def test_a_broken_list_is_an_error_and_not_a_short_list(open_lms: Open, names: Names) -> None:
    if names.list_people is None:
        pytest.skip("this LMS has no list of people")
    for bad_day in ("lost-before", "204", "error-200", "html-502"):
        async with open_lms(f"{names.list_people}:{bad_day}:after=1", seed_users=250) as (connector, _):
            with pytest.raises(LmsError):
                [page async for page in connector.list_people(None)]


async def test_the_registrations_of_a_course_are_listed_completely_or_not_at_all(
    open_lms: Open, names: Names
) -> None:
    async with open_lms(seed_users=250, registered=["58:1-230"]) as (connector, _):
        whole = await connector.list_registrations(a_course(), 3)
        exactly = await connector.list_registrations(a_course("59"), 1)
        too_long = await connector.list_registrations(a_course(), 2)

    if not names.lists_registered:
        assert (whole, exactly, too_long) == (None, None, None)
        return
    assert whole is not None
    assert len(whole) == 230
    assert all(key and bool(value) == names.numbers_registrations for key, value in whole.items())
    assert exactly == {}
    assert too_long is None or not names.lists_by_pages


async def test_a_harmless_call_shows_whether_the_credentials_are_accepted(open_lms: Open, names: Names) -> None:
    async with open_lms() as (connector, client):
        assert "Connection works" in await connector.probe()
        assert client.calls.total() == names.probe_calls
    async with open_lms(settings=names.wrong_credentials) as (connector, _):
        with pytest.raises(StopJob) as raised:
            await connector.probe()

    assert raised.value.code == "credentials_refused"


# Actions: all that a connector declares


@pytest.fixture(params=sorted(set(Action) - {Action.REGISTER}))
def action(request: pytest.FixtureRequest, system: str) -> Action:
    if request.param not in lms.rules_of(a_connection(system)).actions:
        pytest.skip("this LMS offers no such action")
    return Action(request.param)


def request_for(action: Action, candidate_id: str) -> ActionRequest:
    changed = {"candidate": a_candidate(1, city="Delft"), "score": Decimal(70)}
    return an_action_request(action, candidate_id, row=changed)


async def registered_one(connector: Connector) -> str:
    (candidate_id,) = await created(connector)
    await connector.register_batch(enrolments([candidate_id]), nothing)
    return candidate_id


async def test_an_action_is_not_done_before_the_call_and_done_after_it(
    open_lms: Open, names: Names, action: Action
) -> None:
    async with open_lms() as (connector, client):
        request = request_for(action, await registered_one(connector))

        before = (await connector.read_states([request]))[1]
        assert isinstance(before, RemoteState)
        assert not before.is_done
        calls = changes(client, names)
        done = await connector.apply([request], {1: before}, nothing)
        assert isinstance(done[1], ActionResult)
        assert changes(client, names) == calls + 1

        after = (await connector.read_states([request]))[1]
        assert after is LookupMiss.ABSENT or (isinstance(after, RemoteState) and after.is_done)


async def test_an_action_is_never_reported_done_without_a_confirming_response(
    open_lms: Open, names: Names, action: Action
) -> None:
    operation = names.actions.get(action, action)
    for bad_day in ("lost-before", "lost-after", "drop-before", "202", "error-200", "html-502"):
        if bad_day == "error-200" and action in {Action.WITHDRAW, Action.DEACTIVATE}:
            continue  # their pages show no body, so a body is not read
        since = ":after=1" if operation == names.register else ""
        async with open_lms(f"{operation}:{bad_day}{since}") as (connector, _):
            request = request_for(action, await registered_one(connector))
            seen = (await connector.read_states([request]))[1]
            assert isinstance(seen, RemoteState)
            with suppress(AnswerLost, *([] if names.refuses_by_status else [Refused])):
                assert await connector.apply([request], {1: seen}, nothing) == {}


async def test_nothing_is_sent_when_the_intent_of_an_action_fails(open_lms: Open, action: Action) -> None:
    async def intent() -> None:
        raise InterruptedError

    async with open_lms() as (connector, client):
        request = request_for(action, await registered_one(connector))
        seen = (await connector.read_states([request]))[1]
        assert isinstance(seen, RemoteState)
        calls = client.calls.total()
        with pytest.raises(InterruptedError):
            await connector.apply([request], {1: seen}, intent)
        assert client.calls.total() == calls


async def test_what_does_not_exist_is_absent_and_not_an_error(open_lms: Open, action: Action) -> None:
    async with open_lms() as (connector, _):
        requests = [replace(request_for(action, str(990 + number)), row_id=number) for number in (1, 2, 3, 4, 5)]

        assert await connector.read_states(requests) == dict.fromkeys((1, 2, 3, 4, 5), LookupMiss.ABSENT)


async def test_a_registration_is_found_by_its_external_id_or_no_call_is_made(open_lms: Open) -> None:
    async with open_lms() as (connector, client):
        (candidate_id,) = await created(connector)
        await connector.register_batch(enrolments([candidate_id]), nothing)
        calls = client.calls.total()
        row = a_row(1, Candidate(), course=None, registration_external_id=f"roster-{candidate_id}-1")

        found = await connector.find_by_external_id(row)

        if not connector.rules.finds_by_external_id:
            assert (found, client.calls.total()) == (LookupMiss.NO_LOOKUP, calls)
            return
        assert found == RegistrationOwner(candidate_id=candidate_id, course_id="58")
        assert client.calls.total() == calls + 1
        assert (
            await connector.find_by_external_id(replace(row, course=a_course(), candidate=a_candidate(1))) == found
        )
        assert (
            await connector.find_by_external_id(replace(row, registration_external_id="nothing"))
            is LookupMiss.ABSENT
        )


@pytest.mark.parametrize(
    "changes",
    [{"course": a_course("59")}, {"candidate": Candidate(candidate_id="9")}, {"candidate": a_candidate(2)}],
)
async def test_a_person_or_course_given_with_an_external_id_must_match(
    open_lms: Open, changes: dict[str, Any]
) -> None:
    async with open_lms() as (connector, _):
        if not connector.rules.finds_by_external_id:
            pytest.skip("this LMS finds no registration by its external id")
        (candidate_id,) = await created(connector)
        await connector.register_batch(enrolments([candidate_id]), nothing)
        bare = a_row(1, Candidate(), course=None, registration_external_id=f"roster-{candidate_id}-1")

        with pytest.raises(Refused) as raised:
            await connector.find_by_external_id(replace(bare, **changes))

    assert raised.value.code == "registration_mismatch"


@pytest.mark.parametrize("bad_day", ["403", "422", "lost-before", "html-502", "drop-before"])
async def test_a_refused_or_failed_look_up_by_external_id_never_says_absent(
    open_lms: Open, names: Names, bad_day: str
) -> None:
    async with open_lms(f"{names.find_registration}:{bad_day}") as (connector, _):
        if not connector.rules.finds_by_external_id:
            pytest.skip("this LMS finds no registration by its external id")
        with pytest.raises(LmsError):
            await connector.find_by_external_id(a_row(1, Candidate(), course=None, registration_external_id="R-1"))


async def test_an_update_that_clears_missing_fields_is_sent_again_with_all_fields() -> None:
    """K-ext says that fields may be left out, not whether that clears them."""
    world = make_state(update_empties=True)
    with running(world) as url:
        async with connected(a_connection("kmi", url)) as (connector, client):
            ids = [await connector.create_candidate(a_candidate(number, zip="2611"), nothing) for number in (1, 2)]
            for number, who in enumerate(ids, start=1):
                request = an_action_request(
                    Action.UPDATE, who, row={"candidate": a_candidate(number, city="Delft")}
                )
                seen = (await connector.read_states([request]))[1]
                assert isinstance(seen, RemoteState)
                assert isinstance((await connector.apply([request], {1: seen}, nothing))[1], ActionResult)

    fields = [user.fields for user in world.kmi.people.users.values()]
    assert [(each["zip"], each["city"]) for each in fields] == [("2611", "Delft")] * 2
    assert client.calls["update_user"] == 3, "once to find out, then with all fields at once"


async def test_many_people_are_read_by_the_list_of_all() -> None:
    with running(make_state(seed_users=300)) as url:
        async with connected(a_connection("kmi", url)) as (connector, client):
            requests = [
                an_action_request(Action.DEACTIVATE, str(1000 + number), number) for number in range(1, 101)
            ]
            found = await connector.read_states(requests)
            assert all(isinstance(seen, RemoteState) for seen in found.values())
            assert client.calls == {"list_users": 5}


# Failures


async def test_refused_credentials_stop_the_job_for_every_call(open_lms: Open, names: Names) -> None:
    async with open_lms(settings=names.wrong_credentials) as (connector, _):
        for call in (
            connector.create_candidate(a_candidate(), nothing),
            connector.register_batch(enrolments(["7"]), nothing),
            connector.find_registrations(enrolments(["7"])),
        ):
            with pytest.raises(StopJob) as raised:
                await call
            expected = ("credentials_refused", 401 if names.refuses_by_status else 200)
            assert (raised.value.code, raised.value.status) == expected
            assert not [secret for secret in SECRETS if secret in f"{raised.value} {raised.value!r}"]


async def test_rate_limiting_is_a_pause_for_every_call(open_lms: Open) -> None:
    async with open_lms("*:throttle:wait=90:retry-after=integer") as (connector, _):
        for call in (
            connector.create_candidate(a_candidate(), nothing),
            connector.register_batch(enrolments(["7"]), nothing),
            connector.find_registrations(enrolments(["7"])),
            connector.probe(),
        ):
            connector.client.session.limiter.not_before = 0.0  # type: ignore[attr-defined]
            with pytest.raises(RateLimited) as raised:
                await call
            assert raised.value.seconds == pytest.approx(90, abs=2)


async def test_an_unreachable_lms_got_nothing(system: str) -> None:
    async with connected(a_connection(system, "http://127.0.0.1:9")) as (connector, client):
        with pytest.raises(LmsUnavailable):
            await created(connector)

        assert client.calls.total() == 0


async def test_the_intent_of_every_change_comes_before_its_call(open_lms: Open, system: str, names: Names) -> None:
    world = make_state()
    with running(world) as url:
        limiter = UnlimitedLimiter()
        async with connected(a_connection(system, url), limiter) as (connector, _):
            (candidate_id,) = await created(connector)

            def seen_changes() -> dict[str, Any]:
                calls = world.journal.by_operation()[system]
                return {name: count for name, count in calls.items() if name in names.changing}

            before = seen_changes()
            seen: list[object] = []

            async def intent() -> None:
                seen.append(seen_changes() == before)
                raise InterruptedError

            for call in (
                connector.create_candidate(a_candidate(2), intent),
                connector.register_batch(enrolments([candidate_id]), intent),
            ):
                with pytest.raises(InterruptedError):
                    await call

            assert seen == [True, True]
            assert seen_changes() == before
            assert limiter.open_permits == 0


@pytest.mark.parametrize("bad_day", ["drop-after", "204", "404", "401", "html-502", "throttle", "lost-after"])
async def test_no_error_contains_a_secret_or_personal_data(open_lms: Open, names: Names, bad_day: str) -> None:
    """Errors appear in logs and reasons. A refusal quotes the LMS, and is for the report."""
    who = a_candidate(1, email="wilhelmina@example.org", first_name="Wilhelmina", last_name="Achterberg")
    async with open_lms(f"{names.create}:{bad_day}") as (connector, _):
        with pytest.raises(LmsError) as raised:
            await connector.create_candidate(who, nothing)

    shown = f"{raised.value} {raised.value!r} {raised.value.__cause__!r} {raised.value.args!r}".casefold()
    assert not [word for word in (*SECRETS, "wilhelmina", "achterberg") if word in shown]
