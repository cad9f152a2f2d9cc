"""Run the web server; without a broker, its process works the jobs too."""

from __future__ import annotations

import functools
import os
import resource
import signal
import socket
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlsplit

import uvicorn

from worker import logs
from worker.bootstrap import make_uploads_private
from worker.errors import UsageError
from worker.jobs import drafts
from worker.ledger import accounts
from worker.runtime.local import LocalWorker
from worker.settings import is_loopback, read_message_settings
from worker.shadowing import shadowing_warning
from worker.web import api, local_access
from worker.web.app import make_app
from worker.web.http_protocol import GuardedProtocol, IdleConnections, TimeLimits
from worker.web.local_access import LocalAccess
from worker.web.uploads import remove_stale_uploads

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.bootstrap import Services

#: How long requests may still take when the server is asked to stop (seconds); streams end at once.
SHUTDOWN_SECONDS = 10
#: Connections without a request, fewer where the process may open fewer files; how many are accepted at once.
MAX_IDLE, BACKLOG = 2_000, 256
#: The files and sockets that the process asks to have open at a time.
OPEN_FILES = 8192
_ADD_ACCOUNT = "Add an account first: `roster user add NAME --role admin`"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """Where a server that has started can be reached."""

    url: str
    #: The token that gives access while there is no account, to this machine alone; None when callers sign in.
    token: str | None = field(repr=False)
    #: What else the person who starts the server should know.
    warning: str | None = None

    @property
    def address(self) -> str:
        """Return what a person opens in a browser: the address, with the token if there is one."""
        return f"{self.url}/?{local_access.PARAMETER}={quote(self.token)}" if self.token else self.url


def serve(
    services: Services, host: str | None, port: int | None, *, on_start: Callable[[ServerInfo], None]
) -> None:
    """Serve until a signal ends it; `on_start` is called once, when connections are accepted.

    Raises UsageError when others could reach the server and there is no account, or the port is in use;
    SettingsError when [messages] has an error, which a sweep would only log.
    """
    if not services.settings.broker:
        read_message_settings(services.settings)
    settings = services.settings.serve
    host, port = host or settings.host, settings.port if port is None else port
    token = _token_for(services, host)
    logs.configure(services.settings.log, services.settings.log_level or "info")
    make_uploads_private(services)
    remove_stale_uploads(services.files / api.UPLOADS)
    drafts.remove_old(services)
    with closing(_listen(host, port)) as listener:
        port = listener.getsockname()[1]
        shadowing = shadowing_warning(Path.cwd()) if services.settings.broker else None
        warning = shadowing or local_access.weak_token_warning(token)
        url = settings.public_url or _url(host, port)
        on_start(ServerInfo(url=url, token=token, warning=warning))
        local_worker = None if services.settings.broker else LocalWorker(services)
        if local_worker is not None:
            local_worker.start()
        # Uvicorn raises the signal that ended it again: the work must still end gracefully after that.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            uvicorn.Server(_config(services, LocalAccess(token), host, port)).run(sockets=[listener])
        except KeyboardInterrupt:
            pass
        finally:
            if local_worker is not None:
                local_worker.stop()


def _config(services: Services, access: LocalAccess, host: str, port: int) -> uvicorn.Config:
    proxies = services.settings.serve.behind_proxy
    open_files = _allow_many_files()
    idle = IdleConnections(total=min(MAX_IDLE, open_files // 3), proxies=services.settings.serve.proxies)
    return uvicorn.Config(
        make_app(services, access),
        host=host,
        port=port,
        access_log=False,
        server_header=False,
        log_level="warning",
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies or None,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        http=cast("Any", functools.partial(GuardedProtocol, limits=TimeLimits(), idle=idle)),
        backlog=BACKLOG,
    )


def _token_for(services: Services, host: str) -> str | None:
    """Return the token for this machine; None when there are accounts.

    Raises UsageError when there are none and others get access.
    """
    with services.ledger.read() as tx:
        if accounts.any_account(tx):
            return None
    serve = services.settings.serve
    public = urlsplit(serve.public_url).hostname or ""
    for is_open, others, remedy in (
        (not is_loopback(host), host, "; or leave out --host to serve this machine only"),
        (bool(serve.behind_proxy), "the proxy", ""),
        (public != "" and not is_loopback(public), serve.public_url, "; or leave out public_url under [serve]"),
    ):
        if is_open:
            raise UsageError(
                f"There is no account yet, so everyone who can reach {others} would have full access. "
                f"{_ADD_ACCOUNT}{remedy}"
            )
    return local_access.new_token(os.environ.get(local_access.VARIABLE, ""))


def _allow_many_files() -> int:
    """Allow as many open sockets as the limits of connections need, if possible; return how many are allowed.

    Shells allow 1,024 by default.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = max(soft, OPEN_FILES)
    if soft == resource.RLIM_INFINITY or soft >= OPEN_FILES:
        return OPEN_FILES
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(OPEN_FILES, hard), hard))
    return min(OPEN_FILES, hard)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UsageError(f"{_url(host, port)} cannot be listened on: {reason}; choose another --port") from None


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
