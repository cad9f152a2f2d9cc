"""What else says something of a job, held against its report: workbook, differs.csv, events, messages."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from python_calamine import CalamineWorkbook

from tests.conftest import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.message_receivers import Hook, MailServer
    from tests.statement_model import World

#: Of the lines with numbers in the workbook, the key of the summary that each repeats.
ACTIVITY = {
    "Candidates created": "candidates_created",
    "Registrations created": "registrations_created",
    "Rate-limit responses": "rate_limited",
    "Batches split to isolate rejected rows": "bisected_batches",
}
#: The states of an end that a person is told of, each time.
TOLD = {"completed_with_errors", "succeeded", "cancelled", "failed", "invalid"}
#: How often the server looks for messages to send in a round (seconds).
SWEEP_SECONDS = "1"


def check_workbook(world: World, job: int, summary: Mapping[str, Any], rows: Sequence[Mapping[str, str]]) -> None:
    """Compare the workbook with results.csv and the summary; sentences may be worded for its reader."""
    answer = world.client.get(f"/api/jobs/{job}/results.xlsx")
    if answer.status_code == 404:
        world.say(not rows, f"job {job}: no workbook, and {len(rows)} rows")
        return
    book = CalamineWorkbook.from_filelike(io.BytesIO(answer.raise_for_status().content))
    sheet, totals = (book.get_sheet_by_name(name).to_python() for name in ("Results", "Summary"))
    headings = [_text(cell) for cell in sheet[0]]
    shown = [dict(zip(headings, map(_text, line), strict=True)) for line in sheet[1:]]
    world.say(
        [_without_sentence(row) for row in shown] == [_without_sentence(row) for row in rows],
        f"job {job}: the workbook has {shown}, results.csv {rows}",
    )
    counts: Counter[str] = Counter()
    labels = [_text(line[0]).strip() for line in totals]
    for label, line in zip(labels, totals, strict=True):
        true = summary.get(ACTIVITY.get(label, ""))
        if label == "Calls to the LMS":
            true = sum(summary["calls"].values())
        if true is not None:
            world.say(int(line[1]) == true, f"job {job}: {label} is {line[1]} in the workbook, {true} elsewhere")
    for label, line in zip(labels, totals, strict=True) if "Status" in labels else ():
        if labels.index("Status") < labels.index(label) < labels.index("total"):
            named = re.search(r"\((\w+)\)$", label)
            counts[named[1] if named else label.casefold().replace(" ", "_")] += int(line[1])
    expected = {status: count for status, count in summary["by_status"].items() if count}
    world.say(
        {status: count for status, count in counts.items() if count} == expected,
        f"job {job}: the workbook counts {dict(counts)}, the summary {expected}",
    )


def _text(cell: object) -> str:
    return str(int(cell)) if isinstance(cell, float) else str(cell)


def _without_sentence(row: Mapping[str, str]) -> dict[str, object]:
    return {**row, "_error": bool(row["_error"])}


def check_differs(world: World, job: int, summary: Mapping[str, Any], rows: Sequence[Mapping[str, str]]) -> None:
    """Compare differs.csv with what verifying counted; in these rounds nothing changes behind Roster's back."""
    differing = world.downloaded(job, "differs")
    counted = (summary["verified"] or {}).get("differs", 0)
    world.say(counted == len(differing), f"job {job}: {counted} rows differ, {len(differing)} in differs.csv")
    world.say(all(row in rows for row in differing), f"job {job}: differs.csv is not a part of results.csv")
    world.say(not differing, f"job {job}: {[row['_error'] for row in differing]}, and nobody changed anything")


def check_events(world: World, job: int, summary: Mapping[str, Any], ignored: set[str]) -> None:
    """Compare the last event of a job that is not moving with its summary."""
    text = world.client.get(f"/api/jobs/{job}/events").raise_for_status().text
    *_, last = (json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: "))
    for key in summary.keys() - ignored:
        same = last.get(key) == summary[key]
        world.say(same, f"job {job}: {key} is {summary[key]} in the API and {last.get(key)} in the events")


def message_tables(hook: Hook, mail: MailServer) -> str:
    """Return what roster.toml needs for messages to both."""
    tables: dict[str, dict[str, object]] = {
        "messages.hook": {"kind": "webhook", "url": hook.url, "secret": "env:HOOK_SECRET"},
        "messages.office": {"kind": "email", "to": ["office@example.org"]},
        "mail": {"host": "127.0.0.1", "port": mail.port, "security": "none", "from": "roster@example.org"},
    }
    return "".join(
        "\n".join([f"\n[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items()), ""])
        for name, table in tables.items()
    )


def check_messages(world: World, hook: Hook, mail: MailServer) -> None:
    """Wait until what has ended is told, then compare each message with its job, and the last one as it is now."""
    wait_until(lambda: all(said == true for said, true in _ends(world, hook)), "a message of each end")
    told = [posted.json for posted in hook.posted]
    deliveries = [each["delivery"] for each in told]
    world.say(len(deliveries) == len(set(deliveries)), "a message was sent twice")
    newest: dict[int, dict[str, Any]] = {}
    for message in told:
        said = message["job"]
        newest[said["id"]] = said
        what = f"{message['event']} of job {said['id']}: {said}"
        world.say(said["total"] == sum(said["by_status"].values()), what)
        world.say(said["total"] == len(world.rows[said["id"]]), f"{what}, rows {len(world.rows[said['id']])}")
    for summary in world.of_api():
        said = newest.get(summary["job"])
        is_last = summary["job"] in world.of_workers - world.doubtful
        if said and is_last and said["state"] == summary["state"]:
            for key in ("by_status", "candidates_created", "registrations_created", "total"):
                same = said[key] == summary[key]
                world.say(same, f"job {summary['job']}: {key} is {summary[key]}, in its message {said[key]}")
    for text in _mails(mail):
        job, total = re.search(r"\bjob (\d+): ", text), re.search(r"([\d,]+)  rows? in total", text)
        world.say(job, f"a mail of no job: {text}")
        if job and total:
            said, rows = int(total[1].replace(",", "")), len(world.rows[int(job[1])])
            world.say(said == rows, f"a mail says {said} rows of job {job[1]}, which has {rows}")
    world.raise_if_false()


def _ends(world: World, hook: Hook) -> Iterator[tuple[object, object]]:
    """Yield what the last message of each ended job of the workers says, and what is true: its state and counts.

    A job that was retried may have ended twice in one state. Counts of a job with doubts may change after its end.
    """
    told = {each["id"]: each for posted in hook.posted if (each := posted.json["job"])}
    for summary in world.of_api():
        job = summary["job"]
        if summary["state"] in TOLD and job in world.of_workers:
            said = told.get(job, {})
            keys = ("state",) if job in world.doubtful else ("state", "by_status")
            yield [said.get(key) for key in keys], [summary[key] for key in keys]


def _mails(mail: MailServer) -> Iterator[str]:
    for each in mail.taken:
        body = each.get_body(("plain",))
        if body is not None:
            yield body.get_content()
