"""What all tests share, in the words of the trade: a pretend LMS, an office with roster.toml, rosters of people.

Nothing here starts by itself; only the environment is scrubbed for every test.
"""

from __future__ import annotations

import csv
import fcntl
import gc
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import hypothesis
import pytest
import redis

from tests import servers
from tests.compiling import share_compiled_statements
from tests.fork_client import Forked, ForkServer, run_id
from tests.fork_server import ForkingPopen
from tests.hashing import hash_passwords_cheaply
from tests.syncing import write_sqlite_without_sync
from worker.ledger import queue as task_queue
from worker.ledger.database import open_engine
from worker.ledger.transactions import Ledger

# How fast inputs are made says nothing on a busy machine; a fixture that inputs share is meant to be shared.
_CHECK = hypothesis.HealthCheck
hypothesis.settings.register_profile(
    "suite", deadline=None, suppress_health_check=[_CHECK.too_slow, _CHECK.function_scoped_fixture]
)
hypothesis.settings.load_profile("suite")

ROSTER = Path(sys.executable).with_name("roster")
SECRETS = {
    "SANDBOX_TOKEN": "sandbox-token",
    "SANDBOX_KEY": "sandbox-key",
    "SANDBOX_SECRET": "sandbox-secret",
    "SANDBOX_MOODLE_TOKEN": "sandbox-moodle-token",
}
CONNECTIONS: dict[str, dict[str, Any]] = {
    "north": {"system": "tahdah", "token": "env:SANDBOX_TOKEN", "legal_entity_id": 42, "behavior": 1},
    "kmi": {"system": "kmi", "api_key": "env:SANDBOX_KEY", "api_secret": "env:SANDBOX_SECRET"},
    "academy": {"system": "moodle", "token": "env:SANDBOX_MOODLE_TOKEN", "role": 5},
}
#: A fifth of the default; longer than any sandbox lags.
LOOKUP_PAUSES = [0.1, 0.4, 1.2]
#: Below the sandbox's address.
PATHS = {"kmi": "/api/v2", "moodle": "/moodle"}
DONE = {"registered", "already_registered", "approved", "completed", "withdrawn", "updated", "deactivated"}
#: No command of a test takes so long, on whatever machine.
LONGEST_SECONDS = 45.0
POLL_SECONDS = 0.01
#: The variable that names the lock of those who write the bytecode of the tests.
BYTECODE_LOCK = "TESTS_BYTECODE_LOCK"
write_sqlite_without_sync()
share_compiled_statements()
hash_passwords_cheaply()
#: Names that stand in no code and no message: whoever finds them elsewhere has found a leak.
FIRST_NAME, LAST_NAME = "Wilhelmina", "Achterberg"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("ROSTER_"):
            monkeypatch.delenv(name)


@pytest.fixture
def forked_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process that reads a file be a fork of this one: the imports of an interpreter take longer."""
    import worker.intake.excel.process  # noqa: PLC0415 - most tests read no file

    assert worker.intake.excel.process
    monkeypatch.setattr(subprocess, "Popen", ForkingPopen)


@pytest.fixture(scope="session")
def postgres() -> Any:
    """Return the PostgreSQL that all processes of this run share; the last one that ends takes it away.

    Not below pytest's own folder: run as root, the server is another user, and each new run of pytest shuts the
    folder above all runs to others.
    """
    server = servers.open_postgres(Path(tempfile.gettempdir()) / f"roster-postgres-{run_id()}")
    servers.write_without_sync(server)
    return server


@pytest.fixture(scope="session")
def _empty_ledgers(postgres: Any) -> Iterator[servers.EmptyLedgers]:
    made = servers.EmptyLedgers(postgres, servers.migrated_database(postgres))
    yield made
    made.close()


@pytest.fixture
def database(_empty_ledgers: servers.EmptyLedgers) -> Iterator[str]:
    """Return the address of a PostgreSQL database that is an empty ledger."""
    with _empty_ledgers.take() as url:
        yield url


@pytest.fixture
def empty_database(postgres: Any) -> Iterator[str]:
    """Return the address of a PostgreSQL database in which there is nothing."""
    with servers.a_database(postgres) as url:
        yield url


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Any]:
    """Return an empty Redis that the test may stop."""
    server = servers.open_redis(servers.free_port(), tmp_path / "redis")
    yield server
    if server.is_running():
        server.stop()


@pytest.fixture(scope="session")
def _shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    server = servers.open_redis(servers.free_port(), tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def redis_server(_shared_redis: Any) -> Any:
    """Return the Redis of this test process, emptied; nothing may stop it."""
    with redis.Redis.from_url(_shared_redis.connection_url) as client:
        client.flushall()
        client.script_flush()
    return _shared_redis


@dataclass
class Lms:
    """A sandbox that is up, and what it has seen."""

    url: str
    client: httpx.Client
    world: Any
    #: Persons and registrations that are there twice by the test's own doing.
    given: tuple[int, int] = (0, 0)

    def look(self, what: str) -> Any:
        return self.client.get(f"/sandbox/{what}").raise_for_status().json()

    def state(self) -> dict[str, Any]:
        return self.look("state")

    def calls(self, *operations: str) -> int:
        """Count the calls that were answered, or dropped, of these operations; of all when none is named."""
        return sum(self.by_operation(*operations).values())

    def by_operation(self, *operations: str) -> Counter[str]:
        counts: Counter[str] = Counter()
        for system in self.state()["calls"].values():
            for operation, statuses in system.items():
                if not operations or operation in operations:
                    counts[operation] += sum(statuses.values())
        return counts

    def answered(self, operation: str, status: int) -> int:
        return sum(system.get(operation, {}).get(str(status), 0) for system in self.state()["calls"].values())

    @property
    def changes(self) -> Counter[str]:
        """The calls that change something."""
        counts = self.by_operation(
            *("create_candidate", "register", "create_user", "create_registration"),
            *("approve", "complete", "withdraw", "update_user", "delete_user"),
            *("create_users", "update_users", "delete_users", "enrol_users", "unenrol_users"),
        )
        return Counter({operation: count for operation, count in counts.items() if count})

    @property
    def people(self) -> list[str]:
        return [each["email"].lower() for each in self.look("candidates") if not each.get("deleted")]

    @property
    def standing(self) -> dict[tuple[str, str], str]:
        """Who is registered on what: (e-mail, course) → the registration's id."""
        return {
            (each["email"].lower(), str(each["course_id"])): each["id"]
            for each in self.look("registrations")
            if each.get("status") != "Withdrawn"
        }

    @property
    def early(self) -> int:
        """How many calls came before the moment that a refusal had named."""
        return self.state()["quota"]["accounts"]["all"]["early"]

    def rules(self, *rules: str) -> None:
        self.client.post("/sandbox/rules", json=list(rules)).raise_for_status()

    def quotas(self, *quotas: str) -> None:
        self.client.post("/sandbox/quotas", json=list(quotas)).raise_for_status()

    def nobody_twice(self) -> None:
        assert self._twice() == self.given, self.state()["duplicates"]

    def answer_after(self, seconds: float) -> None:
        """Change how long an answer takes from now on."""
        self.world.options = replace(self.world.options, latency=seconds)

    def take_as_given(self) -> None:
        """Take those who are there twice now as the LMS's own."""
        self.given = self._twice()

    def _twice(self) -> tuple[int, int]:
        duplicates = self.state()["duplicates"]
        return duplicates["persons"], duplicates["registrations"]

    def until(self, condition: Callable[[Lms], Any], what: str = "the condition") -> None:
        """Wait until something holds; fail the test when it never does."""
        wait_until(lambda: condition(self), what)


def wait_until(condition: Callable[[], Any], what: str = "the condition") -> None:
    """Wait until something holds. Asking takes at most a sixth of the time: a command is dearer than a file."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while True:
        asked = time.monotonic()
        if condition():
            return
        answered = time.monotonic()
        assert answered < deadline, f"{what} never came"
        time.sleep(max(POLL_SECONDS, 5 * (answered - asked)))


def wait_for_sweeps(ledger: str, count: int, or_until: Callable[[], bool] = lambda: False) -> None:
    """Wait until the ledger at this address has been swept so many times more."""
    opened = Ledger(open_engine(ledger))
    swept = set()

    def are_over() -> bool:
        with opened.read() as tx:
            swept.add(task_queue.last_swept(tx))
        return len(swept) > count or or_until()

    wait_until(are_over, f"{count} sweeps")
    opened.close()


@dataclass
class Result:
    """What a command left behind. No command ever shows a traceback, so a result with one is no result."""

    code: int
    out: str
    err: str

    def __post_init__(self) -> None:
        assert "Traceback" not in self.err + self.out, self.err
        assert "Unexpected error" not in self.err, self.err

    @cached_property
    def json(self) -> Any:
        """The only line of standard output."""
        assert self.out.count("\n") == 1, f"one line of JSON was wanted: {self.out!r}\n{self.err}"
        return json.loads(self.out)

    @property
    def summary(self) -> dict[str, Any]:
        return self.json

    @property
    def job(self) -> int:
        return self.summary["job"]

    @property
    def state(self) -> str:
        return self.summary["state"]

    @property
    def counts(self) -> dict[str, int]:
        """The statuses that occur."""
        return {status: count for status, count in self.summary["by_status"].items() if count}

    def report(self, ending: str) -> Path:
        return next(Path(path) for path in self.summary["reports"] if path.endswith(ending))

    @cached_property
    def rows(self) -> list[dict[str, str]]:
        return read_csv(self.report(".results.csv"))

    @cached_property
    def failed(self) -> list[dict[str, str]]:
        found = [path for path in self.summary["reports"] if path.endswith(".failed.csv")]
        return read_csv(Path(found[0])) if found else []

    def row(self, number: int) -> dict[str, str]:
        return next(row for row in self.rows if row["_row"] == str(number))

    def with_status(self, *statuses: str) -> list[dict[str, str]]:
        return [row for row in self.rows if row["_status"] in statuses]


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@dataclass
class Running:
    """A command that is under way."""

    process: subprocess.Popen[bytes] | Forked
    out: Path
    err: Path

    @property
    def is_over(self) -> bool:
        return self.process.poll() is not None

    def kill(self) -> None:
        """Kill -9."""
        self.process.kill()
        self.process.wait(LONGEST_SECONDS)

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def over_within(self, seconds: float) -> bool:
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def result(self) -> Result:
        """Wait for the end. A command that never ends is aborted; the error has its stacks, if it shows them."""
        if not self.over_within(LONGEST_SECONDS):
            self.process.send_signal(signal.SIGABRT)
            self.process.wait(LONGEST_SECONDS)
            raise AssertionError(f"the command never ended:\n{self.err.read_text('utf-8')}")
        return Result(self.process.returncode, self.out.read_text("utf-8"), self.err.read_text("utf-8"))


@dataclass
class Office:
    """A folder with a roster.toml, in which `roster` is typed."""

    folder: Path
    lms: Lms | None = None
    environment: dict[str, str] = field(default_factory=lambda: dict(SECRETS))
    #: Forks for each command; without it, each command is an interpreter of its own.
    fork_server: ForkServer | None = None
    _started: list[Running] = field(default_factory=list)

    def configure(self, text: str) -> None:
        (self.folder / "roster.toml").write_text(text, encoding="utf-8")

    def connect(self, url: str, name: str, **options: Any) -> None:
        """Write a roster.toml with this one connection; None takes a key out."""
        path = PATHS.get(CONNECTIONS[name]["system"], "")
        values = {"base_url": f"{url}{path}", "lookup_pauses": LOOKUP_PAUSES, **CONNECTIONS[name], **options}
        lines = [f"{key} = {json.dumps(value)}" for key, value in values.items() if value is not None]
        self.configure("\n".join([f"[connections.{name}]", *lines, ""]))

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def roster(self, name: str, rows: Iterable[Mapping[str, Any]]) -> Path:
        """Write a CSV with these rows; the headings are the keys of all."""
        rows = list(rows)
        headings = list(dict.fromkeys(key for row in rows for key in row))
        with (self.folder / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, headings, restval="")
            writer.writeheader()
            writer.writerows(rows)
        return self.folder / name

    def people(self, name: str, count: int, *, first: int = 1, **columns: Any) -> Path:
        """Write a roster of so many new people."""
        return self.roster(name, people(count, first=first, **columns))

    def type(self, *words: Any, prefix: tuple[str, ...] = (), stdin: str | None = None) -> Result:
        """Type a command and wait for its end; `stdin` names a file of the folder."""
        return self.start(*words, prefix=prefix, stdin=stdin).result()

    def run(self, *words: Any) -> Result:
        """Work rosters off; the books must balance with what the LMS holds."""
        return self.balanced(self.type("run", *words, "--json"))

    def resume(self, job: int, *words: Any) -> Result:
        return self.balanced(self.type("resume", job, *words, "--json"))

    def start(self, *words: Any, prefix: tuple[str, ...] = (), stdin: str | None = None) -> Running:
        """Type a command and do not wait."""
        number = len(self._started)
        out, err = self.folder / f"{number}.out", self.folder / f"{number}.err"
        given = self.folder / stdin if stdin else Path(os.devnull)
        with out.open("wb") as stdout, err.open("wb") as stderr, given.open("rb") as typed:
            command = [*prefix, str(ROSTER), *map(str, words)]
            process = self.launch(command, stdin=typed, stdout=stdout, stderr=stderr)
        self._started.append(Running(process, out, err))
        return self._started[-1]

    def launch(
        self, command: Sequence[str], environment: Mapping[str, str] = MappingProxyType({}), **options: Any
    ) -> Any:
        """Start a console script in this folder: its path and arguments, and options of `subprocess.Popen`."""
        environment = self._environment() | dict(environment)
        forks = self.fork_server
        if forks and Path(command[0]).parent == ROSTER.parent and forks.can_start(environment):
            return forks.start(command, cwd=self.folder, env=environment, **options)
        return subprocess.Popen(command, cwd=self.folder, env=environment, **options)

    def close(self) -> None:
        for running in self._started:
            if not running.is_over:
                running.kill()

    def jobs(self) -> list[dict[str, Any]]:
        return self.type("jobs", "--json").json

    def status(self, job: int) -> dict[str, Any]:
        return self.type("status", job, "--json").json

    def balanced(self, result: Result) -> Result:
        """Hold the report of a command against itself and, person by person, against what the LMS holds."""
        if self.lms is None or not result.out or "reports" not in result.json or not result.summary["reports"]:
            return result
        summary, rows = result.summary, result.rows
        assert summary["total"] == sum(summary["by_status"].values()) == len(rows)
        assert Counter(row["_status"] for row in rows) == result.counts
        assert [int(row["_row"]) for row in rows] == sorted({int(row["_row"]) for row in rows})
        not_done = [row for row in rows if row["_status"] not in DONE | {"skipped"}]
        assert [row["_row"] for row in result.failed] == [row["_row"] for row in not_done]
        assert all(row["_error"] and row["_error_code"] for row in not_done)
        assert summary["candidates_created"] == sum(row["_created"] == "true" for row in rows)
        assert summary["registrations_created"] == summary["by_status"]["registered"]
        self.lms.nobody_twice()
        if rows and {"email", "course_id"} <= rows[0].keys():
            _as_the_lms_has_it(rows, self.lms.standing)
        return result

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ROSTER_")}
        return kept | self.environment


def _course_of(row: dict[str, str]) -> str:
    """The course that a row was registered on; a person may have changed it since the roster was written."""
    changed = re.search(r"The course was changed from .* to (\S+)\.", row["_error"])
    return changed[1] if changed else row["course_id"]


def _as_the_lms_has_it(rows: list[dict[str, str]], standing: Mapping[tuple[str, str], str]) -> None:
    """Assert that who is said to be registered stands in the LMS, and who is said not to be does not."""
    pairs = [(row["email"].strip().lower(), _course_of(row)) for row in rows]
    open_pairs = {pair for pair, row in zip(pairs, rows, strict=True) if row["_status"] in DONE | {"in_doubt"}}
    for pair, row in zip(pairs, rows, strict=True):
        if not (row["course_id"] and row["email"]) or row["_error_code"].startswith("verified_"):
            continue
        if "another e-mail address" in row["_error"]:
            continue
        if row["_status"] in {"withdrawn", "deactivated", "updated"} or row.get("action") not in {
            None,
            "",
            "register",
        }:
            continue
        if row["_status"] in DONE:
            assert pair in standing, f"row {row['_row']} is said to be {row['_status']} and is not"
            if row["_registration_id"]:
                assert row["_registration_id"] == standing[pair]
        elif pair not in open_pairs:
            assert pair not in standing, f"row {row['_row']} is said to be {row['_status']} and is registered"


def people(count: int, *, first: int = 1, **columns: Any) -> list[dict[str, Any]]:
    """Make up people; a column's value may be made from the number of the person."""
    return [
        {
            "email": f"{FIRST_NAME}.{number}@example.com".casefold(),
            "first_name": FIRST_NAME,
            "last_name": f"{LAST_NAME} {number}",
            "course_id": "58",
        }
        | {name: value(number) if callable(value) else value for name, value in columns.items()}
        for number in range(first, first + count)
    ]


@pytest.fixture(scope="session")
def _tls() -> ssl.SSLContext:
    """One for all clients: making it takes longer than most tests."""
    return ssl.create_default_context()


@pytest.fixture
def sandbox(_tls: ssl.SSLContext) -> Iterator[Callable[..., Lms]]:
    """Start pretend LMSs; the options are those of `make_state`. At the end nobody may be there twice."""
    with sandboxes(_tls) as start:
        yield start


@contextmanager
def sandboxes(tls: ssl.SSLContext) -> Iterator[Callable[..., Lms]]:
    """Yield what starts pretend LMSs; they are stopped at the end, when nobody may be there twice."""
    from worker.sandbox.server import make_state, running  # noqa: PLC0415 - most tests need no web server

    with ExitStack() as stack:
        started = []

        def start(**options: Any) -> Lms:
            world = make_state(**options)
            url = stack.enter_context(running(world))
            client = stack.enter_context(httpx.Client(base_url=url, verify=tls, timeout=LONGEST_SECONDS))
            started.append(Lms(url, client, world))
            return started[-1]

        yield start
        for lms in started:
            lms.nobody_twice()


@pytest.fixture(scope="session")
def fork_server(_empty_ledgers: servers.EmptyLedgers) -> Iterator[ForkServer]:
    """Connect to the process that forks for each command; the first test process of a run starts it."""
    with _empty_ledgers.take() as database:
        server = ForkServer(database)
        yield server
        server.close()


@pytest.fixture(scope="session")
def _empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make one new ledger for all offices: the migration takes as long as many a test."""
    path = tmp_path_factory.mktemp("ledger") / "roster.db"
    open_engine(f"sqlite:///{path}").dispose()
    return path


@pytest.fixture
def office(
    tmp_path: Path, _empty_ledger: Path, fork_server: ForkServer, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Office]]:
    """Open offices: `office(lms)` for Tahdah, `office(lms, "kmi")`, with further keys of the connection."""
    forks = None if request.node.get_closest_marker("console_script") else fork_server
    with offices(tmp_path, _empty_ledger, forks) as open_one:
        yield open_one


@contextmanager
def offices(place: Path, empty_ledger: Path, forks: ForkServer | None) -> Iterator[Callable[..., Office]]:
    """Yield what opens offices in a folder; their commands are stopped at the end."""
    opened: list[Office] = []

    def open_one(lms: Lms | None = None, name: str = "north", **options: Any) -> Office:
        folder = place / f"office{len(opened)}"
        folder.mkdir()
        shutil.copyfile(empty_ledger, folder / "roster.db")
        opened.append(Office(folder, lms, fork_server=forks))
        if lms is not None:
            opened[-1].connect(lms.url, name, **options)
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


@pytest.fixture(name="people")
def _people() -> Callable[..., list[dict[str, Any]]]:
    """Make up people for a roster of one's own."""
    return people


@pytest.fixture(name="read_csv")
def _read_csv() -> Callable[[Path], list[dict[str, str]]]:
    return read_csv


@pytest.fixture(name="wait_until")
def _wait_until() -> Callable[..., None]:
    return wait_until


@pytest.fixture
def samples() -> Path:
    return Path(__file__).parent.parent / "samples"


@pytest.fixture
def queue(database: str, redis_server: Any) -> Iterator[Callable[..., Any]]:
    """Let an office work through a queue: `queue(office)`, or `queue(office, own_redis)` with its own Redis."""
    from tests.queues import QUICK_SWEEP_SECONDS, open_queue  # noqa: PLC0415 - most tests need no queue

    with ExitStack() as stack:

        def start(terminal: Office, broker: Any = redis_server) -> Any:
            opened = open_queue(terminal, database, broker.connection_url + "/0", sweep_seconds=QUICK_SWEEP_SECONDS)
            stack.callback(opened.close)
            return opened

        yield start


@pytest.fixture
def web_server(office: Callable[..., Office], _tls: ssl.SSLContext) -> Iterator[Callable[..., Any]]:
    """Start `roster serve` for an office: `web_server(terminal)`, with its options; stopped before the office."""
    del office
    from tests.web_server import start_web_server  # noqa: PLC0415 - most tests need no web server

    with ExitStack() as stack:

        def start(terminal: Office, *options: Any) -> Any:
            opened = start_web_server(terminal, _tls, *options)
            stack.callback(opened.close)
            return opened

        yield start


def pytest_xdist_auto_num_workers() -> int:
    """Return how many processes run the tests: more than processors, since many tests wait for processes."""
    return (os.cpu_count() or 1) + 3


def pytest_configure(config: pytest.Config) -> None:
    """Note whether the tests have no bytecode yet, in the process that starts those that collect them."""
    written = any(Path(__file__).parent.glob("unit/__pycache__/test_*"))
    if "PYTEST_XDIST_WORKER" not in os.environ and not written and not sys.dont_write_bytecode:
        descriptor, lock = tempfile.mkstemp(prefix="roster-bytecode-")
        os.close(descriptor)
        os.environ[BYTECODE_LOCK] = lock
        config.add_cleanup(lambda: Path(lock).unlink())


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect without the garbage collector, which would go through all modules and tests again and again."""
    gc.disable()
    try:
        with _bytecode_written_once():
            return (yield)
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def _bytecode_written_once() -> Iterator[None]:
    """Let one process write the bytecode of the tests while the others wait: it takes longer than collecting."""
    lock = os.environ.get(BYTECODE_LOCK)
    with ExitStack() as stack:
        if lock and "PYTEST_XDIST_WORKER" in os.environ:
            file = stack.enter_context(Path(lock).open("r+", encoding="ascii"))
            fcntl.flock(file, fcntl.LOCK_EX)
            if file.read():
                stack.close()
            else:
                file.write("written")
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each test process begin with its share of the slow tests, so that no long one is the last."""
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if processes > 1:
        slow: dict[Path, list[pytest.Item]] = {}
        for item in items:
            if item.get_closest_marker("slow"):
                slow.setdefault(item.path, []).append(item)
        others = [item for item in items if not item.get_closest_marker("slow")]
        items[:] = shares_of(list(slow.values()), others, processes)


def shares_of(slow: Sequence[Sequence[Any]], others: Sequence[Any], processes: int) -> list[Any]:
    """Return all tests in an order whose equal parts, of which xdist gives each process one, begin with slow ones.

    `slow` has a sequence for each module: the tests of one stay together, since they may share what is slow.
    """
    remaining, arranged, begun = sum(map(len, slow)) + len(others), [], 0
    for number in range(processes):
        size = remaining // (processes - number)
        remaining -= size
        own = [each for module in slow[number::processes] for each in module]
        ends = begun + max(0, size - len(own))
        arranged += [*own, *others[begun:ends]]
        begun = ends
    return [*arranged, *others[begun:]]
