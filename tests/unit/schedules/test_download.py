"""Redirects are followed one by one, by the same rules as the address itself."""

from __future__ import annotations

import base64
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from worker.errors import UsageError
from worker.schedules import download as downloading
from worker.schedules.download import download
from worker.schedules.web_address import parse_web_address

ROSTER = b"email\na@example.com\n"


class Host(BaseHTTPRequestHandler):
    """Redirects to what its path says after `/to/`; otherwise it has a roster."""

    requests: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers["Authorization"]))  # type: ignore[attr-defined]
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
            return
        if self.path == "/loop":
            self.send_response(307)
            self.send_header("Location", "/loop")
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(ROSTER)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def start():
    servers = []

    def run(address="127.0.0.1"):
        server = ThreadingHTTPServer((address, 0), Host)
        server.requests = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return server

    yield run
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def to(tmp_path):
    return tmp_path / "roster.csv"


def url(server, path="/roster.csv", user=""):
    return f"http://{user}127.0.0.1:{server.server_port}{path}"


def test_a_redirect_on_the_same_host_is_followed_with_the_password(start, to):
    host = start()
    download(url(host, "/to//roster.csv", user="ana:p%40ss@"), to, largest=1000)

    wanted = f"Basic {base64.b64encode(b'ana:p@ss').decode()}"
    assert to.read_bytes() == ROSTER
    assert [password for _, password in host.requests] == [wanted, wanted]


def test_a_redirect_to_another_host_gets_no_password(start, to):
    host, other = start(), start()
    download(url(host, f"/to/{url(other)}", user="ana:secret@"), to, largest=1000)

    assert other.requests == [("/roster.csv", None)]


def test_redirects_are_limited(start, to):
    host = start()
    with pytest.raises(UsageError, match="redirects more than 5 times"):
        download(url(host, "/loop"), to, largest=1000)
    assert len(host.requests) == downloading.MAX_REDIRECTS + 1


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.2:{port}/roster.csv",
        "http://example.com/roster.csv",
        "http://169.254.169.254/latest/meta-data",
        "https://169.254.169.254/latest/meta-data",
        "https://2852039166/latest/meta-data",
        "https://[::ffff:169.254.169.254]/",
        "https://[fe80::1]/",
        "https://[fd00:ec2::254]/",
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "//169.254.169.254/x",
    ],
)
def test_a_redirect_to_where_no_source_may_be_is_refused(start, to, target):
    host, other = start(), start("127.0.0.2")
    with pytest.raises(UsageError) as refused:
        download(url(host, f"/to/{target.format(port=other.server_port)}", user="ana:secret@"), to, largest=1000)

    assert "secret" not in str(refused.value)
    assert not to.exists()
    assert other.requests == []


def test_a_name_that_leads_to_a_link_local_address_is_refused(monkeypatch, to):
    def names(host, *_args, flags=0, **_options):
        if flags or host != "rosters.example.com":
            raise OSError("no such name")
        return [(2, 1, 6, "", ("169.254.169.254", 0))]

    monkeypatch.setattr("worker.addresses.socket.getaddrinfo", names)
    with pytest.raises(UsageError, match="link-local"):
        download("https://rosters.example.com/x.csv", to, largest=1000)


def test_an_address_of_ipv6_works(to):
    server = ThreadingHTTPServer.__new__(type("Six", (ThreadingHTTPServer,), {"address_family": 10}))
    try:
        server.__init__(("::1", 0), Host)  # type: ignore[misc]
    except OSError:
        pytest.skip("this machine has no IPv6")
    server.requests = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    download(f"http://[::1]:{server.server_port}/roster.csv", to, largest=1000)
    server.shutdown()
    thread.join()
    server.server_close()

    assert to.read_bytes() == ROSTER


@pytest.mark.parametrize(
    "text",
    [
        "https://host/a\r\nHost: other",
        "https://host\r\n/x",
        "\nhttps://host/x",
        "https://host\\@169.254.169.254/x",
        "https://u:se/cret@host/x",
        "https://host:secret/x",
        "https://host:0/x",
        "https://[::1/x",
        "http://127.0.0.2/x",
        "https://169.254.169.254/x",
        "https://0xa9fea9fe/x",
    ],
)
def test_an_address_that_is_not_allowed_is_refused_before_any_call(text):
    with pytest.raises(UsageError) as refused:
        parse_web_address(text)

    assert "cret" not in str(refused.value)
