"""Display numbers as a spreadsheet does, for the part of the number format language that ids use.

ECMA-376 Part 1, 18.8.31: sections, conditions, digit placeholders, literals, grouping, percent. A section that
shows something else (a fraction, a date, other digits) is not known, nor is one that shows fewer digits than the
number has; dates are read as dates. Separators are the English ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from typing import NamedTuple

_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"|\\(?P<escaped>.)|_(?P<space>.)|\*(?P<fill>.)|\[(?P<bracket>[^\]]*)\]'
    r"|(?P<general>General|Standard)|(?P<exponent>[Ee][+-])|(?P<digit>[0#?])|(?P<point>\.)|(?P<comma>,)|(?P<percent>%)"
    r"|(?P<text>@)|(?P<literal>[-$+(): !^&'~{}<>=\u00a0-\uffff])|(?P<semicolon>;)",
    re.IGNORECASE | re.DOTALL,
)
_COLOUR = re.compile(r"black|blue|cyan|green|magenta|red|white|yellow|color ?\d+", re.IGNORECASE)
_CONDITION = re.compile(r"(<=|>=|<>|<|>|=)\s*(-?\d+(?:\.\d+)?)")
_CURRENCY = re.compile(r"\$([^-]*)(?:-[0-9A-Fa-f]{1,8})?")
#: System dates and times, such as [$-F800].
_SYSTEM_FORMAT = re.compile(r"\$-F[48]00", re.IGNORECASE)
_COMPARE = {
    "<=": Decimal.__le__,
    ">=": Decimal.__ge__,
    "<>": Decimal.__ne__,
    "<": Decimal.__lt__,
    ">": Decimal.__gt__,
    "=": Decimal.__eq__,
}
#: Under these an id is the same number, and a score too; they are too common to read a workbook twice for them.
_DECIMALS_ONLY = re.compile(r"0\.0+")
_PROBES = (0, 7, 1234567, -7)
_ELAPSED = re.compile(r"\[(?:h+|m+|s+)\]", re.IGNORECASE)
_NOT_CODE = re.compile(r'"[^"]*"?|\\.|_.|\*.|\[[^\]]*\]|General|Standard|[Ee][+-]', re.IGNORECASE | re.DOTALL)
_DATE_LETTERS = re.compile(r"[ymdhs]", re.IGNORECASE)
#: A spreadsheet shows a number with no more digits.
_DIGITS = 15
_GROUP = 3
_MAX_NUMBER_SECTIONS = 3
#: The formats that a workbook names by number only (ECMA-376 Part 1, 18.8.30), in English.
BUILTIN_FORMATS = {
    1: "0",
    2: "0.00",
    3: "#,##0",
    4: "#,##0.00",
    5: '"$"#,##0_);("$"#,##0)',
    6: '"$"#,##0_);[Red]("$"#,##0)',
    7: '"$"#,##0.00_);("$"#,##0.00)',
    8: '"$"#,##0.00_);[Red]("$"#,##0.00)',
    9: "0%",
    10: "0.00%",
    11: "0.00E+00",
    12: "# ?/?",
    13: "# ??/??",
    37: "#,##0_);(#,##0)",
    38: "#,##0_);[Red](#,##0)",
    39: "#,##0.00_);(#,##0.00)",
    40: "#,##0.00_);[Red](#,##0.00)",
    41: '_(* #,##0_);_(* (#,##0);_(* "-"_);_(@_)',
    42: '_("$"* #,##0_);_("$"* (#,##0);_("$"* "-"_);_(@_)',
    43: '_(* #,##0.00_);_(* (#,##0.00);_(* "-"??_);_(@_)',
    44: '_("$"* #,##0.00_);_("$"* (#,##0.00);_("$"* "-"??_);_(@_)',
    48: "##0.0E+0",
    49: "@",
}
#: Formats under which whole numbers are shown as under General.
PLAIN_FORMATS = frozenset({"General", "GENERAL", "general", "", "0", "@"})


class _Unknown(Exception):
    """The format is not known, or hides digits of the number."""


class Literal(NamedTuple):
    """A text that is shown as it is."""

    text: str


class Digit(NamedTuple):
    """A digit placeholder: what it shows where the number has no digit."""

    blank: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One section of a format: what is shown before and after the decimal point, and when the section applies."""

    whole: tuple[Literal | Digit, ...] = ()
    decimals: tuple[Literal | Digit, ...] | None = None
    is_general: bool = False
    #: The number is shown in scientific notation, or the section is for texts: it is then shown as under General.
    is_plain: bool = False
    is_grouped: bool = False
    #: Powers of ten by which the number is multiplied.
    scale: int = 0
    condition: tuple[str, Decimal] | None = None

    @property
    def has_digits(self) -> bool:
        """Return whether the section shows the number at all."""
        return self.is_general or any(isinstance(part, Digit) for part in (*self.whole, *(self.decimals or ())))


def general(number: float) -> str:
    """Return a number with all of its digits, up to fifteen."""
    return str(int(number)) if number == int(number) else format(number, f".{_DIGITS}g")


def display_number(number: float, number_format: str) -> str | None:
    """Return what a number format shows of a number; None when the format is not known or hides digits."""
    if number_format in PLAIN_FORMATS:
        return general(number)
    sections = _sections(number_format)
    if sections is None:
        return None
    # Whole numbers go the short way: most ids are.
    is_whole = number == int(number) and not any(section.condition for section in sections)
    value = Decimal(int(number)) if is_whole else Decimal(format(number, f".{_DIGITS}g"))
    try:
        section, sign = _choose(sections, value)
        return general(number) if section.is_plain else sign + _show(section, abs(value), abs(number))
    except _Unknown:
        return None


@cache
def changes_numbers(number_format: str) -> bool:
    """Return whether a format shows some whole number in another way than General; False for one of dates."""
    if number_format in PLAIN_FORMATS or _DECIMALS_ONLY.fullmatch(number_format) or is_date_format(number_format):
        return False
    return any((display_number(probe, number_format) or "?").strip() != general(probe) for probe in _PROBES)


def display_text(text: str, number_format: str) -> str | None:
    """Return what a number format shows of a text; None when the format is not known or hides the text."""
    section = _text_section(number_format)
    if section is None:
        return text
    try:
        shown = "".join(_text_part(token, text) for token in section)
    except _Unknown:
        return None
    return shown if text in shown else None


@cache
def changes_texts(number_format: str) -> bool:
    """Return whether a format shows a text in another way than it is stored; blanks around it do not count."""
    return number_format not in PLAIN_FORMATS and (display_text("x", number_format) or "").strip() != "x"


@cache
def _text_section(number_format: str) -> tuple[re.Match[str], ...] | None:
    """Return the section for texts: the fourth, else the last one if it has an @; None if texts are not changed."""
    try:
        sections = list(_split(number_format))
    except _Unknown:
        return None
    has_text = any(token.lastgroup == "text" for token in sections[-1])
    return tuple(sections[-1]) if len(sections) > _MAX_NUMBER_SECTIONS or has_text else None


def _text_part(token: re.Match[str], text: str) -> str:
    match token.lastgroup:
        case "text" | "general":
            return text
        case "quoted" | "escaped" | "literal":
            return token[token.lastgroup]
        case "space":
            return " "
        case "bracket":
            return _bracket_text(token["bracket"])
        case "fill":
            return ""
        case _:
            raise _Unknown


@cache
def is_date_format(number_format: str) -> bool:
    """Return whether a number under this format is a date, a time or a duration."""
    code = _ELAPSED.sub("h", number_format.split(";", maxsplit=1)[0])
    return bool(_DATE_LETTERS.search(_NOT_CODE.sub("", code)))


@cache
def _sections(number_format: str) -> tuple[Section, ...] | None:
    """Return the sections of a format that are for numbers, or None when one of them is not known."""
    try:
        return tuple(_parse(tokens) for tokens in list(_split(number_format))[:_MAX_NUMBER_SECTIONS])
    except _Unknown:
        return None


def _split(number_format: str) -> Iterator[list[re.Match[str]]]:
    tokens: list[re.Match[str]] = []
    at = 0
    while at < len(number_format):
        token = _TOKEN.match(number_format, at)
        if token is None:
            raise _Unknown
        at = token.end()
        if token.lastgroup == "semicolon":
            yield tokens
            tokens = []
        else:
            tokens.append(token)
    yield tokens


def _parse(tokens: list[re.Match[str]]) -> Section:
    parser = _SectionParser()
    for token in tokens:
        parser.add(token.lastgroup or "", token[token.lastgroup or 0])
    return parser.section()


@dataclass(slots=True)
class _SectionParser:
    """Collects the parts of one section."""

    whole: list[Literal | Digit] = field(default_factory=list)
    decimals: list[Literal | Digit] | None = None
    condition: tuple[str, Decimal] | None = None
    #: Commas since the last digit placeholder.
    commas: int = 0
    scale: int = 0
    is_grouped: bool = False
    is_general: bool = False
    is_plain: bool = False

    def add(self, kind: str, text: str) -> None:
        """Add a token. Raises _Unknown."""
        into = self.whole if self.decimals is None else self.decimals
        match kind:
            case "quoted" | "escaped" | "literal" | "space":
                into.append(Literal(" " if kind == "space" else text))
            case "bracket":
                self.condition = _condition(text) or self.condition
                into.append(Literal(_bracket_text(text)))
            case "percent":
                self.scale += 2
                into.append(Literal(text))
            case "exponent" | "text":
                self.is_plain = True
            case "general":
                self.is_general = True
                into.append(Digit(""))
            case _:
                self._add_digit(kind, text, into)

    def _add_digit(self, kind: str, text: str, into: list[Literal | Digit]) -> None:
        """Add a digit placeholder, the decimal point, or a comma."""
        if kind == "digit":
            # A comma between digits groups them; one after the last digit divides by a thousand.
            self.is_grouped = self.is_grouped or bool(self.commas and self.decimals is None)
            self.commas = 0
            into.append(Digit({"0": "0", "?": " "}.get(text, "")))
        elif kind == "comma":
            self.commas += any(isinstance(part, Digit) for part in into)
        elif kind == "point":
            if self.decimals is not None:
                raise _Unknown
            self.scale, self.commas, self.decimals = self.scale - _GROUP * self.commas, 0, []

    def section(self) -> Section:
        """Return the section."""
        return Section(
            whole=tuple(self.whole),
            decimals=None if self.decimals is None else tuple(self.decimals),
            is_general=self.is_general,
            is_plain=self.is_plain,
            is_grouped=self.is_grouped,
            scale=self.scale - _GROUP * self.commas,
            condition=self.condition,
        )


def _condition(text: str) -> tuple[str, Decimal] | None:
    found = _CONDITION.fullmatch(text)
    return (found[1], Decimal(found[2])) if found else None


def _bracket_text(text: str) -> str:
    """Return what brackets show: a currency, or nothing. Raises _Unknown for other digits and elapsed times."""
    if _COLOUR.fullmatch(text) or _CONDITION.fullmatch(text):
        return ""
    currency = _CURRENCY.fullmatch(text)
    if currency is None or _SYSTEM_FORMAT.match(text):
        raise _Unknown
    return currency[1]


def _choose(sections: tuple[Section, ...], value: Decimal) -> tuple[Section, str]:
    """Return the section for a number, and the sign to show before it."""
    minus = "-" if value < 0 else ""
    if any(section.condition for section in sections):
        return _choose_by_condition(sections, value)
    if len(sections) == 1:
        return sections[0], minus
    if value < 0:
        return sections[1], ""
    return (sections[2], "") if value == 0 and len(sections) > 2 else (sections[0], "")  # noqa: PLR2004


def _choose_by_condition(sections: tuple[Section, ...], value: Decimal) -> tuple[Section, str]:
    if value < 0 or any(section.condition is None for section in sections[:-1]):
        raise _Unknown
    for section in sections:
        if section.condition is None or _COMPARE[section.condition[0]](value, section.condition[1]):
            return section, ""
    raise _Unknown


def _show(section: Section, value: Decimal, number: float) -> str:
    if not section.has_digits:
        return _show_literals(section, value)
    if section.is_general:
        return "".join(general(number) if isinstance(part, Digit) else part.text for part in section.whole)
    if section.decimals is None and not section.scale and number == int(number):
        return _show_whole(section, str(int(number)).lstrip("0"))
    scaled = value.scaleb(section.scale)
    places = sum(isinstance(part, Digit) for part in section.decimals or ())
    rounded = scaled.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)
    if rounded != scaled:
        raise _Unknown
    digits, _, after = format(rounded, "f").partition(".")
    shown = _show_whole(section, digits.lstrip("0"))
    return shown if section.decimals is None else f"{shown}.{_show_decimals(section.decimals, after)}"


def _show_literals(section: Section, value: Decimal) -> str:
    """Return a section without digits, which hides the number, except where only one number has that section."""
    text = "".join(part.text for part in section.whole if isinstance(part, Literal))
    if value and not (section.condition and section.condition[0] == "="):
        raise _Unknown
    return text


def _show_whole(section: Section, digits: str) -> str:
    """Fill the placeholders from the right; digits that are left go before the first one."""
    blanks = [part.blank for part in section.whole if isinstance(part, Digit)]
    surplus = max(len(digits) - len(blanks), 0)
    missing = len(blanks) - len(digits)
    filled = [*blanks[: max(missing, 0)], *digits[surplus:]]
    if filled and surplus:
        filled[0] = digits[:surplus] + filled[0]
    elif surplus:
        return digits + "".join(part.text for part in section.whole if isinstance(part, Literal))
    if section.is_grouped:
        filled = _group(filled)
    places = iter(filled)
    return "".join([part.text if type(part) is Literal else next(places) for part in section.whole])


def _group(filled: list[str]) -> list[str]:
    """Put a comma before every third digit, counted from the right."""
    count, grouped = 0, []
    for shown in reversed(filled):
        text = ""
        for character in reversed(shown):
            is_digit = character.isdigit()
            text = character + ("," if is_digit and count and count % _GROUP == 0 else "") + text
            count += is_digit
        grouped.append(text)
    return grouped[::-1]


def _show_decimals(parts: tuple[Literal | Digit, ...], digits: str) -> str:
    kept = len(digits.rstrip("0"))
    shown, at = [], 0
    for part in parts:
        if isinstance(part, Literal):
            shown.append(part.text)
            continue
        shown.append(digits[at] if at < kept else part.blank)
        at += 1
    return "".join(shown)
