"""The description of the API (OpenAPI 3.1), put together from the calls themselves."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import models_json_schema

from worker import __version__
from worker.web import schemas as words
from worker.web.csrf import HEADER
from worker.web.summaries import LARGEST

if TYPE_CHECKING:
    from pydantic import BaseModel

    from worker.web.routes import Call

PROBLEM = "application/problem+json"
_REF = "#/components/schemas/"
_MEANS = {
    400: "The request cannot be read.",
    401: "Sign in, or send an API token.",
    403: "Not with this role, or from another site.",
    404: "There is no such thing.",
    409: "Not in the state in which the job is.",
    413: "Too large.",
    415: "Not a multipart form.",
    422: "Something in the request must be mended; `detail` says what.",
    429: "Too many calls; Retry-After says when to come again.",
    507: "No room on the server.",
}
_NUMBER = {"type": "integer", "minimum": 1, "maximum": LARGEST}
_ABOUT = (
    "Drop a roster; everybody on it is registered on the LMS, exactly once. While nobody has an account, this "
    "machine alone is served and nobody signs in. Otherwise send an API token (`roster user token NAME`) as "
    f"`Authorization: Bearer`. A browser's session needs the page's CSRF token in {HEADER} for every POST."
)


def description(calls: Sequence[Call]) -> dict[str, Any]:
    """Return the description of these calls."""
    models: list[type[BaseModel]] = [words.ProblemDetails]
    models += [model for call in calls for model in (call.gives, call.takes) if model and model not in models]
    unique = list(dict.fromkeys(models))
    _, schemas = models_json_schema([(model, "validation") for model in unique], ref_template=f"{_REF}{{model}}")
    paths: dict[str, dict[str, Any]] = {}
    for call in calls:
        paths.setdefault(re.sub(r":int\}", "}", call.path), {})[call.method.lower()] = _operation(call)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Roster", "version": __version__, "description": _ABOUT},
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "roster_session"},
            },
        },
    }


def _operation(call: Call) -> dict[str, Any]:
    doc = (call.endpoint.__doc__ or "").strip()
    operation: dict[str, Any] = {
        "summary": doc.splitlines()[0],
        "operationId": re.sub(r"\W+", "_", f"{call.method.lower()}{call.path.replace(':int', '')}").strip("_"),
        "responses": {str(call.status): _answer(call), **_refusals(call)},
    }
    if not call.is_open:
        operation["security"] = [{"token": []}, {"session": []}, {}]
    if parameters := _parameters(call):
        operation["parameters"] = parameters
    if call.takes is not None:
        schema = {"$ref": f"{_REF}{call.takes.__name__}"}
        operation["requestBody"] = {"required": True, "content": {call.takes_as: {"schema": schema}}}
    return operation


def _answer(call: Call) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if call.gives is not None:
        schema = {"$ref": f"{_REF}{call.gives.__name__}"}
        schema = {"type": "array", "items": schema} if call.many else schema
    elif call.media == "application/json":
        schema = {"type": "object"}
    said = "As asked."
    if call.media == "text/event-stream":
        schema, said = _event(schema), "Events until the job has ended or needs a person; the last is named `end`."
    answer: dict[str, Any] = {"description": said, "content": {call.media: {"schema": schema}}}
    if call.status == 202:  # noqa: PLR2004 - Accepted
        answer["headers"] = {"Location": {"schema": {"type": "string"}}}
    return answer


def _event(data: dict[str, Any]) -> dict[str, Any]:
    told = {"type": "string", "contentMediaType": "application/json", "contentSchema": data}
    properties = {"event": {"enum": ["message", "end"]}, "data": told, "retry": {"type": "integer"}}
    return {"type": "object", "properties": properties, "required": ["data"]}


def _refusals(call: Call) -> dict[str, Any]:
    if call.is_open and not call.path.startswith("/api/"):
        away = {"content": {"application/json": {"schema": {"$ref": f"{_REF}Health"}}}, "description": "Away."}
        return {"503": away, "default": _refusal("Something else is wrong.")}
    statuses = sorted({401, 403, 429, *call.refuses})
    return {
        **{str(status): _refusal(_MEANS[status]) for status in statuses},
        "default": _refusal("Something else is wrong."),
    }


def _refusal(said: str) -> dict[str, Any]:
    return {"description": said, "content": {PROBLEM: {"schema": {"$ref": f"{_REF}ProblemDetails"}}}}


def _parameters(call: Call) -> list[dict[str, Any]]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": _NUMBER, "example": 1}
        for name in re.findall(r"\{(\w+):int\}", call.path)
    ]
    in_query = [
        {"name": name, "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": most}}
        for name, most in call.query.items()
    ]
    return in_path + in_query
