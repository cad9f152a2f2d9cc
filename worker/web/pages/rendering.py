"""Templates → pages: what every page shows, and how numbers, times and durations read."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from worker.web.pages.labels import column_label, for_the_page

if TYPE_CHECKING:
    from starlette.requests import Request

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
#: Below this a duration is told in seconds, minutes or hours; above it in the next larger unit.
_TWICE = 2


def number(value: float) -> str:
    """Return a whole number with thousands separators."""
    return f"{value:,.0f}"


def counted(count: int, one: str, many: str = "") -> str:
    """Return a count with its noun: `1 row`, `1,204 rows`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def when(at: float | datetime | None, otherwise: str = "") -> Markup | str:
    """Return a time that the page's script turns into the browser's zone; in UTC without it."""
    if at is None:
        return otherwise
    moment = at.astimezone(UTC) if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC)
    stamp = moment.isoformat(timespec="seconds").replace("+00:00", "Z")
    return Markup('<time datetime="{}">{}</time>').format(stamp, f"{moment:%d %b %Y, %H:%M} UTC")


def duration(seconds: float | None, otherwise: str = "") -> str:
    """Return a duration as people say it: `40 seconds`, `12 minutes`, `3 hours`."""
    if seconds is None:
        return otherwise
    if seconds < 1:
        return "less than a second"
    for unit, name in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        if seconds >= _TWICE * unit:
            return counted(round(seconds / unit), name)
    return counted(round(seconds), "second")


def ticked(text: str) -> Markup:
    """Return a sentence with its `words in ticks` set apart."""
    pieces = text.split("`")
    marked = (Markup("<code>{}</code>") if at % 2 else Markup("{}") for at in range(len(pieces)))
    return Markup().join(mark.format(piece) for mark, piece in zip(marked, pieces, strict=True))


def _environment() -> Environment:
    folder = Path(__file__).parent.parent / "templates"
    made = Environment(
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
        "plain": for_the_page,
        "counted": counted,
        "column_label": column_label,
        "ticked": ticked,
    }
    return made


_TEMPLATES = _environment()


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a page."""
    services = request.app.state.services
    who = getattr(request.state, "who", None)
    serve = getattr(services.settings, "serve", None)
    text = _TEMPLATES.get_template(template).render(
        path=request.url.path,
        who=who,
        csrf=getattr(who, "csrf", ""),
        flower_url=getattr(serve, "flower_url", ""),
        **values,
    )
    return HTMLResponse(text, status_code=status, headers={"Cache-Control": "no-store"})
