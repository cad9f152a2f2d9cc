"""The sandbox on a socket: the LMSs, the state page at `/`, the steering under `/sandbox/`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from worker.sandbox import control
from worker.sandbox.pipeline import RequestPipeline
from worker.sandbox.state import SandboxState, make_state

__all__ = ["SandboxState", "make_app", "make_state", "running", "serve"]

#: Longer than any pause of a client, so that no idle connection is closed under a call that sets out.
KEEP_ALIVE_SECONDS = 75
LOOPBACK = "127.0.0.1"


def make_app(state: SandboxState) -> Starlette:
    """Return the ASGI application of a state."""
    pipeline = RequestPipeline(state)
    roots = sorted({system.base.split("/")[1] for system in state.systems.values()})
    return Starlette(routes=[*(Mount(f"/{root}", app=pipeline) for root in roots), *control.routes(state)])


def serve(host: str, port: int, state: SandboxState, *, ready: Callable[[str], None] | None = None) -> None:
    """Serve a state until the process is asked to stop; raise OSError when the port is taken.

    `ready` is called with the base URL once calls will be answered.
    """
    listener = _listening(host, port)
    if ready is not None:
        # The socket listens already: a call that comes now is answered as soon as the loop runs.
        ready(_url(host, listener))
    with contextlib.suppress(KeyboardInterrupt):
        _server(state, host, port).run(sockets=[listener])


@contextlib.contextmanager
def running(state: SandboxState, port: int = 0, host: str = LOOPBACK) -> Iterator[str]:
    """Serve a state from a thread of its own; yield the base URL, without a slash at its end."""
    with _listening(host, port) as listener:
        server = _server(state, host, port)
        started, stop = threading.Event(), asyncio.Event()
        loop = asyncio.new_event_loop()
        thread = threading.Thread(
            target=_run, args=(loop, _serve_until(stop, server, listener, started)), name="sandbox", daemon=True
        )
        thread.start()
        started.wait()
        try:
            yield _url(host, listener)
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()


def _listening(host: str, port: int) -> socket.socket:
    # asyncio switches Nagle's algorithm off only where the protocol is named; with it every answer takes 40 ms.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener


def _url(host: str, listener: socket.socket) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}"


def _run(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(work)


async def _serve_until(
    stop: asyncio.Event, server: uvicorn.Server, listener: socket.socket, started: threading.Event
) -> None:
    """Serve until `stop`, then at once drop what is still open: uvicorn's own way out takes a fifth of a second."""
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.on_tick(0)
    await server.startup(sockets=[listener])
    started.set()
    while not stop.is_set():
        # Once a second, for the Date header.
        await server.on_tick(0)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 1)
    for each in server.servers:
        each.close()
    for connection in list(server.server_state.connections):
        connection.transport.abort()
    for task in list(server.server_state.tasks):
        task.cancel()
    await asyncio.sleep(0)


def _server(state: SandboxState, host: str, port: int) -> uvicorn.Server:
    config = uvicorn.Config(
        make_app(state),
        host=host,
        port=port,
        access_log=False,
        log_config=None,
        log_level="critical",
        proxy_headers=False,
        server_header=False,
        lifespan="off",
        ws="none",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)

    def hang_up(client: tuple[str, int]) -> None:
        for connection in list(server.server_state.connections):
            if getattr(connection, "client", None) == client:
                connection.transport.abort()

    state.hang_up = hang_up
    return server
