"""The state page: what the sandbox holds and has seen, for a person. Self-contained; no scripts."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

from worker.sandbox import snapshot
from worker.sandbox.configuration import configuration
from worker.sandbox.state import SandboxState

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --line: #dfe4ea; --card: #fff; --back: #f4f6f9;
  --good: #0b7a4b; --bad: #b3261e; --accent: #2456c7; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7ebf1; --soft: #9aa6b5; --line: #2c3542; --card: #181e27;
  --back: #10151c; --good: #4cc38a; --bad: #ff8a80; --accent: #8fb0ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 2rem 1.25rem 4rem; background: var(--back); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2rem 0 .6rem; }
p, .soft { color: var(--soft); margin: .25rem 0 0; } a { color: var(--accent); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem;
  margin-top: 1.25rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .8rem 1rem; }
.card b { display: block; font-size: 1.6rem; font-variant-numeric: tabular-nums; }
.card span { color: var(--soft); }
.bad { color: var(--bad); } .good { color: var(--good); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; background: var(--card);
  border: 1px solid var(--line); border-radius: .6rem; }
th, td { padding: .4rem .75rem; text-align: left; border-top: 1px solid var(--line); white-space: nowrap; }
thead th { border-top: 0; color: var(--soft); font-weight: 600; }
td.n { text-align: right; font-variant-numeric: tabular-nums; } th.n { text-align: right; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .9rem 1rem;
  overflow-x: auto; }
code, pre { font: 13px/1.5 ui-monospace, monospace; }
"""
_LATEST = 10


def html(state: SandboxState, base_url: str, refresh: int) -> str:
    """Return the page; `refresh` in seconds, 0 for never."""
    shown = snapshot.snapshot(state)
    again = f'<meta http-equiv="refresh" content="{refresh}">' if refresh else ""
    other = '<a href="/">stop refreshing</a>' if refresh else '<a href="/?refresh=2">refresh every 2 seconds</a>'
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">{again}<title>Roster sandbox</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head><body>
<h1>Roster sandbox</h1>
<p>A pretend LMS: {", ".join(escape(each.title) for each in state.systems.values())}, in memory.
Nothing here is real, and nothing leaves this machine. {other}</p>
{_cards(state, shown)}
<h2>Registrations per course</h2>{_courses(state, shown)}
<h2>Calls</h2>{_calls(shown)}
<h2>Quota</h2>{_quota(shown)}
<h2>Bad days</h2>{_rules(shown)}
<h2>Latest registrations</h2>{_latest(state)}
<h2>Point <code>roster.toml</code> here</h2><pre>{escape(configuration(state, base_url))}</pre>
<p>As JSON: <a href="/sandbox/state">state</a> · <a href="/sandbox/candidates">candidates</a> ·
<a href="/sandbox/registrations">registrations</a> · <a href="/sandbox/journal">journal</a> ·
<a href="/sandbox/rules">rules</a>. Change them with POST on <code>/sandbox/rules</code>,
<code>/sandbox/quotas</code>, <code>/sandbox/reset</code>.</p>
</body></html>"""


def _cards(state: SandboxState, shown: dict[str, Any]) -> str:
    doubles = shown["duplicates"]["persons"] + shown["duplicates"]["registrations"]
    cards = [
        (f"{system.title}: {what}", shown[name][what], "")
        for name, system in state.systems.items()
        for what in ("candidates", "registrations")
    ]
    cards.append(("mails sent", sum(shown[name]["mails_sent"] for name in state.systems), ""))
    cards.append(("there twice", doubles, "bad" if doubles else "good"))
    each = (
        f'<div class="card"><b class="{look}">{count:,}</b><span>{name}</span></div>' for name, count, look in cards
    )
    return f'<div class="cards">{"".join(each)}</div>'


def _courses(state: SandboxState, shown: dict[str, Any]) -> str:
    rows = [
        [name, course, system.course_names().get(course, ""), count]
        for name, system in state.systems.items()
        for course, count in sorted(shown[name]["by_course"].items())
    ]
    return _table(["System", "Course", "Name", "Registrations"], rows, "Nobody is registered yet.")


def _calls(shown: dict[str, Any]) -> str:
    rows = [
        [system, operation, status, count]
        for system, operations in shown["calls"].items()
        for operation, statuses in operations.items()
        for status, count in statuses.items()
    ]
    return _table(["System", "Operation", "Answer", "Calls"], rows, "Nobody has called yet.")


def _quota(shown: dict[str, Any]) -> str:
    definition = ", ".join(shown["quota"]["definition"]) or "none: every call is let in"
    rows = [
        [
            name,
            each["accepted"],
            each["refused"],
            f"{each['share_refused']:.1%}",
            each["refused_early"],
            "-" if each["allowed"] is None else f"{each['allowed']:.0f}",
            "-" if each["used"] is None else f"{each['used']:.1%}",
            each["most_at_once"],
        ]
        for name, each in shown["quota"]["accounts"].items()
    ]
    heads = ["Credential", "Let in", "Refused", "Share", "Too early", "Allowed", "Used", "At once"]
    return f"<p><code>{escape(definition)}</code></p>{_table(heads, rows, '')}"


def _rules(shown: dict[str, Any]) -> str:
    rows = [[each["rule"], each["seen"], each["fired"]] for each in shown["rules"]]
    return _table(["Rule", "Calls that match", "Bad days"], rows, "Every day is a good day: no rules are active.")


def _latest(state: SandboxState) -> str:
    newest = sorted(snapshot.registrations(state), key=lambda each: each["created"])[-_LATEST:]
    rows = [
        [
            each["system"],
            each["id"],
            each["email"],
            each["course_id"],
            each.get("status", each.get("registration_date")),
        ]
        for each in reversed(newest)
    ]
    return _table(["System", "Id", "Candidate", "Course", "Status or date"], rows, "Nobody is registered yet.")


def _table(heads: list[str], rows: Iterable[list[Any]], empty: str) -> str:
    def cell(value: Any) -> str:
        is_number = isinstance(value, int) or str(value).rstrip("%").replace(".", "").isdecimal()
        return f"<td{' class=n' if is_number else ''}>{escape(str(value))}</td>"

    lines = ["<tr>" + "".join(map(cell, row)) + "</tr>" for row in rows]
    if not lines:
        return f"<p>{escape(empty)}</p>"
    head = "".join(f"<th>{escape(each)}</th>" for each in heads)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
