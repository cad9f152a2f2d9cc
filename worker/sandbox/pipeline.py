"""The pipeline of one request: path, credential, quota, fault, work, answer, journal. Knows no data."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol

from starlette.types import Receive, Scope, Send

from worker.sandbox import fault_effects, kmi, messages
from worker.sandbox.faults import Fault, Rule
from worker.sandbox.messages import Answer, Call, Operation, Person, Refused, Route, System
from worker.sandbox.quota_enforcement import Admission
from worker.sandbox.state import SandboxState


class Lms(Protocol):
    """What a pretend LMS offers the pipeline."""

    system: System
    #: Names of ids in its answers, beside the documented ones.
    id_fields: frozenset[str]

    @property
    def problem(self) -> Callable[[int, str], Answer]:
        """Return what words a refusal."""

    def account(self, headers: list[tuple[bytes, bytes]]) -> str | None:
        """Return whose credentials these are."""

    def route(self, method: str, path: str) -> Route | Answer:
        """Return what a request asks for."""

    def persons(self, call: Call) -> list[Person]:
        """Return those whom a call touches."""


class RequestPipeline:
    """The ASGI application under `/api/`; thin, since benchmarks measure their clients against it."""

    def __init__(self, state: SandboxState) -> None:
        self.state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        state = self.state
        body = await messages.read_body(receive)
        at = state.clock()
        path: str = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
        lms: Lms = state.kmi if path.startswith(kmi.BASE) else state.tahdah
        journal, headers, passed = state.journal, {}, None
        route = lms.route(scope["method"], path)
        if isinstance(route, Answer):
            answer, operation = route, Operation.UNKNOWN
        else:
            operation = route.operation
            account = lms.account(scope["headers"])
            if account is None:
                answer = lms.problem(HTTPStatus.UNAUTHORIZED, "Invalid token.")
            else:
                enforcer = state.quota_enforcer
                entered = enforcer.enter(state.credential(lms.system, account), at)
                if isinstance(entered, Admission):
                    passed, headers = entered, entered.headers
                    call = Call(
                        system=lms.system,
                        operation=operation,
                        account=account,
                        path=path,
                        query=scope["query_string"].decode("latin-1"),
                        body=body,
                        at=at,
                    )
                    answer = await self._let_in(lms, call, route, passed)
                else:
                    answer = entered
        # Recorded first, so that a caller with an answer finds its call in the journal.
        journal.note(at, lms.system, operation, answer.status)
        try:
            if answer.held:
                await asyncio.sleep(answer.held)
            if answer.dropped:
                await self._drop(scope, receive)
            else:
                await messages.write(answer, scope, send, headers)
        finally:
            if passed is not None:
                enforcer.leave(passed, state.clock())

    async def _let_in(self, lms: Lms, call: Call, route: Route, passed: Admission) -> Answer:
        """Do the work, half way through the latency, unless a fault prevents it."""
        half = self.state.options.latency / 2
        if half:
            await asyncio.sleep(half)
        rules = self._rules(lms, call)
        if any(rule.what is Fault.HOLD for rule in rules):
            await self.state.rules_replaced.wait()
        answer = self._undone(lms, call, rules, passed)
        if answer is None:
            answer = _work(call, route) if all(rule.works for rule in rules) else messages.EMPTY
            for rule in rules:
                answer = fault_effects.alter_answer(rule, answer, lms.problem, self.state.fault_plan, lms.id_fields)
        if half:
            await asyncio.sleep(half)
        return answer

    def _rules(self, lms: Lms, call: Call) -> list[Rule]:
        scenario = self.state.fault_plan
        return scenario.rules_for(call, lambda: lms.persons(call)) if scenario.rules else []

    def _undone(self, lms: Lms, call: Call, rules: list[Rule], passed: Admission) -> Answer | None:
        """Return the answer of the first rule that leaves the work undone; None when there is none."""
        for rule in rules:
            if rule.what is Fault.THROTTLE:
                answer, until = fault_effects.throttle(rule, call.at)
                self.state.quota_enforcer.note_throttled(passed, until)
                return answer
            instead = fault_effects.answer_instead(rule, lambda: lms.persons(call), lms.problem)
            if instead is not None:
                return instead
        return None

    async def _drop(self, scope: Scope, receive: Receive) -> None:
        """Close the connection without a word, and wait until it is closed."""
        self.state.hang_up(tuple(scope["client"]))
        await receive()


def _work(call: Call, route: Route) -> Answer:
    try:
        return route.handle(call)
    except Refused as refused:
        return refused.answer
