"""Texts are plain, modern English: some words that nobody searches for are held out of them."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parsing import parse

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = [ROOT / "worker", ROOT / "tasks"]
#: Each with the word to write in its place.
PLAIN = {
    r"mend(s|ed|ing)?": "fix",
    r"parted": "separated",
    r"(is|are|was|be) taken for": "match, import as",
    r"who(m|so)?ever": "the person who, any process",
    r"of whom": "whose, that",
    r"(at most )?so many": "up to N",
    r"(is|are|was|were|been|be|not)? ?told": "reported, said",
    r"stands?": "is",
    r"dropped": "uploaded (a drop folder and drag and drop stay)",
    r"anew": "again",
}
HELD_OUT = re.compile(r"\b(" + "|".join(PLAIN) + r")\b", re.IGNORECASE)
#: Identifiers are names, not prose.
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def found_in(text: str) -> list[str]:
    """Return the held-out words of a text, its code left out."""
    return sorted({match.group().lower().strip() for match in HELD_OUT.finditer(CODE.sub(" ", text))})


def prose_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the texts of a module: docstrings, messages and comments, each with its line."""
    source = path.read_text("utf-8")
    for node in ast.walk(parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def modules() -> list[Path]:
    """Return the modules, without the migrations: they name tables and columns as they once were."""
    return sorted(path for folder in PRODUCT for path in folder.rglob("*.py") if "migrations" not in path.parts)


def pages() -> list[Path]:
    templates = (ROOT / "worker").rglob("*.html")
    docs = [
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        ROOT / "samples" / "README.md",
    ]
    return sorted({*templates, *docs})


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_the_messages_docstrings_and_comments_of_a_module_use_plain_words(path: Path) -> None:
    held_out = {f"{name_of(path)}:{line}": words for line, text in prose_of(path) if (words := found_in(text))}
    assert held_out == {}


@pytest.mark.parametrize("path", pages(), ids=name_of)
def test_a_page_of_the_documentation_or_of_the_web_uses_plain_words(path: Path) -> None:
    lines = CODE.sub(lambda match: "\n" * match.group().count("\n"), path.read_text("utf-8")).splitlines()
    held_out = {
        f"{name_of(path)}:{number}": words for number, line in enumerate(lines, 1) if (words := found_in(line))
    }
    assert held_out == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Mend the roster", ["mend"]),
        ("cells parted by comma", ["parted"]),
        ("tell whoever runs it", ["whoever"]),
        ("it stands in the drop folder", ["stands"]),
        ("the file was dropped", ["dropped"]),
        ("drag and drop a file; `dropped_file`; a standard; recommend; amended", []),
    ],
)
def test_held_out_words_are_found_and_others_are_not(text: str, words: list[str]) -> None:
    assert found_in(text) == words
