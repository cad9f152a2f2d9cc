"""Those who are told: a real mail server and a real web server, on sockets of this machine."""

from __future__ import annotations

import asyncio
import email
import email.policy
import hashlib
import hmac
import json
import ssl
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiosmtpd.smtp import SMTP, AuthResult

if TYPE_CHECKING:
    from email.message import EmailMessage

SECRET = "hook-secret"
PASSWORD = "mail-password"
#: Of `localhost`, signed by itself, with its key; good for nothing else, for a hundred years.
CERTIFICATE = Path(__file__).with_name("localhost.pem")
#: An answer that never comes.
HANG = 0


@dataclass
class Posted:
    """One POST as it came."""

    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)

    def is_signed_with(self, secret: str) -> bool:
        timestamp = self.headers["roster-timestamp"]
        wanted = hmac.new(secret.encode(), timestamp.encode() + b"." + self.body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(self.headers["roster-signature"], f"sha256={wanted}")


@dataclass
class Hook:
    """A web server that takes what is posted; `answers` come first, one by one, then 204."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    posted: list[Posted] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def events(self) -> list[tuple[str, int | None]]:
        """What was told, and of which job."""
        told = [each.json for each in self.posted]
        return [(each["event"], each["job"] and each["job"]["id"]) for each in told]


def _safely() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)
    return context


@contextmanager
def a_hook(*, tls: bool = False) -> Iterator[Hook]:
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            hook.posted.append(Posted({name.lower(): value for name, value in self.headers.items()}, body))
            status = hook.answers.pop(0) if hook.answers else 204
            if status == HANG:
                hook.released.wait(60)
                return
            self.send_response(status)
            if status in {301, 302, 307, 308}:
                self.send_header("Location", f"{hook.url}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hook.url = f"http://127.0.0.1:{server.server_port}/hook"
    if tls:
        server.socket = _safely().wrap_socket(server.socket, server_side=True)
        hook.url = hook.url.replace("http:", "https:")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hook
    finally:
        hook.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class MailServer:
    """A mail server that keeps what it takes; `refusals` come first, one for each mail."""

    port: int = 0
    refusals: list[str] = field(default_factory=list)
    taken: list[EmailMessage] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    #: Addresses that it knows nothing of.
    unknown: set[str] = field(default_factory=set)

    async def handle_RCPT(self, _: Any, __: Any, envelope: Any, address: str, ___: Any) -> str:  # noqa: N802
        if address in self.unknown:
            return f"550 no such mailbox {address}"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        if self.refusals:
            return self.refusals.pop(0)
        self.raw.append(envelope.content)
        self.taken.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        self.recipients.append(envelope.rcpt_tos)
        return "250 taken"

    @property
    def subjects(self) -> list[str]:
        return [each["Subject"] for each in self.taken]


def _who(_server: Any, _session: Any, _envelope: Any, _mechanism: Any, data: Any) -> AuthResult:
    good = (data.login, data.password) == (b"roster", PASSWORD.encode())
    return AuthResult(success=good, handled=False)


@contextmanager
def a_mail_server(*, password: bool = False, security: str = "none") -> Iterator[MailServer]:
    server = MailServer()
    loop = asyncio.new_event_loop()
    options: dict[str, Any] = {"tls_context": _safely()} if security == "starttls" else {}
    if password:
        options |= {"auth_required": True, "auth_require_tls": False, "authenticator": _who}

    def take() -> SMTP:
        with warnings.catch_warnings():
            # A password in the clear: what this machine tells itself nobody overhears.
            warnings.simplefilter("ignore")
            return SMTP(server, loop=loop, hostname="test", **options)

    over = _safely() if security == "tls" else None
    listening = loop.run_until_complete(loop.create_server(take, "127.0.0.1", 0, ssl=over))
    server.port = listening.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(_close(listening), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _close(listening: asyncio.Server) -> None:
    listening.close()
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
