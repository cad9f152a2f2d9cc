"""The API held against its own description by schemathesis, with whatever it makes up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
#: Made-up bytes are no roster, and a made-up job is not there: that such is refused is right.
NOT_CHECKED = "positive_data_acceptance"


def test_no_made_up_request_gets_an_answer_that_is_not_described(web_server, office, sandbox):
    desk = office(sandbox())
    served = web_server(desk)
    served.run_to_end(desk.people("spring.csv", 2))

    ran = subprocess.run(
        [
            *(SCHEMATHESIS, "run", f"{served.url}/api/openapi.json", "--no-color", "--warnings=off"),
            *("--generation-deterministic", "--max-examples=6", "--phases=examples,coverage,fuzzing"),
            *("--no-shrink", f"--exclude-checks={NOT_CHECKED}", "--request-timeout=40"),
        ],
        cwd=desk.folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )

    assert ran.returncode == 0, ran.stdout[-6000:]
    assert "Tested: 17" in ran.stdout, ran.stdout[-3000:]
    told = served.running.err.read_text("utf-8")
    assert "an answer failed" not in told, told
    assert "ERROR" not in told, told
