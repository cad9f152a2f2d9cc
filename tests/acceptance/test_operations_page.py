"""The commands of docs/operations.md that can be run are run, in their order, in an office with a job."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
#: In the page's source such a comment is in front of a block that can be run anywhere; people do not see it.
BLOCK = re.compile(r"^<!-- run -->\n```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_the_commands_of_the_handbook_do_what_it_says(lms, terminal, people):
    terminal.roster("spring.csv", people(3))
    assert terminal.run("spring.csv").code == 0
    blocks = BLOCK.findall(PAGE.read_text("utf-8"))
    assert len(blocks) == 4
    programs = Path(sys.executable).parent
    environment = {**terminal.environment, "PATH": f"{programs}:/usr/bin:/bin"}

    said = [
        subprocess.run(
            ["sh", "-eu", "-c", block],
            cwd=terminal.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        for block in blocks
    ]

    assert [(each.returncode, each.stderr) for each in said if each.returncode] == []
    assert "every table has as many" in "".join(each.stdout for each in said)
    assert "What happened after that is not in it" in "".join(each.stdout for each in said)
    assert (terminal.folder / "copy-of-roster.db").exists()
    assert not (terminal.folder / "saved.db").exists(), "the backup was put in the ledger's place"
    assert [each["job"] for each in json.loads(terminal.type("jobs", "--json").out)] == [1]
    assert terminal.run("spring.csv").json["by_status"]["already_registered"] == 3
    lms.nobody_twice()
