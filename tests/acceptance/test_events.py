"""Fifty jobs followed at once, and the end of their streams when the server stops."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.conftest import LONGEST_SECONDS
from tests.web_server import RESTING, events_of

JOBS = 50
#: How many streams an account may have open.
PER_ACCOUNT = 20


@pytest.mark.slow
async def test_fifty_jobs_are_followed_at_once_to_their_end(web_server, office, sandbox, wait_until):
    lms = sandbox()
    terminal = office(lms)
    served = web_server(terminal)
    ids = [served.upload(terminal.people(f"r{n}.csv", 2, first=10 * n)).json()["id"] for n in range(JOBS)]
    assert len(set(ids)) == JOBS
    limits = httpx.Limits(max_connections=2 * JOBS + 10)
    accounts = [served.with_token(f"follower{n}", "viewer") for n in range(2 * JOBS // PER_ACCOUNT)]

    async with httpx.AsyncClient(base_url=served.url, limits=limits, timeout=45, verify=served.tls) as client:

        async def last_of(number, job_id):
            events = []
            headers = {"Authorization": accounts[number % len(accounts)].headers["Authorization"]}
            async with client.stream("GET", f"/api/jobs/{job_id}/events", headers=headers) as answer:
                assert answer.status_code == 200
                async for line in answer.aiter_lines():
                    events += [json.loads(line.removeprefix("data:"))] if line.startswith("data:") else []
            return events[-1]

        followed = [asyncio.create_task(last_of(number, job_id)) for number, job_id in enumerate(ids * 2)]
        assert (await client.get("/healthz")).status_code == 200
        ends = await asyncio.gather(*followed)

    assert [each["job"] for each in ends] == ids * 2
    assert {each["state"] for each in ends} == {"succeeded"}
    assert len(lms.standing) == 2 * JOBS


def test_streams_end_with_the_server_and_the_next_one_continues_the_job(web_server, office, sandbox, wait_until):
    lms = sandbox(latency=0.5, bad_days=["create_candidate:hold:after=2"])
    terminal = office(lms, max_in_flight=2)
    served = web_server(terminal)
    job = served.upload(terminal.people("spring.csv", 30)).json()["id"]
    lms.until(lambda lms: lms.calls() >= 1, "the first call")

    with ThreadPoolExecutor() as pool:
        events = []

        def follow():
            events.extend(events_of(served.client, job))
            return True

        following = pool.submit(follow)
        wait_until(lambda: events, "the first event")
        served.running.process.terminate()
        lms.rules()
        assert served.running.over_within(LONGEST_SECONDS)
        assert following.result(LONGEST_SECONDS)

    assert served.running.process.returncode == 0
    assert "ERROR" not in served.running.err.read_text("utf-8")
    assert events[-1][1]["state"] not in RESTING
    lms.answer_after(0)
    again = web_server(terminal)
    summary = again.until(job)
    assert (summary["state"], summary["by_status"]["registered"]) == ("succeeded", 30)


def test_the_stream_of_a_paused_job_ends(web_server, office, sandbox):
    lms = sandbox(latency=0.5, bad_days=["create_candidate:hold:after=2"])
    terminal = office(lms)
    served = web_server(terminal)
    job = served.upload(terminal.people("spring.csv", 30)).json()["id"]
    lms.until(lambda lms: lms.calls() >= 1, "the first call")

    served.client.post(f"/api/jobs/{job}/pause")
    lms.rules()

    assert [(name, each["state"]) for name, each in events_of(served.client, job)][-1] == ("end", "paused")
    lms.answer_after(0)
