"""Workers that die at random moments, a Redis that forgets, a PostgreSQL that restarts, an LMS that loses answers.

`python -m tests.chaos [ROUNDS] [SEED] [CONNECTION]`: in each round two rosters are handed to two to four workers;
then something is killed, once or several times. Look-ups of what is in doubt are lost or answered with 500 too.
Nobody may be registered twice, nobody lost, on KMI and Moodle nobody left in doubt; every job must end by itself.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests import servers
from tests.conftest import Lms, Office, people
from tests.queues import RESTING, Queue, Service, open_queue
from worker.sandbox.server import make_state, running

#: A job may take so long after the last kill (seconds): a lease, a sweep, and the work that is left.
LONGEST_END = 150.0
ROWS = (70, 25)
SYSTEMS = {
    # Creations on Tahdah cannot be looked up: those whose answer was lost are for a person.
    "north": [
        "register:lost-after:p=0.05",
        "create_candidate:lost-after:p=0.01",
        "list_registrations:lost-before:p=0.2",
        "list_registrations:drop-before:p=0.2",
    ],
    "kmi": [
        "create_registration:lost-after:p=0.05",
        "create_user:lost-after:p=0.05",
        "create_user:lost-before:p=0.03",
        *(
            f"{lookup}:{fault}:p=0.2"
            for lookup in ("find_user", "find_registration", "list_registrations")
            for fault in ("lost-before", "drop-before")
        ),
    ],
    # Many people a call: an answer that is lost, or a gateway that gives up before the work is done.
    "academy": [
        "create_users:lost-after:p=0.2",
        "create_users:late:p=0.2:seconds=0.5",
        "enrol_users:lost-after:p=0.2",
        "enrol_users:late:p=0.2:seconds=0.5",
        "enrol_users:dmlwriteexception:p=0.1",
        "find_users:lost-before:p=0.1",
        "list_enrolled:drop-before:p=0.1",
        "moodle.*:sitemaintenance:p=0.03",
    ],
}
#: In every third round the first look-ups fail for so long that the job has to wait and look again later.
LONG_FAILURE = [
    f"{lookup}:drop-before:first=8"
    for lookup in ("find_user", "find_registration", "list_registrations", "find_users", "list_enrolled")
]


@dataclass
class Round:
    """What one round did, and how it ended."""

    number: int
    system: str
    deeds: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    seconds_to_end: float = 0.0

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {status}" for status, count in sorted(self.statuses.items()))
        deeds = "; ".join(self.deeds)
        return f"{self.number:>3}  {self.system:<6} ended {self.seconds_to_end:5.1f} s after: {deeds}: {counts}"


class Servers:
    """The Redis and the PostgreSQL that all rounds share, and that some of them mistreat."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.postgres = servers.open_postgres(folder / "postgres")
        self.port = servers.free_port()
        self.redis: Any = None
        self.start_redis()

    def start_redis(self) -> None:
        self.redis = servers.open_redis(self.port, Path(tempfile.mkdtemp(dir=self.folder)), save="")

    def empty_redis(self) -> None:
        self.redis.stop()
        time.sleep(1.0)
        self.start_redis()

    def restart_postgres(self) -> None:
        self.postgres.stop()
        time.sleep(1.0)
        self.postgres.start()

    def close(self) -> None:
        self.redis.stop()
        self.postgres.cleanup()


def play(number: int, seed: int, shared: Servers, systems: list[str]) -> Round:
    """Play one round; raises AssertionError when somebody was registered twice or lost, or a job did not end."""
    dice = random.Random(f"{seed}/{number}")  # noqa: S311 - dice
    system = dice.choice(systems)
    now = Round(number, system)
    with ExitStack() as stack:
        lms, office = _open_office(stack, shared, system, number)
        url = stack.enter_context(servers.a_database(shared.postgres))
        line = open_queue(office, url, f"{shared.redis.connection_url}/0")
        stack.callback(line.close)
        line.beat()
        workers = [line.worker(processes=dice.choice([1, 2]), wait=False) for _ in range(dice.choice([2, 3, 4]))]
        jobs = [line.submit(f"{count}.csv") for count in ROWS]
        line.until(lambda: lms.calls() > dice.randint(1, 60), "a call")
        for _ in range(dice.choice([1, 1, 2])):
            _do_harm(now, dice, line, workers, shared)
            time.sleep(dice.uniform(0.0, 3.0))
        began = time.monotonic()
        results = line.ended(*jobs, seconds=LONGEST_END)
        now.seconds_to_end = time.monotonic() - began
        for result in results:
            assert result.state in RESTING - {"held", "paused", "failed"}, (now, result.summary)
            now.statuses.update(result.counts)
        _check(now, lms)
    return now


def _open_office(stack: ExitStack, shared: Servers, system: str, number: int) -> tuple[Lms, Office]:
    bad_days = SYSTEMS[system] + (LONG_FAILURE if number % 3 == 0 else [])
    url = stack.enter_context(running(make_state(latency=0.02, seed=number, bad_days=bad_days)))
    client = stack.enter_context(httpx.Client(base_url=url, timeout=60))
    lms = Lms(url, client, None)
    folder = Path(tempfile.mkdtemp(dir=shared.folder))
    office = Office(folder, lms)
    office.connect(url, system, batch_size=10, lookup_pauses=[0.1, 0.3])
    first = 1
    for count in ROWS:
        office.roster(f"{count}.csv", people(count, first=first, login_name=lambda number: f"login{number}"))
        # Some people are on both rosters.
        first += count - 5
    return lms, office


def _do_harm(now: Round, dice: random.Random, line: Queue, workers: list[Service], shared: Servers) -> None:
    what = dice.choices(("worker", "child", "redis", "postgres"), weights=(5, 3, 2, 2))[0]
    victim = dice.choice([each for each in workers if each.process.poll() is None])
    if what == "worker":
        victim.kill()
        workers.append(line.worker(wait=False))
        now.deeds.append("a worker killed, another started")
    elif what == "child" and victim.kill_child():
        now.deeds.append("a child killed")
    elif what == "redis":
        shared.empty_redis()
        now.deeds.append("Redis emptied")
    elif what == "postgres":
        shared.restart_postgres()
        now.deeds.append("PostgreSQL restarted")


def _check(now: Round, lms: Lms) -> None:
    lms.nobody_twice()
    named = sum(ROWS)
    assert sum(now.statuses.values()) == named, now
    left = set(now.statuses) - {"registered", "already_registered", "in_doubt"}
    assert not left, now
    if now.system in {"kmi", "academy"}:
        assert "in_doubt" not in now.statuses, now


def main() -> None:
    given = [int(word) for word in sys.argv[1:3]]
    systems = sys.argv[3:] or list(SYSTEMS)
    rounds, seed = (given + [60, 1][len(given) :])[:2]
    worst, total = 0.0, Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        shared = Servers(Path(folder))
        try:
            for number in range(1, rounds + 1):
                done = play(number, seed, shared, systems)
                worst = max(worst, done.seconds_to_end)
                total += done.statuses
                print(done, flush=True)  # noqa: T201
        finally:
            shared.close()
    print(f"{rounds} rounds: nobody twice, nobody lost; {dict(total)}; the longest end took {worst:.1f} s")  # noqa: T201


if __name__ == "__main__":
    main()
