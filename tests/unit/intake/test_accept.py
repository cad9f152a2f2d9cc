import pytest

from worker.errors import MissingColumns, UnreadableRoster
from worker.intake.accept import open_with_options
from worker.intake.options import Options


@pytest.mark.parametrize(
    ("text", "error"),
    [("Delegate;Lunch\nAnn;yes\n", MissingColumns), ("email;email\na@x.example;b@x.example\n", UnreadableRoster)],
)
def test_what_is_wrong_with_the_headings_names_the_file(tmp_path, text, error):
    path = tmp_path / "stored-copy"
    path.write_text(text)
    with pytest.raises(error, match=r"^people\.csv: (?!people)") as caught:
        open_with_options(path, "people.csv", Options())
    assert type(caught.value) is error
