"""What the LMS holds and which job caused it, and every statement of every job held against that."""

from __future__ import annotations

import csv
import html
import io
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.conftest import DONE
from tests.statement_doors import check_differs, check_events, check_workbook

if TYPE_CHECKING:
    from collections.abc import Collection

    import httpx

    from tests.conftest import Lms, Office

ENDED = {"invalid", "cancelled", "succeeded", "completed_with_errors", "failed", "undone"}
MOVING = {"uploaded", "validating", "scheduled", "queued", "running", "waiting", "cancelling"}
OPEN = {"invalid", "rejected", "in_doubt", "not_attempted"}
#: Keys of a summary that depend on where and how often a report was written.
OF_REPORTS = {"reports", "warnings", "duration_seconds"}
#: A job that a person paused, or that is held, finishes its calls in progress: then all is read once more.
MAX_READS = 20


@dataclass
class Registration:
    """A registration of the LMS: whose, on what, made by which job, withdrawn by which."""

    #: The LMS's id of the person: `--update-existing` and a fix may change their address.
    who: str
    course: str
    made_by: int
    withdrawn_by: int | None = None

    def is_of(self, pair: tuple[str, str]) -> bool:
        return pair == (self.who, self.course)


@dataclass
class Row:
    """A row of a report, with its pair: the person and the course that they are to be on."""

    cells: dict[str, str]
    #: The LMS's id of the person: as the row says, else who has, or had, its address; that where nobody has.
    who: str

    @property
    def number(self) -> int:
        return int(self.cells["_row"])

    @property
    def status(self) -> str:
        return self.cells["_status"]

    @property
    def pair(self) -> tuple[str, str]:
        changed = re.search(r"The course was changed from .* to (\S+)\.", self.cells["_error"])
        return (self.who, changed[1]) if changed else self.pair_in_file

    @property
    def pair_in_file(self) -> tuple[str, str]:
        return self.who, self.cells.get("course_id", "")

    @property
    def email(self) -> str:
        return self.cells.get("email", "").strip().lower()


@dataclass
class World:
    """The model: registrations and people with the job that made them, which rows fix which, and the counts."""

    lms: Lms
    office: Office
    client: httpx.Client
    system: str
    registrations: dict[str, Registration] = field(default_factory=dict)
    people: dict[str, tuple[str, int]] = field(default_factory=dict)
    #: All addresses that somebody has had.
    addresses: dict[str, set[str]] = field(default_factory=dict)
    #: (job, row) → the rows of later jobs that came from its failed.csv, as (job, row).
    fixes: dict[tuple[int, int], list[tuple[int, int]]] = field(default_factory=dict)
    #: Jobs in which a row was in doubt, or was answered by a person.
    doubtful: set[int] = field(default_factory=set)
    rows: dict[int, list[Row]] = field(default_factory=dict)
    #: Jobs that the server's workers drove last: nobody saw their end at a terminal, so that messages say it.
    of_workers: set[int] = field(default_factory=set)
    statements: int = 0
    false: list[str] = field(default_factory=list)

    def note(self, job: int | None) -> None:
        """Take up what a step changed in the LMS; `job` is the one that did it."""
        for each in self.lms.look("candidates"):
            _, creator = self.people.get(each["id"], ("", job))
            assert creator is not None, f"a step without a job created {each['id']}"
            self.people[each["id"]] = (each["email"].lower(), creator)
            self.addresses.setdefault(each["id"], set()).add(each["email"].lower())
        for each in self.lms.look("registrations"):
            gone = each.get("status") in {"Withdrawn", "Suspended"}
            key = self._key_of(each["id"], is_active=not gone)
            known = self.registrations.get(key)
            if known is None:
                assert job is not None, f"a step without a job registered {each['id']}"
                known = Registration(self.who(each["email"].lower()), str(each["course_id"]), job)
                self.registrations[key] = known
            if gone and known.withdrawn_by is None:
                assert job is not None, f"a step without a job withdrew {each['id']}"
                known.withdrawn_by = job

    def who(self, email: str) -> str:
        """Return the LMS's id of the person who has an address, or had it; the address when nobody has."""
        has = [key for key, (address, _) in self.people.items() if address == email]
        had = [key for key, addresses in self.addresses.items() if email in addresses]
        return next(iter([*has, *had, email]))

    def _key_of(self, lms_id: str, *, is_active: bool) -> str:
        """Return the key of a registration: on Moodle one that is made again has the same id."""
        if self.system != "academy":
            return lms_id
        times = [key for key in self.registrations if key.startswith(f"{lms_id}#")]
        is_again = not times or (is_active and self.registrations[times[-1]].withdrawn_by is not None)
        return f"{lms_id}#{len(times) + 1}" if is_again else times[-1]

    def holds(self, pair: tuple[str, str]) -> bool:
        return any(each.is_of(pair) and each.withdrawn_by is None for each in self.registrations.values())

    def made(self, job: int, pair: tuple[str, str]) -> list[Registration]:
        return [each for each in self.registrations.values() if each.made_by == job and each.is_of(pair)]

    def is_on_lms(self, email: str) -> bool:
        return any(address == email for address, _ in self.people.values())

    def say(self, is_true: object, statement: str) -> None:
        """Count a statement, and keep it when it is false."""
        self.statements += 1
        if not is_true:
            self.false.append(statement)

    def check(self, typed: Collection[int]) -> None:
        """Hold every statement of every job against the LMS; raise with those that are false.

        `typed`: of these jobs the commands are asked too, whose answers take longest.
        """
        for _ in range(MAX_READS):
            before = self.of_api()
            summaries = self._read_all(typed)
            if self.of_api() == before:
                break
            # Calls in progress were still finishing: what was read belongs to two moments.
            self.false = []
        for job, summary in summaries.items():
            self._check_summary(job, summary)
            for row in self.rows[job]:
                self._check_row(job, summary, row)
        for job, summary in summaries.items():
            self._check_open(job, summary)
            self._check_related(job, summaries)
        self.raise_if_false()

    def raise_if_false(self) -> None:
        """Raise AssertionError with the statements that are false."""
        false, self.false = self.false, []
        assert not false, "\n".join(false)

    def of_api(self) -> list[dict[str, Any]]:
        """Return the summaries of all jobs, without what depends on when they are read."""
        answer: list[dict[str, Any]] = self.client.get("/api/jobs?limit=1000").raise_for_status().json()
        return [{name: value for name, value in each.items() if name not in OF_REPORTS} for each in answer]

    def _read_all(self, typed: Collection[int]) -> dict[int, dict[str, Any]]:
        if typed:
            answer = self.office.type("jobs", "--limit", "1000", "--json").json
        else:
            answer = self.client.get("/api/jobs?limit=1000").raise_for_status().json()
        listed = {each["job"]: each for each in answer}
        return {job: self._read(job, listed[job], is_typed=job in typed) for job in sorted(listed)}

    def _read(self, job: int, listed: dict[str, Any], *, is_typed: bool) -> dict[str, Any]:
        """Read a job at every door and say where two differ; return its summary."""
        api: dict[str, Any] = self.client.get(f"/api/jobs/{job}").raise_for_status().json()
        downloaded = self.client.get(f"/api/jobs/{job}/summary.json").raise_for_status().json()
        doors = {"jobs": listed, "the download": downloaded}
        rows, failed = self.downloaded(job, "results"), self.downloaded(job, "failed")
        if is_typed:
            report = self.office.type("report", job, "--json")
            doors |= {"status": self.office.status(job), "report": report.json}
            if any(path.endswith(".results.csv") for path in report.json["reports"]):
                self.say(report.rows == rows, f"job {job}: results.csv of the API is not that of report")
                self.say(report.failed == failed, f"job {job}: failed.csv of the API is not that of report")
        for door, other in doors.items():
            for key in api.keys() - OF_REPORTS:
                same = other.get(key) == api[key]
                self.say(same, f"job {job}: {key} is {api[key]} in the API and {other.get(key)} in {door}")
        not_done = [row for row in rows if row["_status"] in OPEN]
        self.say(failed == not_done, f"job {job}: failed.csv is not the rows not done of results.csv")
        self.rows[job] = [self._row(cells) for cells in rows]
        self._check_page(job, api)
        check_differs(self, job, api, rows)
        if api["state"] not in MOVING:
            check_events(self, job, api, OF_REPORTS)
        if is_typed:
            check_workbook(self, job, api, rows)
        return api

    def _row(self, cells: dict[str, str]) -> Row:
        shown = cells["_candidate_id"]
        return Row(cells, shown if shown in self.people else self.who(cells.get("email", "").strip().lower()))

    def downloaded(self, job: int, which: str) -> list[dict[str, str]]:
        """Return the rows of a report from the API; none where there is no such report."""
        answer = self.client.get(f"/api/jobs/{job}/{which}.csv")
        assert answer.status_code in {200, 404}, answer.text
        return _lines(answer.content) if answer.status_code == 200 else []

    def _check_page(self, job: int, summary: dict[str, Any]) -> None:
        page = self.client.get(f"/jobs/{job}").raise_for_status().text
        counts = {
            status: int(count.replace(",", ""))
            for status, count in re.findall(r'status=(\w+)#rows"><b>([\d,]+)</b>', page)
        }
        unregistered = counts.pop("candidate_created", 0)
        if unregistered:
            counts["not_attempted"] = counts.get("not_attempted", 0) + unregistered
        expected = {status: count for status, count in summary["by_status"].items() if count}
        self.say(counts == expected, f"job {job}: the page counts {counts}, the summary {expected}")
        unsent = [row for row in self.rows[job] if row.status == "not_attempted"]
        staged = sum(row.cells["_stage"] == "candidate_created" for row in unsent)
        self.say(
            unregistered == staged, f"job {job}: {unregistered} not registered on the page, {staged} in the report"
        )
        text = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))
        created = re.search(r"People created ([\d,]+)", text)
        self.say(
            not created or int(created[1].replace(",", "")) == summary["candidates_created"],
            f"job {job}: the page says {created and created[0]}, the summary {summary['candidates_created']}",
        )
        left = re.search(r"([\d,]+) of ([\d,]+) left", text)
        not_done = sum(count for status, count in summary["by_status"].items() if status in OPEN)
        self.say(
            not left or [int(each) for each in left.groups()] == [summary["open_rows"], not_done],
            f"job {job}: the page says {left and left[0]}, the summary {summary['open_rows']} of {not_done}",
        )
        for row in self.rows[job]:
            error = row.cells["_error"]
            if row.status in {"rejected", "invalid"}:
                self.say(error, f"job {job} row {row.number}: {row.status} without a reason")

    def _check_summary(self, job: int, summary: dict[str, Any]) -> None:
        rows = self.rows[job]
        counts = Counter(row.status for row in rows)
        expected = {status: count for status, count in summary["by_status"].items() if count}
        self.say(counts == expected, f"job {job}: by_status is {expected}, the report has {dict(counts)}")
        self.say(summary["total"] == len(rows), f"job {job}: total {summary['total']}, rows {len(rows)}")
        stages = Counter(row.cells["_stage"] for row in rows if row.cells["_stage"])
        shown = {stage: count for stage, count in summary["stages"].items() if count}
        self.say(stages == shown, f"job {job}: stages are {shown}, the report has {dict(stages)}")
        created = summary["candidates_created"]
        marked = sum(row.cells["_created"] == "true" for row in rows)
        self.say(created == marked, f"job {job}: candidates_created {created}, rows with _created {marked}")
        true = sum(by == job for _, by in self.people.values())
        doubts = sum(row.status == "in_doubt" for row in rows)
        self.doubtful |= {job} if doubts else set()
        exact = created == true if job not in self.doubtful else created <= true
        self.say(exact, f"job {job}: candidates_created {created}, created {true} (in doubt {doubts})")
        registered = summary["registrations_created"]
        true = sum(each.made_by == job for each in self.registrations.values())
        exact = registered == true if job not in self.doubtful else registered <= true
        self.say(exact, f"job {job}: registrations_created {registered}, made {true} (in doubt {doubts})")
        self._check_state(job, summary, rows)

    def _check_state(self, job: int, summary: dict[str, Any], rows: list[Row]) -> None:
        state = summary["state"]
        mine = [self._latest(job, row) for row in rows if row.status == "registered"]
        all_gone = bool(mine) and all(each is not None and each.withdrawn_by for each in mine)
        is_undone = state == "undone"
        others = [each for number in self.rows if number != job for each in self.rows[number]]
        pairs = {row.pair for row in rows if row.status == "registered"}
        doubts = any(each.status == "in_doubt" and each.pair in pairs for each in others)
        self.say(
            is_undone == (all_gone and state in ENDED) or (doubts and not is_undone),
            f"job {job} is {state}; all it registered withdrawn: {all_gone}",
        )
        is_all_done = all(row.status in DONE | {"skipped"} for row in rows)
        if state == "succeeded":
            self.say(is_all_done, f"job {job} is succeeded with rows not done")
        if state in {"completed_with_errors", "invalid"}:
            self.say(not is_all_done, f"job {job} is {state} with every row done")
        if state in ENDED:
            self.say(summary["finished_at"] or not summary["started_at"], f"job {job} is {state} without an end")
        if state in MOVING | {"paused", "held"}:
            self.say(not summary["finished_at"], f"job {job} is {state} and has an end")

    def _latest(self, job: int, row: Row) -> Registration | None:
        """Return the registration that a row says it made, or found."""
        if self.system != "academy":
            return self.registrations.get(row.cells["_registration_id"])
        theirs = [each for each in self.registrations.values() if each.is_of(row.pair)]
        said = re.search(r"Withdrawn by job (\d+)", row.cells["_error"])
        if row.status == "withdrawn":
            theirs = [each for each in theirs if each.withdrawn_by == job]
        elif row.status == "registered":
            theirs = [each for each in theirs if each.made_by == job]
        elif said:
            theirs = [each for each in theirs if each.withdrawn_by == int(said[1])]
        return theirs[-1] if theirs else None

    def _check_row(self, job: int, summary: dict[str, Any], row: Row) -> None:
        what = f"job {job} ({summary['state']}) row {row.number} {row.pair} is {row.status}"
        what += f" ({row.cells['_stage']}; {row.cells['_error_code']}; {row.cells['_error']})"
        if row.cells.get("action") == "withdraw" or summary["roster"].startswith("undo-"):
            if row.status == "withdrawn":
                found = self._latest(job, row)
                self.say(found and found.withdrawn_by == job, f"{what}, and job {job} did not withdraw it")
            return
        self._check_person(row, what)
        self._check_settled(job, row, what)
        if row.status in {"registered", "already_registered"}:
            self._check_registered(job, row, what)
        elif row.status == "skipped":
            others = [other for other in self.rows[job] if other.number != row.number]
            repeats = any(other.pair == row.pair or other.pair_in_file == row.pair_in_file for other in others)
            self.say(repeats, f"{what}, and repeats nothing")
        elif row.status == "in_doubt":
            self.say(self._may_be_in_doubt(summary), f"{what}, and the LMS could be asked")
        else:
            others = {
                other.status for other in self.rows[job] if other.pair == row.pair and other.number != row.number
            }
            mine = [each for each in self.made(job, row.pair) if each.withdrawn_by is None]
            self.say(not mine or others & (DONE | {"in_doubt"}), f"{what}, and job {job} registered them")
        self._check_stage(job, row, what)

    def _may_be_in_doubt(self, summary: dict[str, Any]) -> bool:
        return self.system == "north" or summary["state"] not in ENDED - {"cancelled", "undone"}

    def _check_person(self, row: Row, what: str) -> None:
        person = self.people.get(row.cells["_candidate_id"])
        if row.cells["_candidate_id"]:
            self.say(person, f"{what}, and person {row.cells['_candidate_id']} is not in the LMS")
        if person and row.status in DONE:
            had = self.addresses[row.cells["_candidate_id"]]
            self.say(row.email in had or "e-mail" in row.cells["_error"], f"{what}; the person is {person}")
        if row.cells["_created"] == "true":
            self.say(person, f"{what}, created, and is not in the LMS")

    def _check_registered(self, job: int, row: Row, what: str) -> None:
        found = self._latest(job, row)
        if found is None:
            # Registered before and found without its id.
            is_known = any(each.is_of(row.pair) for each in self.registrations.values())
            self.say(row.status == "already_registered" and is_known, f"{what}, and no such registration was made")
            return
        self.say(found.is_of(row.pair), f"{what}, and its registration is {found}")
        others = any(other.pair == row.pair and other.number != row.number for other in self.rows[job])
        is_mine = found.made_by == job
        self.say(
            is_mine == (row.status == "registered") or (others and row.status == "already_registered"),
            f"{what}, and job {found.made_by} made the registration",
        )
        said = re.search(r"Withdrawn by job (\d+)", row.cells["_error"])
        by = int(said[1]) if said else None
        self.say(by == found.withdrawn_by, f"{what}, and its registration was withdrawn by {found.withdrawn_by}")

    def _check_settled(self, job: int, row: Row, what: str) -> None:
        """Check which job is said to have settled a row, if any."""
        said = re.search(r"(Fixed|Registered|Already registered, found) by job (\d+)$", row.cells["_error"])
        settled = row.status in OPEN and self._is_settled(job, row, is_undo=False)
        self.say(bool(said) == settled, f"{what}, settled: {settled}")
        if said is None:
            return
        by = int(said[2])
        if said[1] == "Fixed":
            fixes = self._fixes_of((job, row.number))
            self.say(any(fix[0] == by and self._stands(*fix) for fix in fixes), f"{what}, fixed by {fixes}")
            return
        status = {"Registered": "registered"}.get(said[1], "already_registered")
        others = {other.status for other in self.rows[by] if other.pair == row.pair}
        self.say(by != job and status in others and self.holds(row.pair), f"{what}, job {by} has {others}")

    def _check_stage(self, job: int, row: Row, what: str) -> None:
        stage = row.cells["_stage"]
        if row.status in DONE | {"skipped", "invalid"}:
            self.say(not stage, f"{what}, and has a stage")
        if stage == "candidate_created":
            self.say(
                self.is_on_lms(row.email) or row.cells["_candidate_id"] in self.people, f"{what}: nobody is there"
            )
            in_doubt = any(
                each.status == "in_doubt" and each.pair == row.pair for rows in self.rows.values() for each in rows
            )
            if not in_doubt:
                self.say(not self.holds(row.pair), f"{what}, and they are registered")
        if stage == "waiting" and row.status == "not_attempted" and job not in self.doubtful:
            mine = [email for email, by in self.people.values() if by == job]
            self.say(row.email not in mine or self.holds(row.pair), f"{what}, and job {job} created them")

    def _check_open(self, job: int, summary: dict[str, Any]) -> None:
        state = summary["state"]
        is_moving = state in MOVING
        rows = [row for row in self.rows[job] if row.status in OPEN]
        rows = [row for row in rows if not (is_moving and row.status == "not_attempted")]
        is_undo = summary["roster"].startswith("undo-")
        left = [row for row in rows if not self._is_settled(job, row, is_undo=is_undo)]
        numbers = [row.number for row in left]
        self.say(
            summary["open_rows"] == len(left),
            f"job {job} ({state}): open_rows {summary['open_rows']}, open {numbers}",
        )

    def _is_settled(self, job: int, row: Row, *, is_undo: bool) -> bool:
        """Return whether the person is registered on this course now, or the fix of the row stands."""
        if is_undo:
            return not self.holds(row.pair)
        later = [
            other
            for number, rows in self.rows.items()
            if number != job
            for other in rows
            if other.pair == row.pair and other.status in {"registered", "already_registered"}
        ]
        if later and self.holds(row.pair) and row.status != "invalid":
            return True
        return any(self._stands(*fix) for fix in self._fixes_of((job, row.number)))

    def _fixes_of(self, row: tuple[int, int]) -> list[tuple[int, int]]:
        """Return the rows of later jobs that fix a row: also those that fix the same earlier one as it does."""
        return [each for each in self._below(self._first_of(row)) if each[0] > row[0]]

    def _first_of(self, row: tuple[int, int]) -> tuple[int, int]:
        """Return the row at the beginning of a chain of fixes."""
        fixed = next((first for first, fixes in self.fixes.items() if row in fixes), None)
        return row if fixed is None else self._first_of(fixed)

    def _below(self, row: tuple[int, int]) -> list[tuple[int, int]]:
        found = list(self.fixes.get(row, ()))
        return [*found, *(deeper for each in found for deeper in self._below(each))]

    def _stands(self, job: int, number: int) -> bool:
        row = next((each for each in self.rows[job] if each.number == number), None)
        if row is None or row.status not in {"registered", "already_registered", "skipped"}:
            return False
        return self.holds(row.pair)

    def _check_related(self, job: int, summaries: dict[int, dict[str, Any]]) -> None:
        related = summaries[job]["related"]
        for mine, other in (("undoes", "undone_by"), ("fixes", "fixed_by")):
            for name, back in ((mine, other), (other, mine)):
                for number in related[name]:
                    is_both = job in summaries[number]["related"][back]
                    self.say(is_both, f"job {job} {name} {number}, which does not say {back}")
        true = sorted({each.made_by for each in self.registrations.values() if each.withdrawn_by == job} - {job})
        self.say(sorted(related["undoes"]) == true, f"job {job} undoes {related['undoes']}, in truth {true}")
        fixed = sorted({first for (first, _), fixes in self.fixes.items() if any(by == job for by, _ in fixes)})
        self.say(
            set(fixed) >= set(related["fixes"]),
            f"job {job} fixes {related['fixes']}, in truth {fixed}",
        )


def _lines(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
