"""How many guesses a password takes of somebody who tries common words, patterns, years and the name first."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import pairwise

#: Guesses are counted in bits: 30 are a billion guesses, centuries at the pace that `guessing` allows.
MIN_BITS = 30.0
#: A character that belongs to no word or pattern counts as one of ten.
BITS_PER_CHARACTER = math.log2(10)
#: What it takes to choose the kind of the next part: a word, a sequence, a year, …
_BITS_PER_PART = 1.0
_PERSONAL_BITS, _SEQUENCE_BITS, _REPEAT_BITS, _YEAR_BITS, _DATE_BITS = 1.0, 5.0, 2.0, 6.0, 14.0
#: Further characters only make it harder.
MAX_LENGTH = 100
MAX_WORD, MIN_SEQUENCE = 40, 3
#: Words that belong to the product, and so are the first to be tried here.
OWN_WORDS = ("roster", "tahdah", "kmi", "moodle", "lms")
_SEQUENCES = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop",
    "qwertzuiop",
    "azertyuiop",
    "asdfghjkl",
    "qsdfghjklm",
    "zxcvbnm",
    "yxcvbnm",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "zaq1xsw2cde3vfr4bgt5nhy6mju7ki8lo9p0",
    "qazwsxedcrfvtgbyhnujmikolp",
    "1q2w3e4r5t6y7u8i9o0p",
    "q1w2e3r4t5y6u7i8o9p0",
    "!@#$%^&*()",
    '!"§$%&/()',
)
_LOOK_ALIKES = str.maketrans(
    {"@": "a", "4": "a", "8": "b", "3": "e", "1": "i", "!": "i", "|": "i", "0": "o"}
    | {"5": "s", "$": "s", "7": "t"}
)
_YEAR = re.compile(r"(?:19|20)[0-9]{2}")
_DATE = re.compile(r"[0-9]{1,4}[-./ ]?[0-9]{1,2}[-./ ]?[0-9]{2,4}")


def is_guessable(password: str, personal: Sequence[str] = ()) -> bool:
    """Return whether a password is a common one, or takes few guesses; `personal` are words such as the name."""
    folded = password.casefold()[:MAX_LENGTH]
    return _compact(folded) in _common_words() or bits_of(folded, personal) < MIN_BITS


def bits_of(password: str, personal: Sequence[str] = ()) -> float:
    """Return the logarithm to base 2 of the guesses for a folded password, taken apart in the cheapest way."""
    own = dict.fromkeys(_parts_of(personal), _PERSONAL_BITS)
    cheapest = [0.0] + [math.inf] * len(password)
    variants = {password, password.translate(_LOOK_ALIKES), password.translate(_LOOK_ALIKES).replace("i", "l")}
    for start in range(len(password)):
        here = cheapest[start]
        cheapest[start + 1] = min(cheapest[start + 1], here + BITS_PER_CHARACTER)
        for end, bits in _parts_at(password, start, variants, own):
            cheapest[end] = min(cheapest[end], here + bits + _BITS_PER_PART)
    return cheapest[-1]


def _parts_at(
    password: str, start: int, variants: set[str], own: Mapping[str, float]
) -> Iterator[tuple[int, float]]:
    """Yield the ends and bits of the words and patterns that begin at a place."""
    common = _common_words()
    for end in range(start + 2, min(len(password), start + MAX_WORD) + 1):
        for text in variants:
            part = text[start:end]
            bits = own.get(part, common.get(part))
            if bits is not None:
                yield end, bits
    for end in range(start + MIN_SEQUENCE, len(password) + 1):
        if not _is_sequence(password[start:end]):
            break
        yield end, _SEQUENCE_BITS
    # The same again: one character, or a block of them.
    for length in range(1, min(start, len(password) - start) + 1):
        if password[start - length : start] == password[start : start + length]:
            yield start + length, _REPEAT_BITS
    for pattern, bits in ((_YEAR, _YEAR_BITS), (_DATE, _DATE_BITS)):
        if match := pattern.match(password, start):
            yield match.end(), bits


def _is_sequence(text: str) -> bool:
    steps = {ord(after) - ord(before) for before, after in pairwise(text)}
    is_regular = len(steps) == 1 and steps <= {1, -1, 2, -2}
    return is_regular or any(text in each or text[::-1] in each for each in _SEQUENCES)


def _parts_of(personal: Sequence[str]) -> set[str]:
    """Return the personal words, their parts and their mirror images."""
    words = {word.casefold() for word in (*personal, *OWN_WORDS)}
    parts = {part for word in words for part in (word, _compact(word), *re.split(r"[\W_0-9]+", word))}
    return {part for each in parts for part in (each, each[::-1]) if len(each) > 1}


def _compact(text: str) -> str:
    return re.sub(r"[\s_.-]+", "", text)


@cache
def _common_words() -> dict[str, float]:
    """Return the common passwords, folded, with the bits that it takes to guess each among them."""
    text = files("worker.accounts").joinpath("common_passwords.txt").read_text("utf-8")
    words = [line for line in text.splitlines() if line and not line.startswith("# ")]
    return {word: math.log2(rank) for rank, word in enumerate(words, start=2)}
