"""An upload is received in chunks of any size."""

from __future__ import annotations

import itertools
import unicodedata
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from worker.web.problems import HttpProblem
from worker.web.uploads import MAX_NAME, display_name, receive_upload

if TYPE_CHECKING:
    from pathlib import Path

BOUNDARY = "xyz"


def request_of(chunks: list[bytes]) -> Request:
    left = list(chunks)

    async def receive() -> dict[str, Any]:
        body = left.pop(0) if left else b""
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    headers = [(b"content-type", f"multipart/form-data; boundary={BOUNDARY}".encode())]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers, "app": SimpleNamespace()}
    return Request(scope, receive)


def form(content: bytes, fields: list[tuple[str, str]]) -> bytes:
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields
    ]
    head = (
        f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="Ähre \u7530.csv"\r\n\r\n'.encode()
    )
    return b"".join([*parts, head, content, f"\r\n--{BOUNDARY}--\r\n".encode()])


FIELDS = st.lists(
    st.tuples(st.sampled_from(["set", "map"]), st.text(st.characters(codec="utf-8", exclude_characters="\r\n-"))),
    max_size=4,
)
CONTENT = st.one_of(
    st.binary(max_size=300), st.lists(st.sampled_from([b"\r\n", b"--xyz", b"--", b"a"])).map(b"".join)
)


@settings(deadline=None)
@given(content=CONTENT, fields=FIELDS, cuts=st.lists(st.integers(0, 700), max_size=12))
async def test_a_form_is_the_same_however_it_is_divided_into_chunks(
    tmp_path: Path, content: bytes, fields: list[tuple[str, str]], cuts: list[int]
) -> None:
    if b"\r\n--xyz" in content or content.startswith(b"--xyz"):
        content = content.replace(b"--xyz", b"")
    if b"\r\n--xyz" in content:
        return
    whole = form(content, fields)
    edges = sorted({0, len(whole), *(min(cut, len(whole)) for cut in cuts)})
    chunks = [whole[start:end] for start, end in itertools.pairwise(edges)]

    upload = await receive_upload(request_of(chunks), into=tmp_path / "files" / "uploads", limit=10_000)

    assert upload.path.read_bytes() == content
    assert upload.fields == fields
    assert upload.name == "Ähre \u7530.csv"
    assert upload.path.suffix == ".csv"
    assert upload.path.stat().st_mode & 0o777 == 0o600
    upload.discard()
    assert list((tmp_path / "files" / "uploads").iterdir()) == []


@pytest.mark.parametrize("size", [100, 101])
async def test_the_limit_is_exact_to_the_byte_and_no_file_is_left(tmp_path: Path, size: int) -> None:
    into = tmp_path / "files" / "uploads"
    chunks = [form(b"x" * size, [])]
    if size == 100:
        assert (await receive_upload(request_of(chunks), into=into, limit=100)).path.stat().st_size == 100
        return
    with pytest.raises(HttpProblem) as caught:
        await receive_upload(request_of(chunks), into=into, limit=100)

    assert caught.value.status == 413
    assert list(into.iterdir()) == []


@given(st.text())
def test_a_display_name_has_no_folders_no_control_characters_and_a_limited_length(name: str) -> None:
    shown = display_name(name)

    assert 0 < len(shown) <= MAX_NAME
    assert not set(shown) & {"/", "\\"}
    assert shown.strip(".")
    assert all(unicodedata.category(letter)[0] != "C" for letter in shown)


def test_a_long_name_keeps_its_ending() -> None:
    assert display_name("x" * 500 + ".xlsx").endswith("x.xlsx")


def parts(*dispositions: str, content: bytes = b"") -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; "
    return b"".join(f"{head}{each}\r\n\r\n".encode() + content + b"\r\n" for each in dispositions)


async def refusal(tmp_path: Path, begun: bytes, chunk: bytes, limit: int) -> tuple[int, int]:
    """Send a form that goes on and on; return the status of its refusal, and how much of it was read (bytes)."""
    sent = 0

    async def receive() -> dict[str, Any]:
        nonlocal sent
        body = chunk if sent else begun
        sent += len(body)
        assert sent < 64 * 1024 * 1024, "it is read on and on"
        return {"type": "http.request", "body": body, "more_body": True}

    headers = [(b"content-type", f"multipart/form-data; boundary={BOUNDARY}".encode())]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers, "app": SimpleNamespace()}
    with pytest.raises(HttpProblem) as refused:
        await receive_upload(Request(scope, receive), into=tmp_path / "uploads", limit=limit)
    return refused.value.status, sent


@pytest.mark.parametrize("name", ["", " ", "\t "])
async def test_a_file_without_a_name_is_refused_before_it_is_read(tmp_path: Path, name: str) -> None:
    begun = parts(f'name="file"; filename="{name}"')[:-2]

    assert await refusal(tmp_path, begun, b"a" * 65_536, 1 << 30) == (422, len(begun))


@pytest.mark.parametrize(
    "part", ['name="file"; filename=""', 'name="set"', 'name=""', "x", "name=\"file\"; filename*=UTF-8''a.csv"]
)
async def test_endless_empty_parts_are_counted(tmp_path: Path, part: str) -> None:
    status, read = await refusal(tmp_path, parts(part), parts(part), 1 << 30)

    assert status in {413, 422}
    assert read < 100_000


async def test_what_follows_the_end_of_the_form_is_limited(tmp_path: Path) -> None:
    begun = form(b"email\n", [])

    status, read = await refusal(tmp_path, begun, b"a" * 65_536, 1024 * 1024)

    assert status == 413
    assert read < 3 * 1024 * 1024
