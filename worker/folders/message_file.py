"""A plain word beside a dropped file that failed, for whoever dropped it. Does not know the ledger."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from worker.folders.archive import WELL
from worker.folders.watch import FAILED
from worker.model import ENDED, JobState
from worker.reports.kinds import MESSAGE, ReportKind, file_name, report_name
from worker.reports.labels import STATE_MEANS, next_steps

if TYPE_CHECKING:
    from pathlib import Path

    from worker.reports.lines import Summary

#: By this line we know our own message again, to replace it or take it away.
_MARK = "A message from Roster about "


def write_message(folder: Path, roster: str, summary: Summary) -> None:
    """Write `<roster>.message.txt` beside a file in `failed/`; take it away when a later try went well."""
    path = folder / f"{report_name(roster)}.{MESSAGE}"
    if folder.name != FAILED or summary.state not in ENDED or not _is_free(path):
        return
    if summary.state in WELL:
        path.unlink(missing_ok=True)
        return
    path.write_text(_text(roster, summary), encoding="utf-8-sig", errors="backslashreplace", newline="\r\n")


def tidy_up(file: Path) -> None:
    """Take the reports away that were written beside a file while its job stood; the file itself has gone on."""
    for kind in ReportKind:
        with suppress(OSError):
            (file.parent / file_name(file.name, kind)).unlink(missing_ok=True)


def _is_free(path: Path) -> bool:
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace").startswith(_MARK)
    except FileNotFoundError:
        return True


def _text(roster: str, summary: Summary) -> str:
    lines = [f"{_MARK}{roster}", "", STATE_MEANS[summary.state]]
    if summary.reason:
        lines.append(summary.reason if summary.reason.endswith((".", "!", "?")) else f"{summary.reason}.")
    lines += [
        "",
        "What to do:",
        *(f"- {step}" for step in next_steps(summary, file_name(roster, ReportKind.FAILED))),
    ]
    if summary.state is JobState.INVALID:
        lines += [
            "- This file is not taken again by itself; drop the mended one where you dropped this one.",
            "- What is called --map, --set, --course, --sheet or --encoding here stands, for dropped files, in",
            "  roster.toml under [folders.NAME].",
        ]
    lines += ["", f"(job {summary.job}; `roster status {summary.job}` tells more)"]
    return "\n".join(lines) + "\n"
