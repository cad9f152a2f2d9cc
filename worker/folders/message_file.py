"""Write a message next to a file in `failed/`, for the person who put it into the drop folder."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from worker.folders.watch import FAILED
from worker.model import JobState
from worker.reports.kinds import MESSAGE, ReportKind, file_name, report_name
from worker.reports.labels import next_steps, state_meaning

if TYPE_CHECKING:
    from pathlib import Path

    from worker.reports.lines import Summary

#: A message file begins with this; any other file of that name is never replaced or removed.
_FIRST_LINE = "A message from Roster about "


def write_message(folder: Path, roster: str, summary: Summary) -> None:
    """Write `<roster>.message.txt` next to a file in `failed/`; remove it when a later run succeeded."""
    path = folder / f"{report_name(roster)}.{MESSAGE}"
    if folder.name != FAILED or not summary.state.has_ended or not _may_write(path):
        return
    if summary.state.went_through:
        path.unlink(missing_ok=True)
        return
    path.write_text(_text(roster, summary), encoding="utf-8-sig", errors="backslashreplace", newline="\r\n")


def remove_reports(file: Path) -> None:
    """Remove the reports that were written next to a file while its job was open; the file has been moved."""
    for kind in ReportKind:
        with suppress(OSError):
            (file.parent / file_name(file.name, kind)).unlink(missing_ok=True)


def _may_write(path: Path) -> bool:
    if path.is_symlink():  # it would be written where the link leads
        return False
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace").startswith(_FIRST_LINE)
    except FileNotFoundError:
        return True


def _text(roster: str, summary: Summary) -> str:
    lines = [f"{_FIRST_LINE}{roster}", "", state_meaning(summary)]
    if summary.reason:
        lines.append(summary.reason if summary.reason.endswith((".", "!", "?")) else f"{summary.reason}.")
    lines += [
        "",
        "What to do:",
        *(f"- {step}" for step in next_steps(summary, file_name(roster, ReportKind.FAILED))),
    ]
    if summary.state is JobState.INVALID:
        lines += [
            "- This file is not imported again by itself. Put the corrected file into the same drop folder.",
            "- For files in a drop folder, the options --map, --set, --course, --sheet, --heading-row,",
            "  --hidden-rows and --encoding are keys of [folders.NAME] in roster.toml.",
        ]
    lines += ["", f"(job {summary.job}; run `roster status {summary.job}` for details)"]
    return "\n".join(lines) + "\n"
