"""What somebody else does at the pretend Moodle, and what it then shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.conftest import Office, Result

TOKEN = "sandbox-moodle-token"
SERVER = "/moodle/webservice/rest/server.php"


def ask(terminal: Office, function: str, **fields: Any) -> Any:
    """Call the pretend Moodle as somebody else would; names of fields as PHP has them."""
    control = {"wstoken": TOKEN, "wsfunction": function, "moodlewsrestformat": "json"}
    answer = terminal.lms.client.post(SERVER, data=control | fields).raise_for_status().json()
    assert not isinstance(answer, dict) or "exception" not in answer, answer
    return answer


def a_user(terminal: Office, **values: Any) -> Any:
    """Create a user in the pretend Moodle and return their ID."""
    user = {
        "username": "ada",
        "firstname": "Ada",
        "lastname": "Ahern",
        "email": "ada@example.com",
        "password": "Aa1-aaaa",
    }
    fields = {f"users[0][{name}]": value for name, value in (user | values).items()}
    return ask(terminal, "core_user_create_users", **fields)[0]["id"]


def enrol(terminal: Office, user_id: Any, course: int = 58, role: int = 5, **values: Any) -> None:
    item = {"roleid": role, "userid": user_id, "courseid": course} | values
    ask(terminal, "enrol_manual_enrol_users", **{f"enrolments[0][{name}]": value for name, value in item.items()})


def members(terminal: Office, option: str, course: int = 58) -> dict[Any, list[Any]]:
    """Return who is on a course, and their roles."""
    options = {"options[0][name]": option, "options[0][value]": 1}
    rows = ask(terminal, "core_enrol_get_enrolled_users", courseid=course, **options)
    return {row["id"]: [role["roleid"] for role in row["roles"]] for row in rows}


def changing(result: Result) -> dict[str, int]:
    """Return how many calls created people, and enrolled some."""
    return {
        name: count for name, count in result.summary["calls"].items() if name in {"create_users", "enrol_users"}
    }
