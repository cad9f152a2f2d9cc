"""What is wrong with a source of rosters, and what to do: the one table, for page, command line and messages."""

from __future__ import annotations

from dataclasses import dataclass

from worker.ledger.sources import SourceProblem


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemInfo:
    """How a problem is shown: of a schedule, and of a drop folder."""

    label: str
    remedy: str
    folder_label: str = ""
    folder_remedy: str = ""


SOURCE_PROBLEM_INFO = {
    SourceProblem.MISSING: ProblemInfo(
        label="no roster found",
        remedy="Put the roster there; the next run imports it.",
        folder_label="the folder is not there",
        folder_remedy="Mount the share again, or create the folder. Its files are imported when it is back.",
    ),
    SourceProblem.UNREADABLE: ProblemInfo(
        label="the roster cannot be read",
        remedy="Check the address, the password and the rights of the source; the next run tries again.",
        folder_label="the folder cannot be read",
        folder_remedy="Check the share and the rights of the account that runs Roster.",
    ),
    SourceProblem.NOT_WRITABLE: ProblemInfo(
        label="files cannot be moved",
        remedy="Check the rights of the account that runs Roster.",
        folder_label="files cannot be moved",
        folder_remedy="Give the account that runs Roster the right to write there. Until then no file is imported.",
    ),
    SourceProblem.NOT_IMPORTED: ProblemInfo(
        label="the roster was not imported",
        remedy="Fix that; the next run tries again.",
        folder_label="files are not imported",
        folder_remedy="Fix that; the file is then imported without further action.",
    ),
    SourceProblem.MISSED: ProblemInfo(
        label="a run was missed",
        remedy="Check why Roster was not running. The next run imports the roster.",
    ),
    SourceProblem.UNCHANGED: ProblemInfo(
        label="no new roster",
        remedy="Check whether the export or the upload of the roster has failed. The old roster was imported "
        "again; nobody is registered twice.",
    ),
    SourceProblem.LATE: ProblemInfo(
        label="no new roster in time",
        remedy="Ask those who send the roster. When it comes, the next run imports it.",
        folder_label="no new roster in time",
        folder_remedy="Ask those who send the roster. When it comes, it is imported.",
    ),
}


def problem_label(problem: SourceProblem, *, is_folder: bool) -> str:
    """Return a problem in a few words: `no roster found`."""
    info = SOURCE_PROBLEM_INFO[problem]
    return (is_folder and info.folder_label) or info.label


def problem_remedy(problem: SourceProblem, *, is_folder: bool) -> str:
    """Return what to do about a problem, as sentences."""
    info = SOURCE_PROBLEM_INFO[problem]
    return (is_folder and info.folder_remedy) or info.remedy
