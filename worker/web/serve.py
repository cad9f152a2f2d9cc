"""Run the web server; without a broker, its process works the jobs too."""

from __future__ import annotations

import signal
import socket
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from worker import logs
from worker.bootstrap import make_uploads_private
from worker.errors import UsageError
from worker.jobs import drafts
from worker.ledger import accounts
from worker.runtime.local import LocalWorker
from worker.settings import is_loopback, read_message_settings
from worker.shadowing import shadowing_warning
from worker.web import api
from worker.web.app import make_app
from worker.web.uploads import remove_stale_uploads

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.bootstrap import Services

#: How long requests may still take when the server is asked to stop (seconds); streams end at once.
SHUTDOWN_SECONDS = 10
#: Further connections are answered with 503.
MAX_CONNECTIONS = 1_000
_ADD_ACCOUNT = "Add an account first: `roster user add NAME --role admin`"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """Where a server that has started can be reached."""

    url: str
    #: Whether callers must sign in; otherwise there is no account, and this machine alone is served.
    has_accounts: bool
    #: What else the person who starts the server should know.
    warning: str | None = None


def serve(
    services: Services, host: str | None, port: int | None, *, on_start: Callable[[ServerInfo], None]
) -> None:
    """Serve until a signal ends it; `on_start` is called once, when connections are accepted.

    Raises UsageError when other machines could reach the server and there is no account, or the port is in use;
    SettingsError when [messages] has an error, which a sweep would only log.
    """
    if not services.settings.broker:
        read_message_settings(services.settings)
    settings = services.settings.serve
    host, port = host or settings.host, settings.port if port is None else port
    has_accounts = _check_access(services, host)
    logs.configure(services.settings.log)
    make_uploads_private(services)
    remove_stale_uploads(services.files / api.UPLOADS)
    drafts.remove_old(services)
    with closing(_listen(host, port)) as listener:
        port = listener.getsockname()[1]
        warning = shadowing_warning(Path.cwd()) if services.settings.broker else None
        url = settings.public_url or _url(host, port)
        on_start(ServerInfo(url=url, has_accounts=has_accounts, warning=warning))
        local_worker = None if services.settings.broker else LocalWorker(services)
        if local_worker is not None:
            local_worker.start()
        # Uvicorn raises the signal that ended it again: the work must still end gracefully after that.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            uvicorn.Server(_config(services, host, port)).run(sockets=[listener])
        except KeyboardInterrupt:
            pass
        finally:
            if local_worker is not None:
                local_worker.stop()


def _config(services: Services, host: str, port: int) -> uvicorn.Config:
    proxies = services.settings.serve.behind_proxy
    return uvicorn.Config(
        make_app(services),
        host=host,
        port=port,
        access_log=False,
        server_header=False,
        log_level="warning",
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies or None,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        limit_concurrency=MAX_CONNECTIONS,
    )


def _check_access(services: Services, host: str) -> bool:
    """Return whether there are accounts. Raises UsageError when there are none and other machines get access."""
    with services.ledger.read() as tx:
        if accounts.any_account(tx):
            return True
    if not is_loopback(host):
        raise UsageError(
            f"There is no account yet, so everyone who can reach {host} would have full access. "
            f"{_ADD_ACCOUNT}; or leave out --host to serve this machine only"
        )
    if services.settings.serve.behind_proxy:
        raise UsageError(
            f"There is no account yet, so everyone who can reach the proxy would have full access. {_ADD_ACCOUNT}"
        )
    return False


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UsageError(f"{_url(host, port)} cannot be listened on: {reason}; choose another --port") from None


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
