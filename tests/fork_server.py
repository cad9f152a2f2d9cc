"""The process that imports everything once and forks for each command of the tests.

A forked command has its own pid, streams, folder, environment, arguments and signals. It runs the console script
itself and ends with the exit code that the interpreter would give. Five things differ from the console script: the
seed of `hash()` is the server's, modules that a command would import late are there already and have read a roster,
the process that reads a file is a fork of the command too, nothing waits for the disk, and a password is hashed in
a moment.

`tests.fork_client` starts this program and connects to it. It imports everything once for all test processes of a
run: each that connects gets a fork of it, which serves that process alone and ends with it.
"""

from __future__ import annotations

import atexit
import faulthandler
import fcntl
import gc
import importlib
import json
import multiprocessing
import os
import pkgutil
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType, ModuleType

PACKAGES = ("worker", "tasks")
#: What commands and Celery import when they are called, not when they are imported.
LATE = (
    "alembic.command",
    "alembic.config",
    "celery.__main__",
    "celery.app.amqp",
    "celery.app.events",
    "celery.app.routes",
    "celery.apps.beat",
    "celery.apps.worker",
    "celery.bin.celery",
    "celery.concurrency.prefork",
    "celery.fixups.django",
    "celery.loaders.app",
    "certifi.core",
    "encodings.utf_8_sig",
    "kombu.transport.redis",
    "psycopg",
    "rich._emoji_codes",
    "sqlalchemy.dialects.postgresql.psycopg",
    "uvicorn.lifespan.on",
    "uvicorn.loops.asyncio",
    "uvicorn.protocols.http.httptools_impl",
)
#: A request: the length of what follows, with the file descriptors of the command attached.
HEAD = struct.Struct("!I")
#: An answer: a pid when the command is about to begin, then its return code as `subprocess` has it.
ANSWER = struct.Struct("!i")
#: The exit code of an interpreter that could not write what stood in its standard output.
UNFLUSHED = 120
STREAMS = ("stdin", "stdout", "stderr")


@dataclass(frozen=True, slots=True)
class Command:
    """What is to be run, and where."""

    script: str
    words: list[str]
    folder: str
    environment: dict[str, str]
    new_session: bool
    umask: int


class ForkingPopen(subprocess.Popen[bytes]):
    """A process as `subprocess` starts it; one of `python -I -m MODULE` is a fork of this process instead."""

    def __init__(self, args: list[str], **options: Any) -> None:
        """Start a command: its program and arguments, and options of `subprocess.Popen`."""
        if args[:3] == [sys.executable, "-I", "-m"] and args[3] in sys.modules:
            options["preexec_fn"] = lambda: run_module(*args[3:], kept=options.get("pass_fds", ()))
        with warnings.catch_warnings():
            # Other threads may hold a lock, of which the module needs none.
            warnings.simplefilter("ignore", DeprecationWarning)
            super().__init__(args, **options)


def run_module(module: str, *words: str, kept: Sequence[int]) -> NoReturn:
    """Run the main function of a module in a process that was just forked, and end it."""
    first = 3
    for each in (*sorted(kept), os.sysconf("SC_OPEN_MAX")):
        os.closerange(first, each)
        first = each + 1
    signal.set_wakeup_fd(-1)
    open_streams()
    sys.argv[:] = [module, *words]
    try:
        sys.modules[module].main()
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is what the interpreter would meet
        code = code_of(error)
    else:
        code = 0
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code & 0xFF)


def preload(database: str) -> None:
    """Import all that is ours and what it imports, so that a fork finds it there; rehearse, also in `database`."""
    # The folder of this program is in the path, the project's is not.
    importlib.import_module("hashing").hash_passwords_cheaply()
    for package in PACKAGES:
        path = importlib.import_module(package).__path__
        for module in pkgutil.walk_packages(path, f"{package}."):
            if "migrations" not in module.name:
                importlib.import_module(module.name)
    for name in LATE:
        importlib.import_module(name)
    subprocess.Popen = ForkingPopen  # type: ignore[misc]
    importlib.import_module("compiling").share_compiled_statements()
    syncing = importlib.import_module("syncing")
    syncing.write_sqlite_without_sync()
    syncing.write_files_without_sync()
    importlib.import_module("rehearsal").rehearse(database)


def share(listening: socket.socket) -> socket.socket:
    """Fork for each test process that connects; return only in the child, with the line to it.

    Ends when all of them have ended, and some had come.
    """
    servers: set[int] = set()
    # The end of a test process is noticed that late (seconds); nobody waits for it.
    listening.settimeout(1.0)
    while True:
        try:
            requests, _ = listening.accept()
        except TimeoutError:
            servers = {pid for pid in servers if not os.waitpid(pid, os.WNOHANG)[0]}
            if not servers:
                close(listening)
            continue
        pid = os.fork()
        if pid == 0:
            requests.setblocking(True)
            return requests
        servers.add(pid)
        requests.close()


def close(listening: socket.socket) -> None:
    """End, unless a test process has just connected; those that come later start another server."""
    path = Path(listening.getsockname())
    with alone(path):
        if not select.select([listening], [], [], 0)[0]:
            path.unlink()
            path.with_suffix(".lock").unlink()
            os._exit(0)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Let one process at a time decide whether there is a server at this address."""
    with path.with_suffix(".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def serve(requests: socket.socket) -> tuple[Command, list[int], socket.socket]:
    """Fork for each request; return only in the child, with its streams and the line to the test process.

    Ends when the test process has closed its end or is no more.
    """
    children: dict[int, socket.socket] = {}
    woken, wakes = socket.socketpair()
    for each in (woken, wakes):
        each.setblocking(False)
    signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, _noted)
    poll = select.poll()
    for each in (requests, woken):
        poll.register(each, select.POLLIN)
    while True:
        ready = {number for number, _ in poll.poll()}
        if woken.fileno() in ready:
            woken.recv(4096)
            reap(children)
        if requests.fileno() in ready:
            asked = receive(requests)
            if asked is None:
                end(children)
            else:
                _, streams, answers = asked
                pid = os.fork()
                if pid == 0:
                    return asked
                children[pid] = answers
                for stream in streams:
                    os.close(stream)


def receive(requests: socket.socket) -> tuple[Command, list[int], socket.socket] | None:
    """Return the next request, or None when no more will come."""
    head, streams, _, _ = socket.recv_fds(requests, HEAD.size, len(STREAMS) + 1)
    if len(head) < HEAD.size:
        return None
    packed = requests.recv(*HEAD.unpack(head), socket.MSG_WAITALL)
    *streams, answers = streams
    return Command(**json.loads(packed)), streams, socket.socket(fileno=answers)


def reap(children: dict[int, socket.socket]) -> None:
    """Tell the test process of every child that has ended."""
    for pid in list(children):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            answers = children.pop(pid)
            # The test process may have stopped listening.
            with answers:
                answers.send(ANSWER.pack(os.waitstatus_to_exitcode(status)), socket.MSG_NOSIGNAL)


def end(children: dict[int, socket.socket]) -> None:
    """Kill what still runs, with the sessions that it leads, and end."""
    for pid in children:
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)
    os._exit(0)


def become(command: Command, streams: list[int], shared: Sequence[tuple[ModuleType, str]]) -> None:
    """Make this process what `command` would be, had an interpreter of its own been started for it."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if command.new_session:
        os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.chdir(command.folder)
    os.umask(command.umask)
    os.environ.clear()
    os.environ.update(command.environment)
    time.tzset()
    open_streams()
    # So that a test that waits for good can have the stacks of what it waits for.
    faulthandler.enable(2)
    sys.warnoptions[:] = filter(None, os.environ.get("PYTHONWARNINGS", "").split(","))
    for option in sys.warnoptions:
        warnings._setoption(option.strip())  # type: ignore[attr-defined] # as the interpreter itself does
    sys.argv[:] = [command.script, *command.words]
    sys.path[0] = str(Path(command.script).parent)
    forget(shared)


def open_streams() -> None:
    """Open the standard streams as an interpreter does that starts with these file descriptors."""
    for number, name in enumerate(STREAMS):
        first: TextIOWrapper = getattr(sys, f"__{name}__")
        # PYTHONUNBUFFERED, which the server was started with or without.
        unbuffered = first.write_through
        mode = "wb" if number else "rb"
        opened = open(number, mode, buffering=0 if number and unbuffered else -1, closefd=False)  # noqa: SIM115
        getattr(opened, "raw", opened).name = f"<{name}>"
        stream = TextIOWrapper(
            opened,
            encoding=first.encoding,
            errors=first.errors,
            newline="\n",
            line_buffering=not unbuffered and (name == "stderr" or opened.isatty()),
            write_through=unbuffered,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def find_shared() -> list[tuple[ModuleType, str]]:
    """Return where the event is that tells a process to end; to search all modules takes longer than to fork.

    It is made when the module is imported, and shared by all forks: a worker that ends would end every other.
    """
    from worker.runtime.process import shutting_down  # noqa: PLC0415 - imported in the server

    ours = [module for name, module in sys.modules.items() if name.startswith(PACKAGES)]
    return [(module, name) for module in ours for name, value in vars(module).items() if value is shutting_down]


def forget(shared: Sequence[tuple[ModuleType, str]]) -> None:
    """Let the modules that were imported before the fork know nothing of the server and of the other commands."""
    own = multiprocessing.Event()
    for module, name in shared:
        setattr(module, name, own)
    tempfile.tempdir = None


def _noted(number: int, frame: FrameType | None) -> None:
    """Handle SIGCHLD: that there is a handler lets the signal wake the server."""


def main() -> None:
    """Serve; in a child, run the console script until the interpreter ends it."""
    listening = socket.socket(fileno=int(sys.argv[1]))
    if os.fork():
        # It outlives the test process that starts it.
        os._exit(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()
    preload(sys.argv[2])
    shared = find_shared()
    gc.collect()
    gc.freeze()
    requests = share(listening)
    listening.close()
    command, streams, answers = serve(requests)
    become(command, streams, shared)
    answers.send(ANSWER.pack(os.getpid()), socket.MSG_NOSIGNAL)
    answers.detach()
    requests.detach()
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    gc.enable()
    leave(run(command.script))


def run(script: str) -> BaseException | None:
    """Run a console script and return what ended it."""
    try:
        runpy.run_path(script, run_name="__main__")
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is what the interpreter would meet
        return error
    return None


def leave(error: BaseException | None) -> NoReturn:
    """End this process as an interpreter ends, but leave what was imported as it is: freeing it takes 0.1 s."""
    code = code_of(error)
    threading._shutdown()  # type: ignore[attr-defined] # waits for threads that are no daemons
    atexit._run_exitfuncs()
    del error
    gc.collect()
    try:
        sys.stdout.flush()
    except (OSError, ValueError) as lost:
        code = code or UNFLUSHED
        print(f"Exception ignored in: {sys.stdout!r}\n{type(lost).__name__}: {lost}", file=sys.stderr)  # noqa: T201
    with suppress(OSError, ValueError):
        sys.stderr.flush()
    if code == -signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(code & 0xFF)


def code_of(error: BaseException | None) -> int:
    """Return the exit code that the interpreter gives for what ended a script, and say what it would say."""
    if error is None:
        return 0
    if isinstance(error, SystemExit):
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        print(error.code, file=sys.stderr)  # noqa: T201 - as the interpreter does
        return 1
    sys.excepthook(type(error), error, error.__traceback__)
    return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1


if __name__ == "__main__":
    main()
