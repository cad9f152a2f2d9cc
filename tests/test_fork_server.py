"""What the fork server starts is what an interpreter of its own would be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.conftest import LONGEST_SECONDS, ROSTER, Running, wait_until
from tests.fork_client import ForkServer

#: What a script can see of its process.
STATE = """
import gc, json, locale, logging, os, signal, sys, tempfile, threading, time
print(json.dumps({
    "name": __name__,
    "arguments": sys.argv,
    "first path": sys.path[0],
    "folder": os.getcwd(),
    "environment": dict(os.environ),
    "time zone": [time.tzname, time.localtime(1_800_000_000).tm_hour],
    "locale": locale.setlocale(locale.LC_CTYPE),
    "signals": {str(n): str(signal.getsignal(n)).split(" at ")[0] for n in sorted(signal.valid_signals())},
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "wakes": signal.set_wakeup_fd(-1),
    "umask": os.umask(0),
    "leads a session": os.getsid(0) == os.getpid(),
    "open": sorted(n for n in range(64) if not os.system(f": <&{n} 2>/dev/null")),
    "threads": [thread.name for thread in threading.enumerate()],
    "collects": [gc.isenabled(), gc.get_threshold()],
    "logs": [str(each) for each in logging.getLogger().handlers],
    "warns": sys.warnoptions,
    "streams": [
        [each.name, each.encoding, each.errors, each.line_buffering, each.write_through, each.isatty()]
        for each in (sys.stdin, sys.stdout, sys.stderr)
    ],
    "same": [sys.stdin is sys.__stdin__, sys.stdout is sys.__stdout__, sys.stderr is sys.__stderr__],
    "typed": sys.stdin.read(),
    "temporary": tempfile.gettempdir(),
}))
"""
WAITS = "import time; print('up', flush=True); time.sleep(600)"


@pytest.fixture
def script(tmp_path):
    """Write a script and return the words that start it."""

    def write(code, *words):
        path = tmp_path / f"bin{len(list(tmp_path.glob('bin*')))}" / "script"
        path.parent.mkdir()
        path.write_text(code, encoding="utf-8")
        return [str(path), *words]

    return write


@pytest.fixture
def start(fork_server, tmp_path):
    """Start a script by the fork server, or by an interpreter of its own when `real`."""
    started = []

    def begin(command, *, real=False, environment=None, **options):
        number = len(started)
        (tmp_path / "typed").write_text("typed\n", encoding="utf-8")
        with (
            (tmp_path / "typed").open("rb") as stdin,
            (tmp_path / f"{number}.out").open("wb") as stdout,
            (tmp_path / f"{number}.err").open("wb") as stderr,
        ):
            options |= {"cwd": tmp_path, "env": os.environ | (environment or {})}
            options |= {"stdin": stdin, "stdout": stdout, "stderr": stderr}
            begun = (
                subprocess.Popen([sys.executable, *command], **options)
                if real
                else fork_server.start(command, **options)
            )
        started.append(Running(begun, tmp_path / f"{number}.out", tmp_path / f"{number}.err"))
        return started[-1]

    yield begin
    for each in started:
        each.kill()


def is_gone(pid):
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


@pytest.mark.parametrize("new_session", [False, True])
def test_a_script_sees_nothing_of_the_server(start, script, tmp_path, new_session):
    environment = {
        "TZ": "Asia/Kathmandu",
        "TMPDIR": str(tmp_path),
        "PYTHONWARNINGS": "ignore,error::ResourceWarning",
    }
    command, seen = script(STATE, "run", "a b", "Ní"), []
    for real in (True, False):
        begun = start(command, real=real, environment=environment, start_new_session=new_session)
        assert begun.process.wait(LONGEST_SECONDS) == 0, begun.err.read_text("utf-8")
        seen.append(json.loads(begun.out.read_text("utf-8")))

    assert seen[1] == seen[0]
    assert seen[1]["leads a session"] == new_session


@pytest.mark.parametrize(
    "code",
    [
        "",
        "import sys; sys.exit()",
        "import sys; sys.exit(3)",
        "import sys; sys.exit(True)",
        "import sys; sys.exit(259)",
        "import sys; sys.exit('what is wrong')",
        "import os; os._exit(7)",
        "raise SystemExit(2)",
        "raise KeyboardInterrupt",
        "raise ValueError('wrong')",
        "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
        "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(5)); signal.raise_signal(15)",
        "import atexit, sys; atexit.register(print, 'at exit'); print('before'); sys.exit(1)",
        "import threading, time; threading.Thread(target=lambda: (time.sleep(0.2), print('thread'))).start()",
        "import os; print('lost'); os.close(1)",
        "import sys; print('to be written'); sys.stderr.write('no end of line')",
        "import multiprocessing as m; p = m.get_context('fork').Process(target=print, args=['child']); p.start()",
        "import warnings; warnings.warn('old', DeprecationWarning); warnings.warn('odd')",
    ],
)
def test_a_script_ends_as_under_an_interpreter_of_its_own(start, script, code):
    command, ends = script(code), []
    for real in (True, False):
        begun = start(command, real=real)
        ended = begun.process.wait(LONGEST_SECONDS)
        # Of a traceback the last line; the frames above the script's are the server's.
        ends.append((ended, begun.out.read_text("utf-8"), begun.err.read_text("utf-8").splitlines()[-1:]))

    assert ends[1] == ends[0]


def test_a_script_that_runs_is_waited_for_no_longer_than_asked(start, script):
    begun = start(script(WAITS))

    assert begun.process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        begun.process.wait(0.01)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_script_and_its_code_says_which(start, script, number):
    begun = start(script(WAITS))
    wait_until(lambda: begun.out.read_text("utf-8"))

    begun.process.send_signal(number)

    assert begun.process.wait(LONGEST_SECONDS) == -number
    assert is_gone(begun.process.pid)
    begun.kill()


def test_a_signal_sent_at_once_is_not_lost(start, script):
    begun = [start(script(WAITS)) for _ in range(10)]
    for each in begun:
        each.process.send_signal(signal.SIGINT)

    assert {each.process.wait(LONGEST_SECONDS) for each in begun} == {-signal.SIGINT}


def test_many_scripts_run_at_once_and_each_has_its_own_end(start, script):
    begun = [
        start([*script("import sys; print(sys.argv[1]); sys.exit(int(sys.argv[1]))"), str(n)]) for n in range(20)
    ]

    assert [each.process.wait(LONGEST_SECONDS) for each in begun] == list(range(20))
    assert [each.out.read_text("utf-8") for each in begun] == [f"{number}\n" for number in range(20)]


def test_what_is_random_differs_from_script_to_script(start, script):
    code = (
        "import random, uuid, tempfile; print(random.random(), uuid.uuid4(), next(tempfile._get_candidate_names()))"
    )
    begun = [start(script(code)) for _ in range(3)]
    for each in begun:
        each.process.wait(LONGEST_SECONDS)

    assert [
        len(set(said)) for said in zip(*(each.out.read_text("utf-8").split() for each in begun), strict=True)
    ] == [
        3,
        3,
        3,
    ]


def test_what_processes_of_one_command_share_is_made_by_each_command(start, script):
    """All that the product makes at import, and that a fork would share, is known to the fork server."""
    code = """
import sys
from multiprocessing import synchronize
shared = (synchronize.SemLock, synchronize.Event, synchronize.Condition, synchronize.Barrier)
for name, module in sorted(sys.modules.items()):
    if name.startswith(("worker", "tasks")):
        for key, value in vars(module).items():
            if isinstance(value, shared):
                print(name, key, value.is_set())
from worker.runtime import process
process.shutting_down.set()
"""
    for _ in range(2):
        begun = start(script(code))
        begun.process.wait(LONGEST_SECONDS)
        seen = begun.out.read_text("utf-8").splitlines()
        assert "worker.runtime.process shutting_down False" in seen
        assert {tuple(line.split()[1:]) for line in seen} == {("shutting_down", "False")}


def test_a_command_that_is_aborted_shows_its_stacks(start, script):
    begun = start(script("import signal; print('waits', flush=True); signal.pause()"))
    wait_until(lambda: begun.out.read_text("utf-8"))

    begun.process.send_signal(signal.SIGABRT)

    assert begun.process.wait(LONGEST_SECONDS) == -signal.SIGABRT
    assert "most recent call first" in begun.err.read_text("utf-8")


def test_the_server_has_one_thread_when_it_forks(start, script):
    code = "import os, psutil; print(psutil.Process(os.getppid()).num_threads())"
    begun = start(script(code))

    begun.process.wait(LONGEST_SECONDS)

    assert begun.out.read_text("utf-8") == "1\n"


def test_a_script_whose_server_ends_ends_too(tmp_path, script):
    server = ForkServer()
    with (tmp_path / "typed").open("wb+") as stream:
        streams = {"stdin": stream, "stdout": stream, "stderr": stream}
        begun = [
            server.start(script(WAITS), cwd=tmp_path, env=os.environ, **streams, start_new_session=new_session)
            for new_session in (False, True)
        ]
    server.close()

    for each in begun:
        wait_until(lambda pid=each.pid: is_gone(pid), "the end of the script")
        with pytest.raises(RuntimeError, match="does not answer"):
            each.wait()


def test_test_processes_share_what_is_imported_and_end_only_their_own_scripts(tmp_path, script):
    servers = [ForkServer(address=tmp_path / "forks") for _ in range(2)]
    with (tmp_path / "typed").open("wb+") as stream:
        streams = {"stdin": stream, "stdout": stream, "stderr": stream}
        first, second = [each.start(script(WAITS), cwd=tmp_path, env=os.environ, **streams) for each in servers]
    parents = [psutil.Process(each.pid).parent() for each in (first, second)]
    assert parents[0] != parents[1]
    assert parents[0].parent() == parents[1].parent() != psutil.Process()

    servers[0].close()
    wait_until(lambda: is_gone(first.pid), "the end of the first script")
    assert not is_gone(second.pid)
    servers[1].close()
    wait_until(lambda: is_gone(second.pid), "the end of the second script")
    for each in (first, second):
        with pytest.raises(RuntimeError, match="does not answer"):
            each.wait()
    wait_until(lambda: list(tmp_path.glob("forks*")) == [], "the end of what they shared")


def test_a_script_whose_test_process_is_killed_ends_too(tmp_path, script):
    code = f"""
import os, pathlib, sys, time
from tests.fork_client import ForkServer
stream = open(os.devnull, "r+b")
streams = dict(stdin=stream, stdout=stream, stderr=stream)
print(ForkServer().start({script(WAITS)!r}, cwd=pathlib.Path.cwd(), env=os.environ, **streams).pid, flush=True)
time.sleep(600)
"""
    root = Path(__file__).parent.parent
    process = subprocess.Popen([sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, text=True)
    pid = int(process.stdout.readline())
    assert not is_gone(pid)
    process.kill()
    process.communicate()

    wait_until(lambda: is_gone(pid), "the end of the script")


@pytest.mark.parametrize(
    ("change", "can"),
    [
        ({}, True),
        ({"ROSTER_LEDGER": "x", "TZ": "UTC", "PYTHONWARNINGS": "error"}, True),
        ({"PYTHONHASHSEED": "1"}, False),
        ({"PYTHONUTF8": "0"}, False),
        ({"LC_ALL": "C"}, False),
        ({"LANG": "xx_XX"}, False),
    ],
)
def test_what_only_a_new_interpreter_reads_is_left_to_one(change, can):
    assert ForkServer().can_start(os.environ | change) is can


def test_an_office_types_its_commands_by_the_server(office):
    running = office().start("jobs")

    assert psutil.Process(running.process.pid).ppid() != os.getpid()
    assert running.result().code == 0


@pytest.mark.console_script
def test_an_office_of_a_test_that_is_marked_types_them_by_the_console_script(office):
    running = office().start("sandbox", "--port", 0)

    wait_until(lambda: str(ROSTER) in psutil.Process(running.process.pid).cmdline(), "the console script")
    assert psutil.Process(running.process.pid).ppid() == os.getpid()
