"""Render templates to pages: the values that every page gets, and the format of numbers, times and durations."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from worker.reports.column_labels import column_label
from worker.reports.lines import STAMP
from worker.reports.wording import for_page
from worker.web import notices

if TYPE_CHECKING:
    from starlette.requests import Request

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
#: From this many of a unit on, a duration is shown in that unit.
_MIN_UNITS = 2
#: Rates from here on are shown without decimals.
_WHOLE_FROM = 10


def number(value: float) -> str:
    """Return a whole number with thousands separators."""
    return f"{value:,.0f}"


def count(count: int, one: str, many: str = "") -> str:
    """Return a count with its noun: `1 row`, `1,204 rows`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def when(at: float | datetime | None, otherwise: str = "") -> Markup | str:
    """Return a time in UTC, which the page's script shows in the browser's time zone."""
    if at is None:
        return otherwise
    moment = at.astimezone(UTC) if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC)
    stamp = moment.isoformat(timespec="seconds").replace("+00:00", "Z")
    return Markup('<time datetime="{}">{}</time>').format(stamp, f"{moment:%d %b %Y, %H:%M} UTC")


def with_times(text: str) -> Markup:
    """Return a text with its times, as reports write them, such that the script shows them in the time zone."""
    shown, end = [], 0
    for stamp in STAMP.finditer(text):
        shown += [text[end : stamp.start()], when(datetime.fromisoformat(stamp[0]))]
        end = stamp.end()
    return Markup().join([*shown, text[end:]])


def duration(seconds: float | None, otherwise: str = "") -> str:
    """Return a duration: `under a second`, `40 seconds`, `12 minutes`, `3 hours`."""
    if seconds is None:
        return otherwise
    if seconds < 1:
        return "under a second"
    for unit, name in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        if seconds >= _MIN_UNITS * unit:
            return count(round(seconds / unit), name)
    return count(round(seconds), "second")


def about(seconds: float) -> str:
    """Return an estimated duration: `about 12 minutes`."""
    return duration(seconds) if seconds < 1 else f"about {duration(seconds)}"


def calls_per_time(per_second: float) -> str:
    """Return a rate of calls: `19 calls per second`, `2.5 calls per second`, `6 calls per minute`."""
    value, unit = (per_second, "second") if per_second >= 1 else (per_second * _MINUTE, "minute")
    digits = f"{value:,.0f}" if value >= _WHOLE_FROM else f"{round(value, 1):g}"
    return f"{digits} {'call' if digits == '1' else 'calls'} per {unit}"


def code_spans(text: str) -> Markup:
    """Return a sentence with its `words in backticks` as code."""
    pieces = text.split("`")
    marked = (Markup("<code>{}</code>") if at % 2 else Markup("{}") for at in range(len(pieces)))
    return Markup().join(mark.format(piece) for mark, piece in zip(marked, pieces, strict=True))


def make_environment(folder: Path) -> Environment:
    """Return what renders the templates of a folder, each as it was when it was first used.

    A template of a newer version, installed below a running server, needs values that the running code has not.
    """
    made = Environment(
        auto_reload=False,
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "number": number,
        "when": when,
        "duration": duration,
        "for_page": for_page,
        "with_times": with_times,
        "count": count,
        "column_label": column_label,
        "code_spans": code_spans,
        "about": about,
        "calls_per_time": calls_per_time,
    }
    return made


_TEMPLATES = make_environment(Path(__file__).parent.parent / "templates")


def render_page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a page; it shows the message that an action has left for it, once."""
    services = request.app.state.services
    caller = getattr(request.state, "caller", None)
    serve = getattr(services.settings, "serve", None)
    message = notices.take(request)
    text = _TEMPLATES.get_template(template).render(
        path=request.url.path,
        caller=caller,
        csrf=getattr(caller, "csrf_token", ""),
        flower_url=getattr(serve, "flower_url", ""),
        connection_names=sorted(getattr(services.settings, "connections", {})),
        **{"message": message, **values},
    )
    page = HTMLResponse(text, status_code=status, headers={"Cache-Control": "no-store"})
    if message:
        notices.clear(request, page)
    return page
