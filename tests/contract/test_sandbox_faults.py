"""The pretend LMS on its bad days, and with its quotas, over a real socket."""

from __future__ import annotations

import itertools
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from worker.sandbox import faults, quota
from worker.sandbox.quota_enforcement import Admission, QuotaEnforcer
from worker.sandbox.rule_syntax import RuleSyntaxError
from worker.sandbox.server import SandboxState, make_state, running, serve

TAHDAH = {"Authorization": "Bearer sandbox-token"}
KMI = {"X-Api-Key": "sandbox-key", "X-Api-Secret": "sandbox-secret"}
REGISTRATIONS = "/api/learningexperiences/legalentities/42/experiences/58/registrations"
USERS = "/api/v2/users/"
KMI_REGISTRATIONS = "/api/v2/registrations/"
#: One for all clients: making it takes longer than most tests.
TLS = ssl.create_default_context()

Start = Callable[..., httpx.Client]


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as stack:

        def start_with(*bad_days: str, **options: Any) -> httpx.Client:
            url = stack.enter_context(running(make_state(bad_days=bad_days, **options)))
            return stack.enter_context(httpx.Client(base_url=url, headers=TAHDAH | KMI, verify=TLS, timeout=45))

        yield start_with


def create(lms: httpx.Client, email: str = "ana@example.com") -> httpx.Response:
    return lms.post("/api/candidates", json={"firstName": "Ana", "lastName": "Ní", "email": email})


def candidates(lms: httpx.Client, *names: str) -> list[int]:
    return [create(lms, f"{name}@example.com").json()["candidateId"] for name in names]


def register(lms: httpx.Client, *ids: int) -> httpx.Response:
    items = [{"candidateId": id_, "behavior": 1, "registrationDate": "2026-01-15"} for id_ in ids]
    return lms.post(REGISTRATIONS, json={"candidateIds": items})


def enrol(lms: httpx.Client, **who: Any) -> httpx.Response:
    return lms.post(KMI_REGISTRATIONS, json={"courseId": 58} | who)


def state(lms: httpx.Client) -> dict[str, Any]:
    return lms.get("/sandbox/state").json()


def figures(lms: httpx.Client, account: str = "tahdah#1") -> dict[str, Any]:
    return state(lms)["quota"]["accounts"][account]


@pytest.mark.parametrize(
    ("what", "status"),
    [("reject", 400), ("403", 403), ("404", 404), ("409", 409), ("413", 413), ("422", 422), ("401", 401)],
)
def test_a_refusal_does_nothing(start: Start, what: str, status: int) -> None:
    lms = start(f"create_candidate:{what}:first=1")

    assert create(lms).status_code == status
    assert state(lms)["tahdah"]["candidates"] == 0
    assert create(lms).status_code == 200


def test_a_batch_with_a_marked_candidate_is_refused_by_name_until_it_is_left_out(start: Start) -> None:
    lms = start("register:reject:marker=poison")
    good, bad, other = candidates(lms, "ana", "poison1", "bob")

    refused = register(lms, good, bad, other)

    assert refused.status_code == 400
    assert f"Candidate {bad} is not valid" in refused.text
    assert register(lms, good, other).status_code == 200
    assert state(lms)["tahdah"]["registrations"] == 2


def test_a_marker_finds_the_user_of_a_kmi_registration_too(start: Start) -> None:
    lms = start("create_registration:409:marker=person2", "create_user:reject:marker=X-", seed_users=3)
    body = {"email": "a@example.com", "firstName": "A", "lastName": "B", "loginName": "a", "externalId": "X-9"}

    assert [enrol(lms, userId=1000 + number).status_code for number in (1, 2, 3)] == [201, 409, 201]
    assert lms.post(USERS, json=body).json() == {"detail": "Candidate a@example.com is not valid."}


def test_a_marker_finds_whom_a_path_names(start: Start) -> None:
    lms = start("withdraw:422:marker=person1", "find_user:403:marker=P-2", seed_users=2, registered=["58:1-2"])

    assert [lms.post(f"{KMI_REGISTRATIONS}{id_}/withdraw/").status_code for id_ in (100500, 100501)] == [422, 204]
    assert [lms.get(f"{USERS}external_id/P-{n}/").status_code for n in (1, 2, 3)] == [200, 403, 404]


@pytest.mark.parametrize(("what", "done"), [("lost-after", 1), ("lost-before", 0)])
def test_an_answer_is_lost_with_and_without_the_work(start: Start, what: str, done: int) -> None:
    lms = start(f"register:{what}:nth=1")
    (candidate,) = candidates(lms, "ana")

    assert register(lms, candidate).status_code == 500
    assert state(lms)["tahdah"]["registrations"] == done


def test_a_lost_answer_may_have_another_status(start: Start) -> None:
    assert create(start("*:lost-after:status=504")).status_code == 504


@pytest.mark.parametrize(("what", "done"), [("drop-after", 1), ("drop-before", 0)])
def test_a_connection_is_dropped_with_and_without_the_work(start: Start, what: str, done: int) -> None:
    lms = start(f"create_candidate:{what}:first=1")

    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        create(lms)

    assert state(lms)["tahdah"]["candidates"] == done
    assert state(lms)["calls"]["tahdah"] == {"create_candidate": {"no_answer": 1}}
    assert create(lms).status_code == 200


def test_an_answer_is_held_back_after_the_work(start: Start) -> None:
    lms = start("create_candidate:timeout-after:seconds=30")

    with pytest.raises(httpx.ReadTimeout):
        lms.post("/api/candidates", json={"firstName": "A", "lastName": "B", "email": "a@b.c"}, timeout=0.1)

    assert state(lms)["tahdah"]["candidates"] == 1


@pytest.mark.parametrize(("options", "done"), [("", 0), (":done=yes", 1)])
def test_a_proxy_answers_with_html(start: Start, options: str, done: int) -> None:
    lms = start(f"create_candidate:html-502{options}")

    answer = create(lms)

    assert answer.status_code == 502
    assert answer.headers["content-type"] == "text/html"
    assert answer.text.startswith("<html>")
    assert state(lms)["tahdah"]["candidates"] == done


def test_an_array_comes_shortened(start: Start) -> None:
    lms = start("register:short:count=2")
    ids = candidates(lms, "a", "b", "c")

    assert [each["candidateId"] for each in register(lms, *ids).json()] == [str(ids[0])]
    assert state(lms)["tahdah"]["registrations"] == 3


def test_an_array_comes_in_another_order(start: Start) -> None:
    lms = start("register:shuffled")
    ids = [str(id_) for id_ in candidates(lms, "a", "b", "c")]

    answered = [each["candidateId"] for each in register(lms, *map(int, ids)).json()]

    assert answered != ids
    assert sorted(answered) == sorted(ids)


@pytest.mark.parametrize(("what", "kind"), [("string-ids", str), ("int-ids", int), ("float-ids", float)])
def test_ids_come_in_any_type(start: Start, what: str, kind: type) -> None:
    lms = start(f"*:{what}", seed_users=1)
    candidate = create(lms).json()["candidateId"]

    assert type(candidate) is kind
    assert type(register(lms, int(candidate)).json()[0]["candidateExperienceId"]) is kind
    assert type(enrol(lms, userId=1001).json()["userId"]) is kind


def test_success_may_have_other_numbers_and_no_ids(start: Start) -> None:
    lms = start(*(f"create_candidate:{what}:nth={nth}" for nth, what in enumerate(("201", "202", "204"), 1)))

    created, accepted, empty = create(lms), create(lms), create(lms)

    assert (created.status_code, "candidateId" in created.json()) == (201, True)
    assert (accepted.status_code, "candidateId" in accepted.json()) == (202, False)
    assert (empty.status_code, empty.content) == (204, b"")
    assert state(lms)["tahdah"]["candidates"] == 3


def test_accepted_may_mean_that_nothing_is_done(start: Start) -> None:
    lms = start("create_candidate:202:done=no", "create_user:200", seed_users=0)

    assert create(lms).status_code == 202
    assert state(lms)["tahdah"]["candidates"] == 0


def test_an_error_may_come_as_200(start: Start) -> None:
    lms = start("create_candidate:error-200")

    answer = create(lms)

    assert answer.status_code == 200
    assert "exception" in answer.json()
    assert state(lms)["tahdah"]["candidates"] == 0


def test_a_call_may_be_held_until_the_rules_are_replaced(start: Start) -> None:
    lms = start("create_candidate:hold:after=1")
    create(lms)

    with ThreadPoolExecutor(2) as pool:
        held = [pool.submit(create, lms) for _ in range(2)]
        while lms.get("/sandbox/rules").json()[0]["fired"] < 2:
            lms.get(USERS)
        assert state(lms)["tahdah"]["candidates"] == 1
        lms.post("/sandbox/rules", json=[])
        answers = [each.result().status_code for each in held]

    assert answers == [200, 200]
    assert state(lms)["tahdah"]["candidates"] == 3


def test_an_answer_may_be_slow_and_so_may_the_lms(start: Start) -> None:
    lms = start("list_users:slow:seconds=0.15", latency=0.05)

    assert lms.get(KMI_REGISTRATIONS).elapsed.total_seconds() >= 0.05
    assert lms.get(USERS).elapsed.total_seconds() >= 0.2


def test_a_refusal_stays_a_refusal_on_a_day_that_spoils_answers(start: Start) -> None:
    lms = start("register:201", "register:short", "register:string-ids")

    assert register(lms, 7).status_code == 400


def test_rules_choose_their_calls_by_count(start: Start) -> None:
    lms = start("list_users:404:every=3", "kmi.list_registrations:404:after=1:times=1", "find_user:404:p=0.5")

    assert [lms.get(USERS).status_code for _ in range(6)] == [200, 200, 404, 200, 200, 404]
    assert [lms.get(KMI_REGISTRATIONS).status_code for _ in range(3)] == [200, 404, 200]
    assert lms.get(REGISTRATIONS).status_code == 200


def test_dice_fall_the_same_way_in_every_run(start: Start) -> None:
    runs = [[start("*:403:p=0.5", seed=7).get(USERS).status_code for _ in range(1)] for _ in range(2)]
    lms = start("*:403:p=0.5", seed=7)
    several = [lms.get(USERS).status_code for _ in range(30)]

    assert runs[0] == runs[1] == several[:1]
    assert set(several) == {200, 403}


def test_rules_are_replaced_at_run_time(start: Start) -> None:
    lms = start("*:404")

    rule = {"operation": "kmi.*", "what": "throttle", "retry_after": "3", "nth": 1}
    answer = lms.post("/sandbox/rules", json={"rules": ["tahdah.*:403", rule]})

    assert [each["rule"] for each in answer.json()] == ["tahdah.*:403", "kmi.*:throttle:nth=1:retry-after=3"]
    assert create(lms).status_code == 403
    assert lms.get(USERS).headers["retry-after"] == "3"
    assert lms.get("/sandbox/rules").json()[0]["fired"] == 1
    lms.post("/sandbox/reset")
    assert create(lms).status_code == 404


@pytest.mark.parametrize("body", ['["*:nonsense"]', '["nobody:404"]', '["*:404:nth=x"]', "{}", "{", "[5]", '["*"]'])
def test_a_rule_that_cannot_be_read_is_refused_and_changes_nothing(start: Start, body: str) -> None:
    lms = start("*:404")

    answer = lms.post("/sandbox/rules", content=body)

    assert answer.status_code == 400
    assert answer.json()["detail"]
    assert len(lms.get("/sandbox/rules").json()) == 1


@pytest.mark.parametrize(
    "text", ["register:lost-after:every=7", "*:throttle:nth=5:retry-after=date:headers=draft-10"]
)
def test_a_rule_in_words_reads_back_as_itself(text: str) -> None:
    assert str(faults.parse(text)) == text


@pytest.mark.parametrize("options", [{"lookup": "maybe"}, {"quotas": ["bucket"]}, {"registered": ["58"]}])
def test_options_that_cannot_be_read_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(RuleSyntaxError):
        make_state(**options)


@pytest.mark.parametrize(
    "form", ["0", "3", "1.5", "86400", "integer", "fraction", "date", "past-date", "garbage", "none"]
)
@pytest.mark.parametrize("status", [429, 403, 503])
def test_a_refusal_names_its_time_in_any_form(start: Start, form: str, status: int) -> None:
    lms = start(f"*:throttle:retry-after={form}:wait=2.5:status={status}")

    answer = create(lms)

    assert answer.status_code == status
    given = answer.headers.get("retry-after")
    expected = {"integer": "3", "fraction": "2.500", "garbage": "soon", "none": None}
    if form.endswith("date"):
        ahead = (parsedate_to_datetime(given or "").timestamp()) - time.time()
        assert 2 < ahead < 4 if form == "date" else ahead < 0
    else:
        assert given == expected.get(form, form)
    assert state(lms)["tahdah"]["candidates"] == 0
    assert figures(lms)["refused"] == 1


@pytest.mark.parametrize(
    ("form", "names"),
    [
        ("none", set()),
        ("x-ratelimit", {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"}),
        ("x-ratelimit-epoch-ms", {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"}),
        ("draft-6", {"ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "ratelimit-policy"}),
        ("draft-10", {"ratelimit", "ratelimit-policy"}),
    ],
)
def test_a_quota_tells_where_it_stands_in_any_form(start: Start, form: str, names: set[str]) -> None:
    lms = start(quotas=[f"log:1/30s:headers={form}"])

    answers = [lms.get(USERS), lms.get(USERS)]

    assert [answer.status_code for answer in answers] == [200, 429]
    for answer in answers:
        assert {name for name in answer.headers if "ratelimit" in name} == names
    if form == "draft-10":
        assert answers[1].headers["ratelimit"] == '"default";r=0;t=30'


@pytest.mark.parametrize(
    ("words", "body"),
    [
        ("", {"detail": "Too many requests"}),
        (":status=403", {"detail": "Rate Limit Exceeded"}),
        (":body=drf", {"detail": "Request was throttled. Expected available in 60 seconds."}),
        (":body=retryAfter", {"message": "Too many requests.", "retryAfter": 60}),
    ],
)
def test_a_refusal_speaks_in_several_ways(start: Start, words: str, body: dict[str, Any]) -> None:
    lms = start(quotas=[f"log:1/60s{words}"])
    lms.get(USERS)

    assert lms.get(USERS).json() == body


@pytest.mark.parametrize("kind", ["bucket:5/60s", "window:5/1000000000s", "log:5/60s"])
def test_a_quota_lets_in_what_it_allows_and_counts_the_rest(start: Start, kind: str) -> None:
    lms = start(quotas=[kind])

    statuses = [lms.get(USERS).status_code for _ in range(8)]

    assert statuses == [200] * 5 + [429] * 3
    found = figures(lms, "kmi#1")
    assert (found["accepted"], found["refused"], found["share_refused"]) == (5, 3, 3 / 8)
    assert found["allowed"] == pytest.approx(5, abs=0.5)
    assert found["used"] == pytest.approx(1, abs=0.1)


def test_quotas_are_per_credential_unless_they_are_shared(start: Start) -> None:
    own, shared = start(quotas=["log:1/60s"]), start(quotas=["log:1/60s:share=global"])

    assert [own.get(USERS).status_code, create(own).status_code] == [200, 200]
    assert [shared.get(USERS).status_code, create(shared).status_code] == [200, 429]
    assert figures(shared, "all")["allowed"] == 1


def test_quotas_are_replaced_at_run_time(start: Start) -> None:
    lms = start()

    lms.post("/sandbox/quotas", json=["log:1/60s"])

    assert [lms.get(USERS).status_code for _ in range(2)] == [200, 429]
    assert lms.post("/sandbox/quotas", json=["often"]).status_code == 400


def test_a_bucket_fills_again(start: Start) -> None:
    lms = start(quotas=["bucket:20/s:burst=1:retry-after=fraction"])

    while (answer := lms.get(USERS)).status_code == 200:
        pass
    wait = float(answer.headers["retry-after"])
    time.sleep(wait + 0.01)

    assert 0 < wait <= 0.05
    assert lms.get(USERS).status_code == 200


def test_only_so_many_calls_are_let_in_at_once(start: Start) -> None:
    lms = start("list_users:hold", quotas=["at-once:2"])

    with ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(lms.get, USERS) for _ in range(5)]
        refused = [each.result() for each in itertools.islice(as_completed(asked), 3)]
        lms.post("/sandbox/rules", json=[])
        statuses = sorted(each.result().status_code for each in asked)
    assert {each.status_code for each in refused} == {429}

    assert statuses == [200, 200, 429, 429, 429]
    assert figures(lms, "kmi#1")["most_at_once"] == 2
    assert lms.get(USERS).status_code == 200


def test_calls_before_their_time_are_counted_per_credential(start: Start) -> None:
    lms = start("create_candidate:throttle:nth=1:retry-after=60")

    create(lms)
    time.sleep(0.35)
    early = create(lms)
    lms.get(USERS)

    assert early.status_code == 200
    assert (figures(lms)["early"], figures(lms)["refused_early"]) == (1, 0)
    assert figures(lms, "kmi#1")["early"] == 0


def test_a_refused_call_may_use_up_the_quota_too() -> None:
    def let_in(words: str) -> list[bool]:
        turnstile = QuotaEnforcer([quota.parse(words)])
        return [isinstance(turnstile.enter("a", at), Admission) for at in (100.0, 100.5, 101.2, 101.8)]

    assert let_in("log:1/s") == [True, False, True, False]
    assert let_in("log:1/s:counts-refused=yes") == [True, False, False, False]


def test_an_early_call_that_is_refused_is_told_apart_from_one_that_is_just_refused() -> None:
    turnstile = QuotaEnforcer([quota.parse("window:1/10s")])

    for at in (100.0, 101.0, 101.01, 105.0, 110.1):
        turnstile.enter("a", at)

    found = turnstile.figures()["accounts"]["a"]
    assert (found["accepted"], found["refused"], found["refused_early"], found["early"]) == (2, 3, 1, 1)
    assert found["allowed"] == 2


def test_a_client_that_hammers_is_early_all_the_time() -> None:
    turnstile = QuotaEnforcer([quota.parse("window:1/10s")])

    for number in range(100):
        turnstile.enter("a", 100 + number * 0.02)

    assert turnstile.figures()["accounts"]["a"]["refused_early"] > 80


def test_figures_of_an_even_pace_against_a_bucket_are_nearly_whole() -> None:
    turnstile = QuotaEnforcer([quota.parse("bucket:10/s:burst=1")])

    for number in range(101):
        turnstile.enter("a", 100 + number * 0.1)

    found = turnstile.figures()["accounts"]["a"]
    assert found["used"] == pytest.approx(1, abs=0.02)
    assert found["allowed_steady"] == pytest.approx(100)


def test_a_port_that_is_taken_is_an_error_that_the_caller_sees() -> None:
    with running(SandboxState()) as url, pytest.raises(OSError, match="in use"):
        serve("127.0.0.1", int(url.rpartition(":")[2]), SandboxState())


def test_a_world_can_be_made_from_options_and_started_twice() -> None:
    world = make_state(kmi_seed_users=1)

    for _ in range(2):
        with running(world) as url, httpx.Client(base_url=url, headers=KMI, verify=TLS) as lms:
            assert len(lms.get(USERS).json()) == 1
