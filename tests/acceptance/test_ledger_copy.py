"""`roster ledger copy`: an office moves from SQLite to PostgreSQL and back, and nobody is registered twice."""

from __future__ import annotations

import json


def test_an_office_moves_to_postgresql_and_back(lms, terminal, database, people):
    terminal.roster("spring.csv", people(4))
    assert terminal.run("spring.csv").code == 0
    terminal.environment["NEW_LEDGER"] = database

    moved = terminal.type("ledger", "copy", "env:NEW_LEDGER")

    assert moved.code == 0, moved.err
    assert "row                         4" in moved.out
    assert "every table has as many" in moved.out
    terminal.environment["ROSTER_LEDGER"] = database
    terminal.roster("spring.csv", people(6))
    second = terminal.run("spring.csv")
    assert second.json["by_status"]["already_registered"] == 4
    assert second.json["by_status"]["registered"] == 2

    back = terminal.type("ledger", "copy", f"sqlite:///{terminal.folder}/back.db", "--json")
    assert back.code == 0, back.err
    copied = json.loads(back.out)
    assert copied["records"]["job"] == 2
    assert copied["records"]["row"] == 10
    terminal.environment["ROSTER_LEDGER"] = f"sqlite:///{terminal.folder}/back.db"
    assert [each["job"] for each in json.loads(terminal.type("jobs", "--json").out)] == [2, 1]
    terminal.roster("spring.csv", people(7))
    third = terminal.run("spring.csv")
    assert third.job == 3
    assert third.json["by_status"]["registered"] == 1
    lms.nobody_twice()

    assert terminal.type("ledger", "copy", database).code == 2
