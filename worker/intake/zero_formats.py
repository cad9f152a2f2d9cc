"""Number formats that show leading zeros, such as 00000000 or 00" "00."""

from __future__ import annotations

import re

#: Zeros alone, parted by nothing but literals.
_ZERO_FORMAT = re.compile(r'(?:0|\\.|"[^"]*"|[-\s/()])+')
_LITERAL = re.compile(r'\\(.)|"([^"]*)"|(0)|([-\s/()])')
_LEAST_ZEROS = 2


def shows_zeros(code: str) -> bool:
    """Tell whether a number format shows leading zeros, and nothing that we could not show likewise."""
    return _ZERO_FORMAT.fullmatch(code) is not None and _zeros(code) >= _LEAST_ZEROS


def _zeros(code: str) -> int:
    return sum(found[3] is not None for found in _LITERAL.finditer(code))


def with_zeros(number: int, code: str) -> str:
    """Show a number as a format of zeros and literals does."""
    digits = iter(str(abs(number)).zfill(_zeros(code)))
    surplus = len(str(abs(number))) - _zeros(code)
    text = "".join(next(digits) for _ in range(surplus))
    for found in _LITERAL.finditer(code):
        text += next(digits) if found[3] else found[1] or found[2] or found[4] or ""
    return f"-{text}" if number < 0 else text
