"""The texts of a message about a roster that does not come, or comes again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.reports.lines import local_text
from worker.reports.source_labels import problem_label, problem_remedy
from worker.settings import Event

if TYPE_CHECKING:
    from worker.notifications.sources import SourceContent

_ONCE = "This message is sent once. Another one follows when the problem is over."


def subject(event: Event, content: SourceContent) -> str:
    """Return the subject line, without the product's name."""
    if event is Event.SOURCE_WELL:
        return f"{content.label} works again"
    return f"{content.label}: {problem_label(content.problem, is_folder=content.is_folder)}"


def paragraphs(event: Event, content: SourceContent, connection: str) -> list[str]:
    """Return the body: what is so, since when, and what to do."""
    since = local_text(content.since, content.zone)
    what = f"{_capital(content.label)} (to {connection})"
    label = problem_label(content.problem, is_folder=content.is_folder)
    if event is Event.SOURCE_WELL:
        was = f"The problem was: {label}. {_sentence(content.reason)} It began on {since}."
        return [f"{what} works again.", was, _next_run(content)]
    remedy = problem_remedy(content.problem, is_folder=content.is_folder)
    why = f"{_sentence(content.reason)} This began on {since}."
    return [f"{what}: {label}.", why, remedy, _next_run(content), _ONCE]


def _next_run(content: SourceContent) -> str:
    return "" if content.next_at is None else f"The next run is at {local_text(content.next_at, content.zone)}."


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
