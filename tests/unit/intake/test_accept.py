from types import SimpleNamespace

import pytest

from worker.errors import MissingColumns, UnreadableRoster
from worker.intake.read_in import read_rows_in


@pytest.mark.parametrize(
    ("text", "error"),
    [("Delegate;Lunch\nAnn;yes\n", MissingColumns), ("email;email\na@x.example;b@x.example\n", UnreadableRoster)],
)
def test_what_is_wrong_with_the_headings_names_the_file(tmp_path, text, error):
    path = tmp_path / "stored-copy"
    path.write_text(text)
    job = SimpleNamespace(kept_at=str(path), roster="people.csv", options={})
    with pytest.raises(error, match=r"^people\.csv: (?!people)") as caught:
        read_rows_in(None, job, None)
    assert type(caught.value) is error
