"""Calls of Moodle's web services over REST: form fields as PHP reads them, the control fields first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from worker.errors import Refused
from worker.lms.contract import CALL_TOO_LARGE
from worker.lms.moodle.errors import check_answer

if TYPE_CHECKING:
    from worker.lms.contract import Intent
    from worker.lms.http import LmsClient
    from worker.lms.responses import LmsResponse

PATH = "/webservice/rest/server.php"
#: wstoken, wsfunction and moodlewsrestformat count like every other field.
CONTROL_FIELDS = 3
#: No call needs more fields than these, whatever the server accepts.
MOST_FIELDS = 5000
#: Under which name a session keeps how many fields arrive.
_ARRIVING = "form fields"
MAX_DIGITS = 19


def form_fields(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield nested mappings and sequences as fields: `users[0][email]`; true is `1`."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from form_fields(part, f"{name}[{key}]" if name else str(key))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for place, part in enumerate(value):
            yield from form_fields(part, f"{name}[{place}]")
    else:
        yield name, str(int(value)) if isinstance(value, bool) else str(value)


def is_number(text: str) -> bool:
    """Return whether an ID can be one of the site's: PHP knows whole numbers up to 19 digits."""
    return text.isascii() and text.isdecimal() and len(text) < MAX_DIGITS


def count_fields(value: Any) -> int:
    """Return how many form fields a value takes."""
    return sum(1 for _ in form_fields(value))


@dataclass(slots=True)
class Api:
    """The web services of one site, as one account."""

    client: LmsClient
    token: str
    #: PHP's max_input_vars, as stated or as it was measured: PHP drops the fields after these in silence.
    fields_per_call: int

    #: What the connection says, as far as any call needs it.
    stated_fields: int = field(init=False)

    def __post_init__(self) -> None:
        self.fields_per_call = self.stated_fields = min(self.fields_per_call, MOST_FIELDS)

    def recall_limit(self) -> None:
        """Send no more fields in a call than an earlier job of this process has seen arrive."""
        self.fields_per_call = self.client.session.measured.get(_ARRIVING, self.fields_per_call)

    def limit_fields(self, arriving: int) -> None:
        """Send no more fields than these in a call, here and in later jobs of this process."""
        self.fields_per_call = self.client.session.measured[_ARRIVING] = arriving

    def most_items(self, fields_each: int, *, besides: int = 0) -> int:
        """Return how many items of this number of fields each fit into one call, `besides` others; at least one."""
        return max(1, (self.fields_per_call - CONTROL_FIELDS - besides) // max(1, fields_each))

    async def read(self, operation: str, function: str, arguments: Mapping[str, Any]) -> LmsResponse:
        """Call a function that changes nothing."""
        return await self.client.read_form(operation, PATH, self._form(function, arguments), check=check_answer)

    async def change(
        self,
        operation: str,
        function: str,
        arguments: Mapping[str, Any],
        intent: Intent,
        *,
        completes_rows: bool = False,
    ) -> LmsResponse:
        """Call a function that changes something."""
        return await self.client.change_form(
            operation,
            PATH,
            self._form(function, arguments),
            intent,
            check=check_answer,
            completes_rows=completes_rows,
        )

    def _form(self, function: str, arguments: Mapping[str, Any]) -> list[tuple[str, str]]:
        control = {"wstoken": self.token, "wsfunction": function, "moodlewsrestformat": "json"}
        form = [*control.items(), *form_fields(arguments)]
        if len(form) > self.fields_per_call:
            message = (
                f"A call of {len(form)} form fields is too large: {self.fields_per_call} arrive; raise "
                "max_input_vars of the server, and fields_per_call"
            )
            raise Refused(CALL_TOO_LARGE, None, message)
        return form
