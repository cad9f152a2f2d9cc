"""Drop folders: a complete file is imported once, and archived next to its reports; no file is ever lost."""

from __future__ import annotations

import random
import shutil
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.drop_folders import add_drop_folder, copy_into, files_in, message_in, serve, summary_in
from worker.ledger import dropped_files
from worker.ledger.database import open_engine
from worker.ledger.transactions import Ledger

REPORTS = (".results.csv", ".results.xlsx", ".summary.json")


def with_reports(name, *more):
    stem = name.rpartition(".")[0]
    return sorted([name, *(f"{stem}{ending}" for ending in (*REPORTS, *more))])


def test_a_roster_in_a_drop_folder_is_imported_and_its_reports_are_next_to_it(
    sandbox, office, wait_until, read_csv, samples
):
    lms = sandbox()
    terminal = office(lms)
    inbox = add_drop_folder(terminal)
    serve(terminal)
    copy_into(terminal.people("spring.csv", 7), inbox)
    copy_into(samples / "messy.xlsx", inbox)

    wait_until(lambda: {"spring.summary.json", "messy.summary.json"} <= {*files_in(inbox / "done")}, "the reports")

    assert files_in(inbox / "done") == sorted(
        [*with_reports("spring.csv"), *with_reports("messy.xlsx", ".failed.csv")]
    )
    assert (files_in(inbox), files_in(inbox / "processing"), files_in(inbox / "failed")) == ([], [], [])
    summary = summary_in(inbox / "done", "spring")
    assert (summary["state"], summary["by_status"]["registered"]) == ("succeeded", 7)
    assert all(Path(path).is_file() and Path(path).parent == inbox / "done" for path in summary["reports"])
    assert {row["_status"] for row in read_csv(inbox / "done" / "spring.results.csv")} == {"registered"}
    assert (inbox / "done" / "spring.csv").read_bytes() == (terminal.folder / "spring.csv").read_bytes()
    again = terminal.type("report", summary["job"], "--json")
    assert again.summary["reports"] == summary["reports"]


def test_a_file_that_cannot_be_read_ends_in_failed_with_a_message(sandbox, office, wait_until, samples):
    terminal = office(sandbox())
    inbox = add_drop_folder(terminal)
    serve(terminal)
    copy_into(samples / "wrong_headings.xlsx", inbox)
    terminal.write("inbox/empty.csv", "")
    terminal.write("inbox/broken.xlsx", b"PK\x03\x04 nothing of the kind")

    files = ["broken.xlsx", "empty.csv", "wrong_headings.xlsx"]
    failed = inbox / "failed"
    wait_until(lambda: all(message_in(failed, Path(name).stem) for name in files))

    assert {*files} <= {*files_in(failed)}
    said = message_in(failed, "wrong_headings")
    assert "nothing was sent" in said.lower()
    assert "No column identifies the people" in said
    assert "[folders.NAME]" in said
    assert "the file is empty" in message_in(failed, "empty")
    assert terminal.lms.calls() == 0


def test_temporary_files_and_files_that_are_not_rosters_are_left_in_place(sandbox, office, wait_until):
    terminal = office(sandbox())
    inbox = add_drop_folder(terminal)
    roster = terminal.people("spring.csv", 2)
    left = ["~$book.xlsx", ".hidden.csv", "a.csv.part", "b.csv.tmp", "c.csv.filepart", "notes.pdf", "D.CSV.PART"]
    for name in left:
        copy_into(roster, inbox, name)
    (inbox / "a folder.csv").mkdir()
    (inbox / "link.csv").symlink_to(roster)
    serve(terminal)
    copy_into(roster, inbox)

    wait_until((inbox / "done" / "spring.summary.json").exists)

    assert files_in(inbox) == sorted([*left, "link.csv"])
    told = terminal.type("doctor")
    assert "not rosters, left in place: a folder.csv, link.csv, notes.pdf" in told.out
    assert len(terminal.jobs()) == 1


def test_a_file_that_grows_is_not_imported_before_it_has_stopped(sandbox, office, wait_until):
    terminal = office(sandbox())
    inbox = add_drop_folder(terminal, settle_seconds=1.5)
    lines = terminal.people("whole.csv", 60).read_text("utf-8").splitlines(keepends=True)
    serve(terminal)

    with (inbox / "growing.csv").open("w", encoding="utf-8") as file:
        for number, line in enumerate(lines):
            if number == 5:
                copy_into(terminal.people("steady.csv", 1, first=900), inbox)
            file.write(line)
            file.flush()
            if number < 5 or not (inbox / "done" / "steady.summary.json").exists():
                time.sleep(0.2)
        assert (inbox / "done" / "steady.csv").exists()
        assert (inbox / "growing.csv").exists()
    wait_until((inbox / "done" / "growing.summary.json").exists)

    assert summary_in(inbox / "done", "growing")["by_status"]["registered"] == 60


def test_a_name_that_is_in_done_already_is_numbered_and_nothing_is_overwritten(sandbox, office, wait_until):
    terminal = office(sandbox())
    inbox = add_drop_folder(terminal)
    serve(terminal)
    for number, count in enumerate((2, 3, 3), start=1):
        name = "spring" if number == 1 else f"spring-{number}"
        copy_into(terminal.people("spring.csv", count), inbox)
        wait_until((inbox / "done" / f"{name}.summary.json").exists, name)

    done = inbox / "done"
    assert [len((done / f"{name}.csv").read_text("utf-8").splitlines()) for name in ("spring", "spring-2")] == [
        3,
        4,
    ]
    counts = [summary_in(done, name)["by_status"] for name in ("spring", "spring-2", "spring-3")]
    assert [(each["registered"], each["already_registered"]) for each in counts] == [(2, 0), (1, 2), (0, 3)]


def files_of_first_job(ledger):
    with ledger.read() as tx:
        return dropped_files.files_of_job(tx, 1)


def test_the_same_roster_again_while_its_job_runs_is_one_job_and_both_files_get_reports(
    sandbox, office, wait_until
):
    lms = sandbox(bad_days=["create_candidate:hold:after=1"])
    terminal = office(lms, max_in_flight=1)
    inbox = add_drop_folder(terminal)
    serve(terminal)
    roster = terminal.people("spring.csv", 20)
    copy_into(roster, inbox)
    lms.until(lambda lms: lms.calls() > 0)
    copy_into(roster, inbox, "copy of spring.csv")
    with closing(Ledger(open_engine(f"sqlite:///{terminal.folder / 'roster.db'}"))) as ledger:
        wait_until(lambda: len(files_of_first_job(ledger)) == 2, "the second file")
    lms.rules()

    wait_until(lambda: {"spring.summary.json", "copy of spring.summary.json"} <= {*files_in(inbox / "done")})

    done = inbox / "done"
    assert summary_in(done, "spring")["job"] == summary_in(done, "copy of spring")["job"] == 1
    assert files_in(done) == sorted([*with_reports("spring.csv"), *with_reports("copy of spring.csv")])
    assert len(terminal.jobs()) == 1


def test_two_servers_with_one_folder_import_each_file_once(sandbox, office, wait_until):
    terminal = office(sandbox())
    inbox = add_drop_folder(terminal, settle_seconds=0.5)
    serve(terminal)
    serve(terminal)
    names = [f"roster{number}" for number in range(12)]
    for number, name in enumerate(names):
        copy_into(terminal.people("some.csv", 2, first=10 * number), inbox, f"{name}.csv")

    wait_until(lambda: {f"{name}.summary.json" for name in names} <= {*files_in(inbox / "done")}, "all the reports")

    assert files_in(inbox / "done") == sorted(file for name in names for file in with_reports(f"{name}.csv"))
    assert [job["state"] for job in terminal.jobs()] == ["succeeded"] * 12


@pytest.mark.slow
def test_a_server_that_is_killed_repeatedly_loses_no_file_and_imports_none_twice(
    sandbox, office, wait_until, people
):
    lms = sandbox(latency=0.01)
    terminal = office(lms, "kmi", lookup_pauses=[0.1, 0.2])
    inbox = add_drop_folder(terminal, settle_seconds=0)
    dice = random.Random(27)  # noqa: S311 - the same rounds every time
    names = []
    for number in range(6):
        for each in range(3):
            names.append(f"roster{number}-{each}x")
            first = 1000 * number + 100 * each
            rows = people(4, first=first, login_name=lambda number: f"login{number}")
            copy_into(terminal.roster("some.csv", rows), inbox, f"{names[-1]}.csv")
        running = serve(terminal)
        wait_until((inbox / "processing").is_dir, "the first claim")
        running.over_within(0.4 + dice.random() * 1.6)
        running.kill()
    serve(terminal)

    wait_until(lambda: {f"{name}.summary.json" for name in names} <= {*files_in(inbox / "done")}, "all the reports")

    files = [name for name in files_in(inbox / "done") if not name.endswith((".results.csv", ".json", ".xlsx"))]
    assert files == sorted(f"{name}.csv" for name in names)
    assert files_in(inbox / "processing") == files_in(inbox / "failed") == files_in(inbox) == []
    assert sorted(job["roster"] for job in terminal.jobs()) == files
    assert len(lms.standing) == 4 * len(names)


def test_the_file_of_a_held_job_stays_in_processing_until_a_person_resumes_it(sandbox, office, wait_until):
    lms = sandbox(bad_days=["*:401:after=0"])
    terminal = office(lms)
    inbox = add_drop_folder(terminal)
    serve(terminal)
    copy_into(terminal.people("spring.csv", 3), inbox)
    processing = inbox / "processing"
    wait_until((processing / "spring.summary.json").exists, "the report of the held job")
    assert summary_in(processing, "spring")["state"] == "held"
    lms.rules()

    result = terminal.resume(1)

    assert result.counts == {"registered": 3}
    assert {Path(path).parent for path in result.summary["reports"]} == {inbox / "done"}
    assert (files_in(processing), files_in(inbox / "done")) == ([], with_reports("spring.csv"))


def test_the_file_of_a_cancelled_job_ends_in_failed_and_a_retry_writes_its_reports_there(
    sandbox, office, wait_until
):
    lms = sandbox(bad_days=["*:401:after=0"])
    terminal = office(lms)
    inbox = add_drop_folder(terminal)
    serve(terminal)
    copy_into(terminal.people("spring.csv", 3), inbox)
    wait_until((inbox / "processing" / "spring.summary.json").exists, "the report of the held job")

    assert terminal.type("cancel", 1).code == 0
    wait_until(lambda: message_in(inbox / "failed", "spring"))
    assert "roster retry 1" in message_in(inbox / "failed", "spring")
    assert files_in(inbox / "failed") == with_reports("spring.csv", ".failed.csv", ".message.txt")
    lms.rules()
    result = terminal.balanced(terminal.type("retry", 1, "--json"))

    assert result.counts == {"registered": 3}
    assert files_in(inbox / "failed") == with_reports("spring.csv")


def test_a_folder_that_is_gone_is_reported_and_stops_no_other_one(sandbox, office, wait_until):
    terminal = office(sandbox())
    share, inbox = add_drop_folder(terminal, "share"), add_drop_folder(terminal, "inbox")
    share.rename(terminal.folder / "unmounted")
    running = serve(terminal)
    copy_into(terminal.people("spring.csv", 2), inbox)
    wait_until((inbox / "done" / "spring.summary.json").exists)

    assert "drop folder skipped" in running.err.read_text("utf-8")
    assert "share" in (told := terminal.type("doctor")).out
    assert (told.code, "No such file or directory" in told.out) == (2, True)
    (terminal.folder / "unmounted").rename(share)
    copy_into(terminal.people("autumn.csv", 2, first=50), share)
    wait_until((share / "done" / "autumn.summary.json").exists)
    assert terminal.type("doctor").code == 0


def test_a_share_that_is_gone_while_a_job_runs_gets_file_and_reports_later(sandbox, office, wait_until):
    lms = sandbox(bad_days=["create_candidate:hold:after=1"])
    terminal = office(lms, max_in_flight=1)
    inbox = add_drop_folder(terminal)
    serve(terminal)
    copy_into(terminal.people("spring.csv", 6), inbox)
    lms.until(lambda lms: lms.calls() > 0)
    away = terminal.folder / "away"
    inbox.rename(away)
    lms.rules()
    wait_until(lambda: terminal.status(1)["state"] == "succeeded")
    assert files_in(away / "processing") == ["spring.csv"]

    if inbox.exists():  # whoever mounts a share does so over what was written meanwhile
        shutil.rmtree(inbox)
    away.rename(inbox)

    wait_until(lambda: files_in(inbox / "done") == with_reports("spring.csv"), "the file and its reports")


def test_the_options_of_a_folder_are_those_of_run(sandbox, office, wait_until):
    lms = sandbox()
    terminal = office(lms, behavior=None)
    inbox = add_drop_folder(
        terminal,
        course="58",
        connection="north",
        map={"Mail": "email"},
        set={"behavior": 1, "last_name": "Unknown"},
    )
    serve(terminal)
    copy_into(terminal.write("odd.csv", "Mail,first_name\nana@example.com,Ana\n"), inbox)

    wait_until((inbox / "done" / "odd.summary.json").exists)

    assert set(lms.standing) == {("ana@example.com", "58")}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('pat = "x"', "unknown key folders.inbox.pat; did you mean path?"),
        ("strict = 7", "folders.inbox.strict"),
        ('path = "sftp://host/x"', "folders.inbox.path: must be a folder of this machine"),
    ],
)
def test_an_error_in_the_configuration_of_a_folder_is_named(office, sandbox, line, said):
    terminal = office(sandbox())
    text = (terminal.folder / "roster.toml").read_text("utf-8")
    path = "" if line.startswith("path") else 'path = "inbox"\n'
    terminal.configure(f"{text}\n[folders.inbox]\n{path}{line}\n")

    result = terminal.type("jobs")

    assert result.code == 2
    assert said in result.err


def test_workers_behind_a_broker_import_from_drop_folders_too(sandbox, office, queue):
    lms = sandbox()
    terminal = office(lms, batch_size=5)
    inbox = add_drop_folder(terminal)
    line = queue(terminal)
    line.beat()
    line.worker(processes=2)
    line.worker()
    copy_into(terminal.people("spring.csv", 20), inbox)
    copy_into(terminal.write("wrong.csv", "a,b\n1,2\n"), inbox)

    line.until((inbox / "done" / "spring.summary.json").exists, "the report")
    line.until((inbox / "failed" / "wrong.message.txt").exists, "the message")

    assert files_in(inbox / "done") == with_reports("spring.csv")
    assert summary_in(inbox / "done", "spring")["by_status"]["registered"] == 20
    assert len(terminal.jobs()) == 2
    assert files_in(inbox / "processing") == []
