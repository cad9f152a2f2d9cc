"""Upload hostile files to a real `roster serve`, and see that it answers meanwhile and is alive afterwards.

`python -m tests.hostile`, or `make hostile`: `/healthz` is asked five times a second while each file is uploaded
and becomes a job. An answer that takes longer than LONGEST_ANSWER fails it, and so does a server that has ended.
"""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Seconds; a frozen server took 13 to 60.
LONGEST_ANSWER = 3.0
ASK_EVERY = 0.2
START_SECONDS, JOB_SECONDS, CALL_SECONDS = 90.0, 300.0, 300.0
TOKEN = "hostile-files"
ENDED = {"succeeded", "completed_with_errors", "failed", "invalid", "held", "cancelled", "paused"}
MEGABYTE = 2**20
ROWS = b"\na@x.example,A,B"


def make_workbook(heading: bytes, mimetype: bytes = b"") -> bytes:
    """Return a small XLSX whose first heading is of any length; and a part `mimetype`, which an ODS has."""
    main = b'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"><Default Extension="xml" ContentType='
        '"application/xml"/><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.'
        'relationships+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" Type="{office}/'
        'officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" '
        f'Type="{office}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook {main.decode()} xmlns:r="{office}"><sheets><sheet name="A" sheetId="1" '
        'r:id="r1"/></sheets></workbook>',
    }
    sheet = b"<worksheet %s><sheetData><row r='1'><c r='A1' t='inlineStr'><is><t>email</t></is></c>" % main
    sheet += b"<c r='B1' t='inlineStr'><is><t>%s</t></is></c></row></sheetData></worksheet>" % heading
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
        archive.writestr("xl/worksheets/sheet1.xml", sheet)
        if mimetype:
            archive.writestr("mimetype", mimetype)
    return file.getvalue()


def hostile_files() -> Iterator[tuple[str, bytes, Mapping[str, str]]]:
    """Yield the name, content and further fields of each upload."""
    marks = "\u0301\u0327".encode()
    dots = b"." * 130_000 + b"x"
    yield "dots in a heading.csv", b"email,first_name," + dots + ROWS, {}
    yield "dots in a cell.csv", b"email,first_name,last_name\na@x.example,A," + dots + b"\n", {}
    yield (
        "dots in 16 cells of a large file.csv",
        b"email," + b",".join([dots] * 15) + (ROWS + b"B" * 100_000) * 40,
        {},
    )
    yield "marks.csv", b"email,first_name," + marks * 32_000 + b"\na@x.example," + marks * 32_000 + b",B\n", {}
    yield "marks in many rows.csv", b"email,first_name" + (b"\na@x.example," + marks * 32_000) * 12, {}
    yield "many headings.csv", b"email," + b",".join(b"emial%d" % number for number in range(100_000)) + ROWS, {}
    yield "16,384 headings.csv", b"email," + b",".join(b"emial%d" % number for number in range(16_383)) + ROWS, {}
    yield "punycode.csv", b"email\n" + b"a-" * 150_000, {"encoding": "punycode"}
    yield "utf-7.csv", b"email\n" + b"+AG" * 100_000, {"encoding": "utf-7"}
    yield "not decodable.csv", b"email\n" + b"\x81\xff,\n" * MEGABYTE, {}
    yield "one line.csv", b"email," + b"x" * (20 * MEGABYTE), {}
    yield "quotation marks.csv", b'email,first_name\na@x.example,"' + b'\n"",' * 30_000 + b'"\n', {}
    yield "open quotation mark.csv", b'email,first_name\na@x.example,"' + b"\na@x.example,A" * 100_000, {}
    yield "blanks.csv", b"email," + b" " * 130_000 + b'"' + ROWS, {}
    yield "addresses.csv", b"email,first_name\n" + b"a@" + b"a." * 60_000 + b",A\n" + b"(" * 120_000 + b"@x,A\n", {}
    yield "map.csv", b"email,x\na@x.example,1\n", {"map": "." * 60_000 + "x=first_name"}
    yield "set.csv", b"email,x\na@x.example,1\n", {"set": "." * 60_000 + "=1"}
    yield "a heading of 9 MB.xlsx", make_workbook(b"." * (9 * MEGABYTE) + b"x"), {}
    yield "marks.xlsx", make_workbook(marks * 2_000_000), {}
    yield "type of 200 MB.ods", make_workbook(b"x", mimetype=b"application" * (20 * MEGABYTE)), {}
    yield "plain.csv", b"email,first_name,last_name,course_id\na@x.example,A,B,58\n", {}


@dataclass
class Heartbeat:
    """Asks `/healthz` again and again in a thread, and keeps the longest time that an answer took."""

    url: str
    longest: float = 0.0
    count: int = 0
    problems: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def ask(self) -> None:
        """Ask until it is stopped."""
        with httpx.Client(base_url=self.url, timeout=CALL_SECONDS) as client:
            while not self._stop.wait(ASK_EVERY):
                begun = time.monotonic()
                try:
                    client.get("/healthz").raise_for_status()
                except httpx.HTTPError as error:
                    self.problems.append(type(error).__name__)
                self.longest = max(self.longest, time.monotonic() - begun)
                self.count += 1

    def stop(self) -> None:
        """End the thread after its answer."""
        self._stop.set()


@contextmanager
def server(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run `roster serve` with one connection, to where nobody answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "roster.toml").write_text(
        'ledger = "sqlite:///roster.db"\nfiles = "roster-files"\n[connections.kmi]\nsystem = "kmi"\n'
        'base_url = "http://127.0.0.1:9/api/v2/"\napi_key = "env:KEY"\napi_secret = "env:KEY"\n',
        "utf-8",
    )
    command = [str(Path(sys.executable).with_name("roster")), "serve", "--port", str(port)]
    log = (folder / "log").open("wb")
    with (
        log,
        subprocess.Popen(
            command, cwd=folder, env={**os.environ, "ROSTER_TOKEN": TOKEN, "KEY": "k"}, stdout=log, stderr=log
        ) as process,
    ):
        try:
            yield f"http://127.0.0.1:{port}", process
        finally:
            process.terminate()


def _until_it_answers(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            client.get("/healthz").raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("The server does not answer")


def upload(client: httpx.Client, name: str, content: bytes, fields: Mapping[str, str]) -> str:
    """Upload a file and wait until its job has ended; return the status of the answer, and the job's state."""
    data: dict[str, Any] = {"connection": "kmi", "course": "58", **fields}
    answer = client.post("/api/jobs", files={"file": (name, content)}, data=data)
    if answer.status_code != httpx.codes.ACCEPTED:
        return f"{answer.status_code}"
    end, state = time.monotonic() + JOB_SECONDS, "?"
    while time.monotonic() < end and state not in ENDED:
        time.sleep(ASK_EVERY)
        state = client.get(f"/api/jobs/{answer.json()['id']}").json()["state"]
    return f"{answer.status_code}, job {state}"


def main() -> None:
    """Upload each file, and exit with 1 when the server froze or ended."""
    failed = False
    with tempfile.TemporaryDirectory(prefix="roster-hostile-") as folder, server(Path(folder)) as (url, process):
        client = httpx.Client(base_url=url, timeout=CALL_SECONDS, headers={"Authorization": f"Bearer {TOKEN}"})
        _until_it_answers(client, process)
        for name, content, fields in hostile_files():
            heartbeat = Heartbeat(url)
            thread = threading.Thread(target=heartbeat.ask)
            thread.start()
            begun = time.monotonic()
            outcome = upload(client, name, content, fields)
            heartbeat.stop()
            thread.join()
            bad = heartbeat.longest > LONGEST_ANSWER or bool(heartbeat.problems) or process.poll() is not None
            failed = failed or bad
            verdict, taken = "FAILED" if bad else "ok", time.monotonic() - begun
            answers = f"longest of {heartbeat.count} answers {heartbeat.longest:.2f} s"
            print(f"{verdict:6} {name:36} {outcome:30} {taken:6.1f} s; {answers}", flush=True)  # noqa: T201
    sys.exit(failed)


if __name__ == "__main__":
    main()
