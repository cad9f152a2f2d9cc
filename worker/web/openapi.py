"""The description of the API (OpenAPI 3.1), made from the table of operations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import models_json_schema

from worker import __version__
from worker.web import schemas as words
from worker.web.csrf import HEADER
from worker.web.summaries import MAX_ID

if TYPE_CHECKING:
    from pydantic import BaseModel

    from worker.web.operation import Operation

PROBLEM = "application/problem+json"
_REF = "#/components/schemas/"
_STATUS_MEANINGS = {
    400: "The request is malformed.",
    401: "Sign in, or send an API token.",
    403: "The role is not sufficient, or the request comes from another site.",
    404: "Not found.",
    409: "Not possible in the current state of the job.",
    413: "Too large.",
    415: "Not a multipart form.",
    422: "The request has an error; `detail` says what to fix.",
    429: "Too many requests; Retry-After says when to retry.",
    503: "The LMS cannot be reached, or asks for a pause; `detail` says for how long.",
    504: "The LMS did not answer in time.",
    507: "The server's storage is full.",
}
_POSITIVE_INTEGER = {"type": "integer", "minimum": 1, "maximum": MAX_ID}
_NAME = {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[^/]+$"}
_INTRODUCTION = (
    "Upload a roster; everyone on it is registered on the LMS, exactly once. While there are no accounts, only the "
    "server's own machine is served, without sign-in. Otherwise send an API token, which an administrator can "
    "create, as `Authorization: Bearer`. A session in a browser sends the CSRF token of the page as the header "
    f"{HEADER} with every POST."
)


def describe_api(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the description of these operations."""
    models: list[type[BaseModel]] = [words.ProblemDetails]
    models += [
        model for call in operations for model in (call.response, call.body) if model and model not in models
    ]
    unique = list(dict.fromkeys(models))
    _, schemas = models_json_schema([(model, "validation") for model in unique], ref_template=f"{_REF}{{model}}")
    paths: dict[str, dict[str, Any]] = {}
    for call in operations:
        paths.setdefault(re.sub(r":number\}", "}", call.path), {})[call.method.lower()] = _operation(call)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Roster", "version": __version__, "description": _INTRODUCTION},
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "roster_session",
                    "description": "Of a browser that is signed in; over https it is named __Host-roster_session.",
                },
            },
        },
    }


def _operation(described: Operation) -> dict[str, Any]:
    doc = (described.endpoint.__doc__ or "").strip()
    name = f"{described.method.lower()}{described.path.replace(':number', '')}"
    operation: dict[str, Any] = {
        "summary": doc.splitlines()[0],
        "operationId": re.sub(r"\W+", "_", name).strip("_"),
        "responses": {str(described.status): _response(described), **_error_responses(described)},
    }
    if not described.is_public:
        operation["security"] = [{"token": []}, {"session": []}]
    if parameters := _parameters(described):
        operation["parameters"] = parameters
    if described.body is not None:
        schema = {"$ref": f"{_REF}{described.body.__name__}"}
        operation["requestBody"] = {
            "required": not described.is_body_optional,
            "content": {described.body_type: {"schema": schema}},
        }
    return operation


def _response(operation: Operation) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if operation.response is not None:
        schema = {"$ref": f"{_REF}{operation.response.__name__}"}
        schema = {"type": "array", "items": schema} if operation.is_list else schema
    elif operation.media_type == "application/json":
        schema = {"type": "object"}
    meaning = "Success."
    if operation.media_type == "text/event-stream":
        schema, meaning = (
            _event(schema),
            "Events until the job has ended, is paused or is held; the last is named `end`.",
        )
    if operation.status == 204:  # noqa: PLR2004 - No Content
        return {"description": meaning}
    answer: dict[str, Any] = {"description": meaning, "content": {operation.media_type: {"schema": schema}}}
    if operation.status in {201, 202}:
        answer["headers"] = {"Location": {"schema": {"type": "string"}}}
    return answer


def _event(data: dict[str, Any]) -> dict[str, Any]:
    event_data = {"type": "string", "contentMediaType": "application/json", "contentSchema": data}
    properties = {"event": {"enum": ["message", "end"]}, "data": event_data, "retry": {"type": "integer"}}
    return {"type": "object", "properties": properties, "required": ["data"]}


def _error_responses(operation: Operation) -> dict[str, Any]:
    if operation.is_public and not operation.path.startswith("/api/"):
        away = {
            "content": {"application/json": {"schema": {"$ref": f"{_REF}Health"}}},
            "description": "The database is unavailable.",
        }
        return {"503": away, "default": _error_response("Something else is wrong.")}
    statuses = sorted({401, 403, 429, *operation.errors})
    return {
        **{str(status): _error_response(_STATUS_MEANINGS[status]) for status in statuses},
        "default": _error_response("Something else is wrong."),
    }


def _error_response(meaning: str) -> dict[str, Any]:
    return {"description": meaning, "content": {PROBLEM: {"schema": {"$ref": f"{_REF}ProblemDetails"}}}}


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": _POSITIVE_INTEGER, "example": 1}
        for name in re.findall(r"\{(\w+):number\}", operation.path)
    ]
    in_path += [
        {"name": name, "in": "path", "required": True, "schema": _NAME, "example": "nightly"}
        for name in re.findall(r"\{(\w+)\}", operation.path)
    ]
    in_query = [
        {"name": name, "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": most}}
        for name, most in operation.query.items()
    ]
    return in_path + in_query
