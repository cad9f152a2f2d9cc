from __future__ import annotations

import os
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest

from worker.addresses import masked
from worker.errors import UsageError
from worker.reports.kinds import MESSAGE, ReportKind
from worker.schedules import source
from worker.schedules.source import SourceKind, parse_source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Host(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.startswith("/roster.csv"):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"email\na@example.com\n")
        elif self.path.startswith("/large.csv"):
            self.send_response(200)
            self.end_headers()
            piece = b"x" * (1 << 20)
            try:
                for _ in range(10_000):
                    self.wfile.write(piece)
            except ConnectionError:
                return
        else:
            self.send_error(404 if self.path.startswith("/gone") else 403)

    do_HEAD = do_GET  # noqa: N815 - the library asks for these names

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def host() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Host)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_source_is_a_file_a_folder_or_an_address(tmp_path: Path) -> None:
    assert parse_source(str(tmp_path / "a.csv")).kind is SourceKind.FILE
    assert parse_source(str(tmp_path)).stored_text == f"folder:{tmp_path}"
    assert parse_source(f"folder:{tmp_path}/x") == parse_source("folder:inbox", {"inbox": f"{tmp_path}/x"})
    assert parse_source(f"file://{tmp_path}/a%20b.csv").location == f"{tmp_path}/a b.csv"
    assert parse_source("s3://bucket/x.csv").kind is SourceKind.ADDRESS
    assert parse_source(parse_source(f"folder:{tmp_path}").stored_text).kind is SourceKind.FOLDER


@pytest.mark.parametrize(
    "text",
    [
        "http://example.com/x",
        "ftp://host/x",
        "simplecache::https://h/x",
        "sftp://h/x::https://h/x",
        "https:///x",
        "memory://x",
        "folder:",
        "https://169.254.169.254/x",
        "sftp://169.254.169.254/x",
        "https://h/x\r\nHost: other",
        "sftp://h/x\ny",
    ],
)
def test_a_wrong_source_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_source(text)


@pytest.mark.parametrize("text", ["https:user:secret@h/x", "HTTPS:/user:secret@h/x", "https://u:s/ecret@h/x"])
def test_a_mistyped_address_is_refused_without_its_password(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_source(text)

    assert "ecret" not in str(refused.value)


def test_an_ipv6_address_of_this_machine_is_taken() -> None:
    assert parse_source("http://[::1]/x.csv").kind is SourceKind.ADDRESS


def test_the_password_of_an_address_is_never_shown() -> None:
    shown = masked("sftp://user:secret@host:2222/a/b.csv?sig=secret#secret")

    assert shown == "sftp://***@host:2222/a/b.csv?***"
    assert "secret" not in parse_source("https://h/x?token=secret").display_text


def test_the_newest_roster_of_a_folder_is_taken_and_no_report(tmp_path: Path) -> None:
    reports = [f"new.{kind}" for kind in (*ReportKind, MESSAGE)] + ["NEW.DIFFERS.CSV"]
    for at, name in enumerate(["old.csv", "new.csv", *reports, "newest.csv.part"]):
        (tmp_path / name).write_text("email\n")
        os.utime(tmp_path / name, (1000 + at, 1000 + at))

    found = source.find_file(parse_source(f"folder:{tmp_path}"))

    assert found is not None
    assert found.name == "new.csv"


def test_a_source_that_does_not_exist_is_reported_plainly(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        source.find_file(parse_source(str(tmp_path / "x.csv")))
    with pytest.raises(UsageError, match="does not exist"):
        source.find_file(parse_source(f"folder:{tmp_path}/x"))
    with pytest.raises(UsageError, match="no roster in"):
        source.find_file(parse_source(str(tmp_path)))


def fetched(address: str, files: Path) -> str:
    with source.local_copy(parse_source(address), files) as roster:
        return f"{roster.name}: {roster.path.read_text()}"


def test_an_address_is_fetched_for_as_long_as_it_is_needed(host: str, tmp_path: Path) -> None:
    assert fetched(f"{host}/roster.csv?token=secret", tmp_path) == "roster.csv: email\na@example.com\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "said"),
    [("gone.csv", "does not exist"), ("forbidden.csv", "answered 403"), ("large.csv", "larger than 100 MB")],
)
def test_a_failed_fetch_is_reported_without_the_secret(host: str, tmp_path: Path, path: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        fetched(f"{host}/{path}?token=secret", tmp_path)

    assert said in str(raised.value)
    assert "secret" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_kind_of_address_whose_package_is_missing_names_it(tmp_path: Path) -> None:
    fetch = partial(fetched, "sftp://user:secret@host/x.csv", tmp_path)
    with pytest.raises(UsageError, match="needs the Python package paramiko"):
        fetch()


def test_a_host_that_cannot_be_reached_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be reached"):
        fetched("http://127.0.0.1:9/x.csv", tmp_path)
