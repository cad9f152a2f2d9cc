"""Schedules and drop folders as sources of rosters: what is wrong with each, for the pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.ledger import sources
from worker.reports.source_labels import problem_label, problem_remedy

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.ledger.sources import RosterSource


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemView:
    """What is wrong with a schedule or a drop folder."""

    #: `Schedule nightly`.
    label: str
    problem: str
    reason: str
    remedy: str
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderView:
    """A drop folder."""

    name: str
    path: str
    connection: str
    expect_by: str
    last_file_at: float | None = None
    problem: ProblemView | None = None


def problem_view(source: RosterSource | None) -> ProblemView | None:
    """Return what is wrong with a source; None when nothing is."""
    if source is None or source.problem is None:
        return None
    return ProblemView(
        label=source.label[:1].upper() + source.label[1:],
        problem=problem_label(source.problem, is_folder=source.is_folder),
        reason=source.reason,
        remedy=problem_remedy(source.problem, is_folder=source.is_folder),
        since=source.since or 0.0,
    )


def open_problems(services: Services) -> list[ProblemView]:
    """Return what is wrong with the schedules and drop folders, by name."""
    with services.ledger.read() as tx:
        found = sources.in_use(tx, services.settings.folders)
    return [view for view in map(problem_view, found) if view is not None]


def folder_views(services: Services) -> list[FolderView]:
    """Return the drop folders, in the order of roster.toml."""
    with services.ledger.read() as tx:
        known = sources.all_sources(tx)
    views = []
    for folder in services.settings.watched:
        source = known.get(sources.folder_source(folder.name))
        views.append(
            FolderView(
                name=folder.name,
                path=folder.path,
                connection=folder.connection or next(iter(services.settings.connections), ""),
                expect_by=folder.expect_by or "",
                last_file_at=None if source is None else source.seen_at,
                problem=problem_view(source),
            )
        )
    return views
