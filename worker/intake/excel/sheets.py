"""Choose the sheet of a workbook: the requested one, or the first visible one with data."""

from __future__ import annotations

from python_calamine import CalamineSheet, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

from worker.intake.excel.cells import format_cell
from worker.intake.text import is_blank


class SheetNotFound(Exception):
    """The requested sheet does not exist, or no visible sheet has data."""


def choose_sheet(workbook: CalamineWorkbook, wanted: str) -> tuple[CalamineSheet, tuple[str, ...], tuple[str, ...]]:
    """Return the sheet to read, and the names of the other visible and of the hidden sheets.

    An empty `wanted` requests no particular sheet. Raises SheetNotFound.
    """
    names = [item.name for item in workbook.sheets_metadata if item.typ is SheetTypeEnum.WorkSheet]
    visible = {item.name for item in workbook.sheets_metadata if item.visible is SheetVisibleEnum.Visible}
    sheet = _sheet_named(workbook, names, wanted) if wanted else _first_with_data(workbook, names, visible)
    others = [name for name in names if name != sheet.name]
    return (
        sheet,
        tuple(name for name in others if name in visible),
        tuple(name for name in others if name not in visible),
    )


def _sheet_named(workbook: CalamineWorkbook, names: list[str], wanted: str) -> CalamineSheet:
    found = [name for name in names if name == wanted] or [
        name for name in names if name.strip().casefold() == wanted.strip().casefold()
    ]
    if not found:
        listed = ", ".join(f'"{name}"' for name in names) or "none"
        raise SheetNotFound(
            f'there is no sheet "{wanted}"; the workbook has {listed}. Give one of them with --sheet'
        )
    return workbook.get_sheet_by_name(found[0])


def _first_with_data(workbook: CalamineWorkbook, names: list[str], visible: set[str]) -> CalamineSheet:
    for name in names:
        sheet = workbook.get_sheet_by_name(name) if name in visible else None
        if sheet and any(not is_blank(format_cell(value)[0]) for row in sheet.iter_rows() for value in row):
            return sheet
    hidden = ", ".join(f'"{name}"' for name in names if name not in visible)
    raise SheetNotFound(
        f"no visible sheet has data; the hidden ones are {hidden}: unhide one, or give one with --sheet"
        if hidden
        else "the workbook has no data"
    )
