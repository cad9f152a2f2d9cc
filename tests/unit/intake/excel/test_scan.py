import subprocess
import sys
import zipfile

import openpyxl
import pytest

from worker.intake.excel.scan import ScanResult, scan_workbook


@pytest.fixture
def scan_part(tmp_path):
    def write_and_scan(part, xml):
        path = tmp_path / "roster.xlsx"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(part, xml)
        return scan_workbook(path)

    return write_and_scan


@pytest.mark.parametrize(
    ("cell", "seen"),
    [
        ('<c r="A1" t="e"><v>#N/A</v></c>', ScanResult(hidden_content=True)),
        ("<x:c t = 'e'><x:v>#N/A</x:v></x:c>", ScanResult(hidden_content=True)),
        ('<c r="A1"><f>B1</f></c>', ScanResult(missing_values=True)),
        ('<c r="A1"><f>B1</f><v/></c>', ScanResult(missing_values=True)),
        ('<c r="A1" t="b"><f>B1&gt;2</f> <v> </v></c>', ScanResult(missing_values=True)),
        ('<c r="A1" s="2"><f t="shared" si="0"/></c>', ScanResult(missing_values=True)),
        ('<c r="A1"><f t="shared" si="0"/><v></v></c>', ScanResult(missing_values=True)),
        ("<x:c><x:f>B1</x:f><x:v></x:v></x:c>", ScanResult(missing_values=True)),
        ('<c r="A1" t="str"><f>B1</f><v></v></c>', ScanResult()),
        ('<c r="A1" t="str"><f>B1</f><v></v></c><c r="B1"><f>A1</f></c>', ScanResult(missing_values=True)),
        ('<c r="A1"><f>B1</f><v>1</v></c><c r="B1" s="1"/>', ScanResult()),
        ('<c r="A1"><v/></c><c r="B1" t="inlineStr"><is/></c>', ScanResult()),
    ],
)
def test_errors_and_formulas_without_value_are_seen(scan_part, cell, seen):
    assert scan_part("xl/worksheets/sheet1.xml", f"<row>{cell}</row>") == seen


def test_a_formula_is_seen_wherever_a_piece_of_the_part_ends(scan_part):
    cell = f'<c r="A1"><f>{"A1+" * 2000}1</f><v></v></c>'
    for before in range(2**20 - len(cell) - 2, 2**20 + 2, 97):
        assert scan_part("xl/worksheets/sheet1.xml", " " * before + cell + " " * 2**10).missing_values


@pytest.mark.parametrize(
    ("style", "unseen"),
    [
        ('formatCode="00000000"', True),
        ("formatCode='00&quot; &quot;00'", True),
        (r'formatCode="000\-00\-000;General"', True),
        ('formatCode="[$-409]00000"', True),
        ('formatCode="#,##0"', True),
        ('formatCode="0%"', True),
        ('formatCode="0.00"', False),
        ('formatCode="0_)"', False),
        ('formatCode="yyyy\\-mm\\-dd"', False),
    ],
)
def test_number_formats_that_change_a_number_are_seen_where_a_cell_has_one(tmp_path, style, unseen):
    for used in ("1", "0"):
        path = tmp_path / "roster.xlsx"
        with zipfile.ZipFile(path, "w") as archive:
            xfs = '<cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="164" applyNumberFormat="1"/></cellXfs>'
            archive.writestr("xl/styles.xml", f'<numFmts><numFmt numFmtId="164" {style}/></numFmts>{xfs}')
            archive.writestr("xl/worksheets/sheet1.xml", f'<row><c r="A1" s="{used}"><v>1</v></c></row>')
        assert scan_workbook(path).hidden_content is (unseen and used == "1")


@pytest.mark.parametrize(
    ("part", "xml", "seen"),
    [
        ("xl/worksheets/sheet1.xml", '<row r="1" hidden="1"></row>', ScanResult(has_layout=True)),
        (
            "xl/worksheets/sheet1.xml",
            '<mergeCells><mergeCell ref="A1:A2"/></mergeCells>',
            ScanResult(has_layout=True),
        ),
        ("xl/workbook.xml", '<definedName hidden="1">x</definedName>', ScanResult()),
        ("xl/workbook.xml", '<workbookPr date1904="1"/>', ScanResult(is_1904=True)),
        (
            "xl/sharedStrings.xml",
            '<sst xml:space="preserve"><si><t>a</t></si></sst>',
            ScanResult(inherited_space=True),
        ),
        ("xl/sharedStrings.xml", '<sst><si><t xml:space="preserve"> a</t></si></sst>', ScanResult()),
    ],
)
def test_hidden_rows_merged_cells_and_inherited_blanks_are_seen(scan_part, part, xml, seen):
    assert scan_part(part, xml) == seen


def test_openpyxl_is_guarded_and_is_not_loaded_before_it_is_needed():
    assert openpyxl.DEFUSEDXML
    code = "import sys, worker.intake.excel.process; sys.exit('openpyxl' in sys.modules)"
    assert subprocess.run([sys.executable, "-I", "-c", code], check=False).returncode == 0
