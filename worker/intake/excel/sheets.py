"""Choose the sheet of a workbook: the requested one, or the first visible one with data."""

from __future__ import annotations

from worker.intake.excel.workbook import Workbook


class SheetNotFound(Exception):
    """The requested sheet does not exist, or no visible sheet has data."""


def choose_sheet(workbook: Workbook, wanted: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Return the sheet to read, and the names of the other visible and of the hidden sheets.

    An empty `wanted` requests no particular sheet. Raises SheetNotFound.
    """
    names = [sheet.name for sheet in workbook.sheets]
    visible = {sheet.name for sheet in workbook.sheets if sheet.is_visible}
    chosen = _sheet_named(names, wanted) if wanted else _first_with_data(workbook, names, visible)
    others = [name for name in names if name != chosen]
    return (
        chosen,
        tuple(name for name in others if name in visible),
        tuple(name for name in others if name not in visible),
    )


def _sheet_named(names: list[str], wanted: str) -> str:
    found = [name for name in names if name == wanted] or [
        name for name in names if name.strip().casefold() == wanted.strip().casefold()
    ]
    if not found:
        listed = ", ".join(f'"{name}"' for name in names) or "none"
        raise SheetNotFound(
            f'there is no sheet "{wanted}"; the workbook has {listed}. Give one of them with --sheet'
        )
    return found[0]


def _first_with_data(workbook: Workbook, names: list[str], visible: set[str]) -> str:
    for name in names:
        if name in visible and workbook.has_data(name):
            return name
    hidden = ", ".join(f'"{name}"' for name in names if name not in visible)
    raise SheetNotFound(
        f"no visible sheet has data; the hidden ones are {hidden}: unhide one, or give one with --sheet"
        if hidden
        else "the workbook has no data"
    )
