import pytest

from worker.errors import UnreadableRoster, UsageError
from worker.intake.accept import open_with_options
from worker.intake.options import Options

TITLED = "Spring intake 2026,,,\n,,,\nStaff no,Given,Family,E-mail\nA-1,Ana,Alpha,ana@x.example\n"


@pytest.fixture
def understand(tmp_path):
    def open_text(text, **options):
        path = tmp_path / "stored-copy"
        path.write_text(text)
        return open_with_options(path, "people.csv", Options(**options))

    return open_text


def test_below_a_title_one_heading_that_identifies_people_is_enough(understand):
    file, headings = understand(TITLED)
    assert (file.heading_row, headings.columns) == (3, (None, None, None, "email"))


def test_mapped_headings_are_looked_for_below_a_title(understand):
    text = TITLED.replace("E-mail", "Wohin")
    file, headings = understand(text, mapping={"Staff no": "external_id", "Given": "first_name"})
    assert (file.heading_row, headings.columns) == (3, ("external_id", "first_name", None, None))


def test_a_person_can_say_which_row_has_the_headings(understand):
    text = "email,first_name\nKontakt,Rufname\nana@x.example,Ana\n"
    file, headings = understand(text, heading_row=2, mapping={"Kontakt": "email"})
    assert (file.headings, headings.columns) == (("Kontakt", "Rufname"), ("email", None))
    assert [row.row for row in file.rows()] == [3]


@pytest.mark.parametrize(("row", "message"), [(2, "row 2 of people.csv is empty"), (9, "row 9"), (0, "1 or more")])
def test_a_heading_row_without_headings_is_refused(understand, row, message):
    with pytest.raises(UsageError, match=f"--heading-row.*{message}"):
        understand("email,first_name\n,\na@x.example,Ana\n", heading_row=row)


@pytest.mark.parametrize(
    ("lines", "names", "columns"),
    [
        (
            "Email,Name,\n,First name,Last name",
            ["Email", "First name", "Last name"],
            ["email", "first_name", "last_name"],
        ),
        (
            "Person,,,Course ID\nEmail,First name,Last name,",
            None,
            ["email", "first_name", "last_name", "course_id"],
        ),
        ("Email,Course,\n,ID,Room", ["Email", "Course ID", "Course Room"], ["email", "course_id", None]),
        ("Email,Student,Parent\n,First name,First name", None, ["email", "first_name", None]),
        ("Email,Name,Name\nEmail,First name,Last name", None, ["email", "first_name", "last_name"]),
        (
            "Email,Student,Student,Parent,Parent\nEmail,First name,Age,First name,Age",
            ["Email", "First name", "Age", "Parent First name", "Parent Age"],
            ["email", "first_name", None, None, None],
        ),
        ("E-mail,Date of\n,birth", ["E-mail", "Date of birth"], ["email", "date_of_birth"]),
    ],
    ids=[
        *("a group", "headings above", "only together known", "the group of another person"),
        *("merged cells repeated", "a heading twice", "a broken line"),
    ],
)
def test_headings_on_two_lines_are_joined(understand, lines, names, columns):
    file, headings = understand(f"{lines}\na@x.example,x,y,z\n")
    assert list(headings.columns) == columns
    assert names is None or list(file.headings) == names
    assert (file.heading_row, [row.row for row in file.rows()]) == (2, [3])


def test_headings_on_two_lines_that_nobody_knows_can_be_mapped_by_both(understand):
    _, headings = understand(
        "Email,Mitarbeiter,\n,Vor,Nach\na@x.example,Ana,Alpha\n",
        mapping={"Mitarbeiter Vor": "first_name", "Mitarbeiter Nach": "last_name"},
    )
    assert headings.columns == ("email", "first_name", "last_name")


@pytest.mark.parametrize("row", ["a@x.example,City,Login", ",login,city", ",x,x", "login,city,email"])
def test_a_row_of_people_is_never_joined_to_its_headings(understand, row):
    file, _ = understand(f"email,first_name,last_name\n{row}\n")
    assert (file.heading_row, file.headings) == (1, ("email", "first_name", "last_name"))


def test_a_file_without_rows_is_refused(understand):
    with pytest.raises(UnreadableRoster, match="has no rows"):
        understand("\n\n")
