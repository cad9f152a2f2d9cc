"""The guard before cells that a spreadsheet would run as a formula: put on on the way out, taken off on the way in.

`guard` is stable (`guard(guard(t)) == guard(t)`), so a failed-rows file that is dropped, reported and dropped again
never gains a second quotation mark.
"""

from __future__ import annotations

import re

GUARD = "'"

#: Blanks that a spreadsheet passes over before it looks for the sign of a formula.
_BLANKS = r"[\s\u00ad\u200b-\u200f\u2060\ufeff]"
_RUNS = re.compile(rf"{_BLANKS}*[=+\-@\uff1d\uff0b\uff0d\uff20]|[ \u00a0]*[\t\r\n]")


def guard(text: str) -> str:
    """Return the text with a `'` before it when a spreadsheet would run it as a formula."""
    return GUARD + text if _RUNS.match(text) else text


def unguard(text: str) -> str:
    """Return the text without the `'` that `guard` puts before a formula; other quotation marks stay."""
    return text[1:] if text.startswith(GUARD) and _RUNS.match(text, 1) else text
