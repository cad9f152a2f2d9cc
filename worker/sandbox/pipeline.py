"""The pipeline of one request: path, credential, quota, fault, work, answer, journal. Knows no data."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any

from starlette.types import Receive, Scope, Send

from worker.sandbox import fault_effects, messages
from worker.sandbox.faults import Fault, Rule
from worker.sandbox.messages import Answer, Call, Refused, Request, Route, Work
from worker.sandbox.quota_enforcement import Admission
from worker.sandbox.state import SandboxState
from worker.sandbox.systems import System


class RequestPipeline:
    """The ASGI application under `/api/`; thin, since benchmarks measure their clients against it."""

    def __init__(self, state: SandboxState) -> None:
        self.state = state
        self._unattended: set[asyncio.Task[Answer]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        state = self.state
        request = Request(
            method=scope["method"],
            path=scope.get("raw_path", scope["path"].encode()).decode("latin-1"),
            query=scope["query_string"].decode("latin-1"),
            headers=scope["headers"],
            body=await messages.read_body(receive),
        )
        at = state.clock()
        lms = state.system_at(request.path)
        if lms is None:
            await messages.write(messages.NOT_FOUND, scope, send, {})
            return
        journal, headers, passed = state.journal, {}, None
        route = lms.route(request)
        if isinstance(route, Answer):
            answer, operation = route, messages.UNKNOWN
        else:
            operation = route.operation
            account = lms.account(request)
            if isinstance(account, Answer):
                answer = account
            else:
                enforcer = state.quota_enforcer
                entered = enforcer.enter(state.credential(lms, account), at)
                if isinstance(entered, Admission):
                    passed, headers = entered, entered.headers
                    call = Call(
                        system=lms.name,
                        operation=operation,
                        account=account,
                        path=request.path,
                        query=request.query,
                        body=request.body,
                        at=at,
                        form=request.form,
                    )
                    answer = await self._behind_gateway(lms, self._let_in(lms, call, route, passed))
                else:
                    answer = entered
        # Recorded first, so that a caller with an answer finds its call in the journal.
        journal.note(at, lms.name, operation, answer.status)
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

    async def _let_in(self, lms: System, call: Call, route: Route, passed: Admission) -> Answer:
        """Do the work, half way through the latency, unless a fault prevents it."""
        half = self.state.options.latency / 2
        if half:
            await asyncio.sleep(half)
        rules = self._rules(lms, call)
        if any(rule.what is Fault.HOLD for rule in rules):
            await self.state.rules_replaced.wait()
        answer = self._undone(lms, call, route, rules, passed)
        if answer is None:
            answer = await _work(call, route) if all(rule.works for rule in rules) else messages.EMPTY
            for rule in rules:
                answer = fault_effects.alter_answer(rule, answer, lms.problem, self.state.fault_plan, lms.id_fields)
        if half:
            await asyncio.sleep(half)
        return answer

    def _rules(self, lms: System, call: Call) -> list[Rule]:
        scenario = self.state.fault_plan
        return scenario.rules_for(call, lambda: lms.persons(call)) if scenario.rules else []

    def _undone(self, lms: System, call: Call, route: Route, rules: list[Rule], passed: Admission) -> Answer | None:
        """Return the answer of the first rule that leaves the work undone; None when there is none."""
        for rule in rules:
            if rule.what in lms.faults:
                return lms.fault(rule.what)
            if rule.what is Fault.LATE:
                self._go_on(self._later(call, route, rule.seconds))
                return lms.problem(HTTPStatus.GATEWAY_TIMEOUT, "The gateway did not wait.")
            if rule.what is Fault.THROTTLE:
                answer, until = fault_effects.throttle(rule, call.at)
                self.state.quota_enforcer.note_throttled(passed, until)
                return answer
            instead = fault_effects.answer_instead(rule, lambda: lms.persons(call), lms.problem)
            if instead is not None:
                return instead
        return None

    async def _behind_gateway(self, lms: System, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Wait for the answer as long as the gateway does; the work goes on."""
        patience = self.state.options.gateway
        if not patience:
            return await work
        task = self._go_on(work)
        done, _ = await asyncio.wait({task}, timeout=patience)
        return task.result() if done else lms.problem(HTTPStatus.GATEWAY_TIMEOUT, "The gateway did not wait.")

    @staticmethod
    async def _later(call: Call, route: Route, seconds: float) -> Answer:
        await asyncio.sleep(seconds)
        return await _work(call, route)

    def _go_on(self, work: Coroutine[Any, Any, Answer]) -> asyncio.Task[Answer]:
        """Start work that no client waits for."""
        task = asyncio.create_task(work)
        self._unattended.add(task)
        task.add_done_callback(self._unattended.discard)
        return task

    async def _drop(self, scope: Scope, receive: Receive) -> None:
        """Close the connection without a word, and wait until it is closed."""
        self.state.hang_up(tuple(scope["client"]))
        await receive()


async def _work(call: Call, route: Route) -> Answer:
    try:
        done = route.handle(call)
    except Refused as refused:
        return refused.answer
    if isinstance(done, Work):
        await asyncio.sleep(done.seconds)
        return done.finish()
    return done
