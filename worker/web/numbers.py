"""Numbers in paths: `{id:number}`. One with more digits than any id has is part of no address (404)."""

from __future__ import annotations

from starlette.convertors import Convertor, register_url_convertor

#: Digits of the largest number in a path; Python itself reads no more than 4,300.
MAX_DIGITS = 20


class _Number(Convertor[int]):
    regex = rf"[0-9]{{1,{MAX_DIGITS}}}"

    def convert(self, value: str) -> int:
        return int(value)

    def to_string(self, value: int) -> str:
        return str(value)


def register() -> None:
    """Let routes have numbers in their paths."""
    register_url_convertor("number", _Number())
