"""The description is true: what it allows is taken, what it does not is refused, as it says."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
import schemathesis
from aiohttp import web
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.schemas import APIOperation, BaseSchema
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance
from support.members import members_in
from support.pki import PKI
from support.rest import Doer, managed

from offload.admin.application import application
from offload.admin.problem import UNAUTHENTICATED, Problem
from offload.admin.routes import ROUTES
from offload.admin.services import Services
from offload.audit.log import AuditLog
from offload.cluster.actor import Actor
from offload.cluster.management import Management
from offload.cluster.roles import MATRIX
from offload.keys.role import Role

_EXAMPLES = 3
_TOKEN = "Bearer token"
_ACTS = {(route.method, route.path): route.act for route in ROUTES}


class WhoeverMay:
    """Takes a request with the token to be from somebody whose role covers it."""

    async def actor(self, request: web.Request) -> Actor:
        if request.headers.get("Authorization") != _TOKEN:
            raise Problem(UNAUTHENTICATED, "no token", headers={"WWW-Authenticate": "Bearer"})
        resource = request.match_info.route.resource
        act = _ACTS.get((request.method, resource.canonical if resource else ""))
        return Actor("somebody", min(MATRIX[act]) if act else Role.OFFICER)


@contextmanager
def served(making: AbstractAsyncContextManager[web.Application]) -> Iterator[BaseSchema]:
    """The description of an application that is served in a thread of its own."""
    urls: list[str] = []
    ready, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with making as app:
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            urls.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
            ready.set()
            await stop.wait()
            await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(20)
        yield schemathesis.openapi.from_url(f"{urls[0]}/v1/openapi.json")
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@asynccontextmanager
async def fakes(pki: PKI) -> AsyncIterator[web.Application]:
    """What takes every act that can be read."""
    async with managed(pki) as rest:
        management = Management(rest.node, [Doer().handlers(MATRIX)])
        yield application(management, rest.node, WhoeverMay())


@asynccontextmanager
async def real(directory: Path) -> AsyncIterator[web.Application]:
    """A member as it is."""
    async with members_in(directory) as members:
        node = await members.found()
        log = AuditLog(directory / "audit", node.name, node.clock, cluster="example")
        node.audit = log
        services = Services.of(node, log)
        tasks = [asyncio.create_task(task()) for task in services.tasks.values()]
        yield application(services.management, node, WhoeverMay(), enrolment=services.enrolment)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        log.close()


def operations(schema: BaseSchema) -> Iterator[APIOperation[Any, Any, Any, Any]]:
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), result
        yield result.ok()


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_requests_are_taken_and_refused_as_described(pki: PKI, mode: GenerationMode) -> None:
    with served(fakes(pki)) as schema:
        asked = [_check(operation, mode, _EXAMPLES) for operation in operations(schema)]
    assert sum(asked) > len(ROUTES)


def test_the_real_services_answer_as_described(tmp_path: Path) -> None:
    with served(real(tmp_path)) as schema:
        for operation in operations(schema):
            _check(operation, GenerationMode.POSITIVE, 2, [positive_data_acceptance, ignored_auth])


def _check(
    operation: APIOperation[Any, Any, Any, Any],
    mode: GenerationMode,
    examples: int,
    excluded: Sequence[Any] = (),
) -> int:
    asked = 0

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: schemathesis.Case[Any]) -> None:
        nonlocal asked
        asked += 1
        if mode is GenerationMode.POSITIVE and case.headers and "Idempotency-Key" in case.headers:
            # The same for two requests would be refused, and rightly.
            case.headers["Idempotency-Key"] = uuid4().hex
        case.call_and_validate(
            headers={"Authorization": _TOKEN}, session=session, excluded_checks=[*excluded]
        )

    with requests.Session() as session:
        check()
    return asked
