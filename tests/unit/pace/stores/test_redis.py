"""The pace in a real Redis: what one process may do depends on what all do."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from tests import servers
from worker.lms.http import LmsClient, open_session
from worker.pace.estimator import pace
from worker.pace.hints.response import Hints
from worker.pace.limiter import RateLimiter
from worker.pace.priority_queue import ROUND_ROBIN_EVERY
from worker.pace.rate import parse_rate
from worker.pace.state import LimiterState, Limits, PaceState, Quota, QuotaKind, Reason
from worker.pace.stores.redis import RedisStore, open_redis


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = servers.open_redis(servers.free_port(), tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
async def redis(server):
    client = open_redis(server.connection_url)
    await client.flushall()
    yield client
    await client.aclose()


def store(redis, process="one", *, rate=None, most=8, lease=30.0, told=None):
    bounds = Limits(max_in_flight=most, rate=parse_rate(rate) if rate else None)
    tell = told.append if told is not None else lambda _: None
    return RedisStore(redis, "account", bounds, process=process, lease_seconds=lease, on_change=tell)


async def answered(one, turn, **hints):
    await one.report(turn.grant, Hints(**hints))


#: Seconds by which the script may have read the clock before or after the test.
LATE = (-0.5, -0.1, -0.02, -0.005, 0.0, 0.02)


def moved(state, base, *times):
    return replace(state, **{name: base + getattr(state, name) for name in times})


moments = st.one_of(st.just(0.0), st.floats(-5, 5))
quotas = st.builds(
    Quota,
    limit=st.just(5.0),
    calls=st.integers(1, 6).map(float),
    seconds=st.sampled_from([1.0, 10.0]),
    kind=st.sampled_from(QuotaKind),
    since=moments,
    until=moments,
    rounding=st.sampled_from([0.1, 1.0]),
    alone=st.booleans(),
    others=st.floats(0, 3),
    margin=st.sampled_from([0.0, 0.2]),
    left=st.floats(-1, 5),
    left_at=st.floats(-5, 0),
    number=st.integers(0, 5),
    refill=st.sampled_from([0.0, 0.5, 20.0]),
    unexplained=st.integers(0, 2),
    full_at=st.floats(-5, 0),
)
flows = st.builds(
    lambda **values: values,
    next_at=moments,
    last_at=st.floats(-30, 0),
    not_before=moments,
    quotas=st.lists(quotas, max_size=2).map(tuple),
    history=st.sets(st.integers(-120, 0), max_size=8).map(lambda ages: tuple(age / 10 for age in sorted(ages))),
    interval=st.sampled_from([0.0, 0.01, 0.5]),
    slack=st.sampled_from([0.0, 0.02, 0.3]),
    allowed_in_flight=st.integers(1, 6),
    sent=st.integers(0, 8),
    out=st.integers(0, 6),
)


@settings(max_examples=150, deadline=None)
@given(values=flows)
async def test_the_script_grants_calls_as_the_arithmetic_does(server, values):
    redis = open_redis(server.connection_url)
    await redis.flushall()
    base, out = time.time(), values.pop("out")
    values["quotas"] = tuple(
        moved(quota, base, "since", "until", "left_at", "full_at") for quota in values["quotas"]
    )
    values["history"] = tuple(base + at for at in values["history"])
    flow = moved(LimiterState(**values), base, "next_at", "last_at", "not_before")
    one = store(redis)
    await one._record.write_first(PaceState(limiter=flow))
    if out:
        await redis.zadd(one._record.out, {f"other-{number}": base + 60 for number in range(out)})
    one._joined = True

    turn = await one.reserve()

    now = turn.grant.at if turn.grant else None
    raw = await redis.hgetall(one._record.flow)
    expected, wanted = pace.reserve(PaceState(limiter=replace(flow, in_flight=out)), now or one.now())
    if turn.reason is not wanted.reason:
        # Some moment lies between the two readings of the clock.
        others = (
            pace.reserve(PaceState(limiter=replace(flow, in_flight=out)), one.now() + late)[1] for late in LATE
        )
        assert turn.reason in {each.reason for each in others}
    elif turn.grant:
        assert (turn.grant.number, turn.grant.concurrency) == (wanted.grant.number, wanted.grant.concurrency)
        assert await redis.zscore(one._record.history, str(turn.grant.number)) == turn.grant.at
        for name in ("next_at", "sent", "last_at", "fresh_from"):
            assert float(raw[name.encode()]) == pytest.approx(asdict(expected.limiter)[name], abs=1e-5), name
    elif turn.reason is not Reason.FULL:
        assert turn.seconds == pytest.approx(wanted.seconds, abs=0.05)
    await redis.aclose()


async def test_what_another_version_wrote_is_read_as_far_as_it_is_known(redis):
    one = store(redis)
    quota = asdict(Quota(limit=5.0, calls=5.0, seconds=1.0))
    state = PaceState(limiter=LimiterState(sent=7))
    await one._record.write_first(state)
    learnt = {"found": {"rate": 2.0, "other": 1}, "counts": {"accepted": 7, "other": 1}}
    written = [{**quota, "kind": "other"}, {**quota, "other": 1.0}, {**quota, "limit": 9.0, "kind": "sliding"}]
    await redis.hset(one._record.flow, mapping={"learnt": json.dumps(learnt), "quotas": json.dumps(written)})

    _, read = await one._record.read()

    assert (read.limiter.sent, read.estimate.rate, read.counts.accepted) == (7, 2.0, 7)
    assert [each.limit for each in read.limiter.quotas] == [9.0]


async def test_two_thousand_calls_are_read_exactly_and_in_little_processor_time(redis):
    taken, sent_at = {}, tuple(time.time() + number / 61 for number in range(2000))
    for history in ((), sent_at):
        await redis.flushall()
        one = store(redis)
        await one._record.write_first(PaceState(limiter=LimiterState(history=history)))
        began = time.process_time()
        for _ in range(30):
            _, read = await one._record.read()
        taken[len(history)] = time.process_time() - began
        assert read.limiter.history == history

    # One reply for each call took fifty times as long as none.
    assert taken[2000] <= 20 * taken[0]


async def test_two_processes_spend_one_rate_together(redis):
    stores = [store(redis, name, rate="200/second", most=50) for name in ("one", "two")]
    until = time.monotonic() + 1.5
    gone = []

    async def call(one):
        while time.monotonic() < until:
            turn = await one.reserve()
            if turn.grant:
                gone.append((turn.grant.at, one))
                await answered(one, turn)
            else:
                await asyncio.sleep(turn.seconds)

    await asyncio.gather(*(call(each) for each in stores))

    for begin, _ in gone:
        assert sum(begin <= at < begin + 1 for at, _ in gone) <= 200
    assert {one for _, one in gone} == set(stores)


async def test_a_pause_asked_of_one_process_holds_for_all(redis):
    one, two = store(redis), store(redis, "two")
    turn = await one.reserve()
    await two.reserve()

    await answered(one, turn, throttled=True, retry_after=7.0)

    for each in (one, two):
        turn = await each.reserve()
        assert turn.reason is Reason.PAUSE
        assert turn.seconds == pytest.approx(7.0, abs=0.5)


async def test_no_answer_is_lost_when_processes_report_at_the_same_time(redis):
    stores = [store(redis, str(number), most=200) for number in range(4)]

    async def call(one):
        for _ in range(40):
            turn = await one.reserve()
            while turn.grant is None:
                await asyncio.sleep(turn.seconds)
                turn = await one.reserve()
            await answered(one, turn)

    await asyncio.gather(*(call(each) for each in stores for _ in range(2)))

    _, state = await stores[0]._record.read()
    assert state.counts.accepted == 4 * 2 * 40
    assert (state.limiter.sent, state.limiter.in_flight) == (320, 0)


async def test_the_slots_of_a_process_that_died_are_free_again_after_their_lease(redis):
    dead, alive = store(redis, "dead", most=2, lease=1.2), store(redis, "alive", most=2)
    assert (await dead.reserve()).grant
    assert (await dead.reserve()).grant

    assert (await alive.reserve()).reason is Reason.FULL
    await asyncio.sleep(1.3)
    assert (await alive.reserve()).grant


async def test_a_process_that_holds_its_share_leaves_the_next_slot_to_the_others(redis):
    greedy, other = store(redis, "greedy", most=4), store(redis, "other", most=4)
    first = [await greedy.reserve() for _ in range(2)]
    assert all(turn.grant for turn in first)
    assert (await other.reserve()).grant

    assert (await greedy.reserve()).reason is Reason.FULL
    assert (await other.reserve()).grant


async def when_due(turn):
    assert turn.reason is Reason.PACE
    await asyncio.sleep(turn.seconds)


async def test_a_long_job_leaves_the_next_call_to_a_much_shorter_one_of_another_process(redis):
    long, short = store(redis, "long", rate="30/minute", most=9), store(redis, "short", rate="30/minute", most=9)
    assert (await long.reserve(length=20_000)).grant
    await when_due(await short.reserve(length=20))

    assert (await long.reserve(length=20_000)).reason is Reason.PACE
    assert (await short.reserve(length=20)).grant


async def test_a_call_that_the_shorter_job_does_not_make_is_made_while_the_delay_can_be_made_up(redis):
    long, short = store(redis, "long", rate="30/minute", most=9), store(redis, "short", rate="30/minute", most=9)
    assert (await long.reserve(length=20_000)).grant
    await when_due(await short.reserve(length=20))
    assert (await long.reserve(length=20_000)).reason is Reason.PACE

    await asyncio.sleep((await long._record.read())[1].limiter.slack)

    assert (await long.reserve(length=20_000)).grant


async def test_a_job_about_as_short_as_another_does_not_wait_for_it(redis):
    one, two = store(redis, "one", rate="30/minute", most=9), store(redis, "two", rate="30/minute", most=9)
    assert (await one.reserve(length=24)).grant
    await when_due(await two.reserve(length=20))

    assert (await one.reserve(length=24)).grant


async def test_every_eighth_call_goes_to_any_job_so_that_a_long_one_moves(redis):
    long, short = (store(redis, name, rate="120/minute", most=99) for name in ("long", "short"))
    while (turn := await short.reserve(length=20)).grant:
        await answered(short, turn)
    taken = []
    for _ in range(ROUND_ROBIN_EVERY):
        await when_due(turn)
        for each, length in ((long, 20_000), (short, 20)):
            if (turn := await each.reserve(length)).grant:
                taken.append(each)
                await answered(each, turn)
                break
        turn = await short.reserve(length=20)

    assert taken.count(long) == 1
    assert taken.count(short) == ROUND_ROBIN_EVERY - 1


async def test_a_withdrawn_grant_frees_its_slot_and_rewinds_the_schedule(redis):
    one = store(redis, rate="1/minute", most=1)
    turn = await one.reserve()
    assert (await one.reserve()).reason is Reason.FULL

    await one.withdraw(turn.grant)

    assert (await one.reserve()).grant


async def test_an_emptied_redis_continues_with_what_the_processes_know(redis):
    one = store(redis)
    turn = await one.reserve()
    await answered(one, turn, throttled=True, retry_after=9.0)

    await redis.flushall()

    turn = await one.reserve()
    while turn.reason is Reason.PACE:
        turn = await one.reserve()
    assert turn.reason is Reason.PAUSE
    assert turn.seconds == pytest.approx(9.0, abs=0.5)


async def test_without_redis_a_process_calls_at_its_share_and_returns_to_the_shared_pace(tmp_path):
    port, told = servers.free_port(), []
    server = servers.open_redis(port, tmp_path / "redis")
    redis = open_redis(server.connection_url)
    one, two = store(redis, rate="100/second", most=8, told=told), store(redis, "two", rate="100/second", most=8)
    for each in (one, two, one):
        turn = await each.reserve()
        while turn.grant is None:
            await asyncio.sleep(turn.seconds)
            turn = await each.reserve()
        await answered(each, turn)

    server.stop()
    gone, until = 0, time.monotonic() + 1.0
    while time.monotonic() < until:
        turn = await one.reserve()
        if turn.grant:
            gone += 1
            assert one.report(turn.grant, Hints()) is None
        else:
            await asyncio.sleep(turn.seconds)
    assert 25 < gone <= 50

    server = servers.open_redis(port, tmp_path / "redis")
    await asyncio.sleep(2.1)
    turn = await one.reserve()
    while turn.grant is None:
        await asyncio.sleep(turn.seconds)
        turn = await one.reserve()
    assert turn.grant.number > 0
    assert told == [
        "Redis is away: continuing at this process's own share of the pace",
        "Redis is back: the pace is shared again",
    ]
    await redis.aclose()
    server.stop()


async def test_a_pause_that_was_asked_for_while_redis_was_away_holds_when_it_is_back(tmp_path):
    port = servers.free_port()
    server = servers.open_redis(port, tmp_path / "redis")
    redis = open_redis(server.connection_url)
    one = store(redis)
    await answered(one, await one.reserve())
    server.stop()
    turn = await one.reserve()
    one.report(turn.grant, Hints(throttled=True, retry_after=20.0))

    server = servers.open_redis(port, tmp_path / "redis")
    await asyncio.sleep(2.1)

    assert (await one.reserve()).reason is Reason.PAUSE
    assert (await store(redis, "two").reserve()).reason is Reason.PAUSE
    await redis.aclose()
    server.stop()


async def test_calls_in_flight_when_redis_is_emptied_may_all_be_reported(redis):
    gates = [RateLimiter(store(redis, name, most=20), max_in_flight=20) for name in ("one", "two")]
    out = [(gate, await gate.acquire()) for gate in gates for _ in range(2)]

    await redis.flushall()
    out += [(gate, await gate.acquire()) for gate in gates for _ in range(2)]

    for gate, pass_ in out:
        gate.release(pass_, Hints())
        await gate.flush()
    _, state = await store(redis)._record.read()
    assert state.limiter.in_flight == 0
    for gate in gates:
        await gate.close()


async def test_a_call_that_is_cancelled_has_returned_its_slot_when_its_event_loop_ends(redis, server):
    async def give_up():
        reached, client = asyncio.get_running_loop().create_future(), open_redis(server.connection_url)
        silent = await asyncio.start_server(lambda _, writer: reached.set_result(writer), "127.0.0.1", 0)
        url = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
        limiter = RateLimiter(store(client, most=1), max_in_flight=1)
        session = open_session(url, {}, limiter, in_flight=1, timeout_seconds=30)
        call = asyncio.create_task(LmsClient(session=session).read("list_users", "/users"))
        writer = await reached
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await session.close()
        writer.close()
        silent.close()
        await client.aclose()

    await asyncio.to_thread(asyncio.run, give_up())

    assert (await store(redis, "two", most=1).reserve()).grant is not None
