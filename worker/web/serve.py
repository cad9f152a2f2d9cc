"""`serve`: the web door."""

from __future__ import annotations

import signal
import socket
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click
import uvicorn

from worker import logs
from worker.cli import output
from worker.errors import UsageError
from worker.jobs import drafts
from worker.ledger import accounts
from worker.runtime.local import Standalone
from worker.settings import is_loopback, read_post
from worker.shadowing import shadowing_warning
from worker.web import api
from worker.web.app import make_app
from worker.web.uploads import clear_leftovers

if TYPE_CHECKING:
    from worker.bootstrap import Services

#: Answers under way when the server is told to end have so long (seconds); streams end at once.
LAST_SECONDS = 10
#: Connections beyond these are told to come back later.
MOST_CONNECTIONS = 1_000


def serve(services: Services, host: str | None, port: int | None) -> int:
    """Serve until told to end; without a broker, work the jobs too.

    Raises UsageError when others could reach the server and nobody has an account, or the port is taken, and
    SettingsError when [messages] must be mended: a sweep would tell its log only.
    """
    if not services.settings.broker:
        read_post(services.settings)
    settings = services.settings.serve
    host, port = host or settings.host, settings.port if port is None else port
    _refuse_an_open_door(services, host)
    logs.configure(services.settings.log)
    if services.settings.broker and (warning := shadowing_warning(Path.cwd())):
        click.echo(f"Warning: {warning}", err=True)
    clear_leftovers(services.files / api.UPLOADS)
    drafts.remove_old(services)
    with closing(_listen(host, port)) as listening:
        port = listening.getsockname()[1]
        click.echo(f"Roster is at {settings.public_url or _address(host, port)} (Ctrl-C ends it)", err=True)
        standalone = None if services.settings.broker else Standalone(services)
        if standalone is not None:
            standalone.start()
        # Uvicorn passes the signal on that ended it: the work must still end softly after that.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            uvicorn.Server(_config(services, host, port)).run(sockets=[listening])
        except KeyboardInterrupt:
            pass
        finally:
            if standalone is not None:
                standalone.end()
    return output.DONE


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
        timeout_graceful_shutdown=LAST_SECONDS,
        limit_concurrency=MOST_CONNECTIONS,
    )


def _refuse_an_open_door(services: Services, host: str) -> None:
    """Refuse to be reached by others while nobody has to sign in, and say so."""
    with services.ledger.read() as tx:
        if accounts.any_account(tx):
            return
    remedy = "Make an account first: `roster user add NAME --role admin`"
    if not is_loopback(host):
        raise UsageError(
            f"Without an account whoever reaches {host} could do everything, so only this machine is served. "
            f"{remedy}; or leave --host out"
        )
    if services.settings.serve.behind_proxy:
        raise UsageError(f"Behind a proxy everybody could do everything, since nobody has an account. {remedy}")
    click.echo(f"Nobody has an account: only this machine is served, and nobody signs in. {remedy}", err=True)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UsageError(f"{_address(host, port)} cannot be listened on: {reason}; choose another --port") from None


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
