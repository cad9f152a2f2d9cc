"""Uploads: large ones with flat memory, too large and malformed ones refused."""

from __future__ import annotations

import os
import socket
import time
import zipfile
from urllib.parse import urlsplit

import psutil
import pytest

from tests.web_server import problem

MB = 1024 * 1024
BOUNDARY = "------------------------roster"


@pytest.fixture
def served(web_server, office, sandbox):
    return web_server(office(sandbox()))


def body_of(parts, size, fill=b"x"):
    """Yield a form with these fields and a file of `size` bytes, without having it in memory."""
    for name, value in parts.items():
        yield f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="big.csv"\r\n\r\n'
    yield head.encode() + b"email,first_name,last_name,course_id,note\na@example.com,Ana,A,58,"
    for _ in range(size // MB):
        yield fill * MB
    yield f"\r\n--{BOUNDARY}--\r\n".encode()


def send(served, body, **headers):
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    return served.client.post("/api/jobs", content=body, headers={"Content-Type": kind, **headers})


def stored_files(served):
    files = served.office.folder / "roster-files"
    return [path for path in files.rglob("*") if path.is_file()]


def reports_are_written(served, count):
    """Return whether so many jobs have their reports: a job has ended when its outcomes are in the ledger."""
    folder = served.office.folder / "roster-files" / "reports"
    return len(list(folder.glob("*/*.summary.json"))) == count and not list(folder.rglob(".roster-*"))


def test_fifty_megabytes_are_accepted_with_flat_memory(served):
    server = psutil.Process(served.running.process.pid)
    send(served, body_of({}, 1 * MB))
    before = server.memory_info().rss

    lines = b"a@example.com,Ana,A,58,\n"
    answer = send(served, body_of({"max_rows": "1"}, 50 * MB, fill=lines[:1]))

    assert answer.status_code in {202, 422}, answer.text
    assert server.memory_info().rss - before < 25 * MB


def test_two_hundred_megabytes_are_refused_and_nothing_is_stored(served):
    detail = problem(send(served, body_of({}, 200 * MB)), 413)
    length = sum(len(chunk) for chunk in body_of({}, 200 * MB))
    by_length = problem(send(served, body_of({}, 200 * MB), **{"Content-Length": str(length)}), 413)

    assert "100 MB" in detail
    assert detail == by_length
    assert stored_files(served) == []
    assert served.client.get("/healthz").status_code == 200


def test_a_path_in_a_file_name_leads_nowhere(served, people, wait_until):
    text = "email,first_name,last_name,course_id\n" + "".join(
        f"{each['email']},{each['first_name']},{each['last_name']},58\n" for each in people(1)
    )
    names = [
        "../../../etc/cron.d/x.csv",
        "..\\..\\boot.csv",
        "/etc/passwd",
        "a\x00b.csv",
        "..",
        "-rf.csv",
        "x" * 400,
    ]
    shown = []
    for number, name in enumerate(names):
        answer = served.client.post("/api/jobs", files={"file": (name, text)}, data={"set": f"city={number}"})
        shown.append(served.until(answer.json()["id"])["roster"])

    wait_until(lambda: reports_are_written(served, len(names)), "the reports")
    assert shown[:2] == ["x.csv", "boot.csv"]
    assert shown[2] == "passwd"
    assert shown[4] == "roster"
    assert all("/" not in name and "\\" not in name and name.isprintable() and len(name) <= 200 for name in shown)
    folder = served.office.folder
    assert {path.parent for path in stored_files(served)} <= {
        folder / "roster-files",
        *(folder / "roster-files" / "reports").iterdir(),
    }
    for path in served.client.get("/api/jobs?limit=1").json()[0]["reports"]:
        assert served.client.get(path).status_code in {200, 404}


def test_a_zip_bomb_is_refused_before_it_is_unpacked(served, tmp_path):
    bomb = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        with archive.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as sheet:
            for _ in range(300):
                sheet.write(b"0" * MB)
    server = psutil.Process(served.running.process.pid)
    before = server.memory_info().rss

    detail = problem(served.upload(bomb), 422)

    assert detail.startswith("bomb.xlsx: ")
    assert server.memory_info().rss - before < 60 * MB
    assert stored_files(served) == []


def test_an_upload_that_is_interrupted_leaves_nothing(served, wait_until):
    where = urlsplit(served.url)
    with socket.create_connection((where.hostname, where.port)) as connection:
        head = f"POST /api/jobs HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Length: {9 * MB}\r\n"
        head += f"Authorization: Bearer {served.token}\r\n"
        connection.sendall(f"{head}Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n".encode())
        for chunk in list(body_of({}, 2 * MB))[:-1]:
            connection.sendall(chunk)
        wait_until(lambda: stored_files(served), "the beginning of the upload")

    wait_until(lambda: not stored_files(served), "its end")
    assert served.client.get("/api/jobs").json() == []


def test_invalid_forms_are_refused(served):
    def form(*parts):
        return "".join(f"--{BOUNDARY}\r\n{part}\r\n" for part in parts).encode() + f"--{BOUNDARY}--\r\n".encode()

    disposition = "Content-Disposition: form-data; "
    file = f'{disposition}name="file"; filename="a.csv"\r\n\r\nemail\na@example.com'
    long = f'{disposition}name="course"\r\n\r\n{"x" * 70_000}'
    many = [f'{disposition}name="set"\r\n\r\na{n}=b' for n in range(501)]

    assert "No file selected" in problem(send(served, form()), 422)
    assert "No file selected" in problem(send(served, form(f'{disposition}name="file"; filename=""\r\n\r\n')), 422)
    assert "several files" in problem(send(served, form(file, file)), 422)
    assert "field file" in problem(send(served, form(file.replace('"file"', '"roster"'))), 422)
    assert "too long" in problem(send(served, form(long, file)), 413)
    assert "too many fields" in problem(send(served, form(*many, file)), 413)
    assert "cut off" in problem(send(served, form(file)[:-20]), 400)
    assert "well-formed" in problem(send(served, b"--nonsense"), 400)
    assert "multipart" in problem(served.client.post("/api/jobs", content=b"", headers={"Content-Type": "a"}), 415)
    long_boundary = {"Content-Type": f"multipart/form-data; boundary={'b' * 300}"}
    assert "boundary" in problem(served.client.post("/api/jobs", content=b"x", headers=long_boundary), 400)
    assert stored_files(served) == []


def test_a_smaller_limit_can_be_set(web_server, office, sandbox):
    terminal = office(sandbox())
    terminal.environment["ROSTER_SERVE__MAX_UPLOAD_MB"] = "1"
    served = web_server(terminal)

    assert "1 MB" in problem(send(served, body_of({}, 2 * MB)), 413)


def test_a_server_that_starts_removes_old_drafts_that_were_never_sent(web_server, office, sandbox):
    terminal = office(sandbox())
    drafts = terminal.folder / "roster-files" / "drafts"
    for name, hours in (("old", 25), ("young", 23)):
        (drafts / name).mkdir(parents=True)
        (drafts / name / "roster.csv").write_text("email\n", "utf-8")
        then = time.time() - hours * 3600
        os.utime(drafts / name, (then, then))

    web_server(terminal)

    assert [each.name for each in drafts.iterdir()] == ["young"]
