"""The description is true: what it allows is taken, what it does not is refused, as it says."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import schemathesis
from aiohttp import web
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.schemas import APIOperation, BaseSchema
from support.pki import PKI
from support.rest import Doer, managed

from offload.admin.application import application
from offload.admin.problem import UNAUTHENTICATED, Problem
from offload.admin.routes import ROUTES
from offload.cluster.actor import Actor
from offload.cluster.management import Management
from offload.cluster.roles import MATRIX
from offload.keys.role import Role

_EXAMPLES = 4
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


@pytest.fixture(scope="module")
def url(pki: PKI) -> Iterator[str]:
    """Served in a thread of its own, with fakes for all acts."""
    serving: list[str] = []
    ready, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with managed(pki) as rest:
            management = Management(rest.node, [Doer().handlers(MATRIX)])
            app = application(management, rest.node, WhoeverMay())
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            serving.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
            ready.set()
            await stop.wait()
            await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(20)
    yield serving[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


@pytest.fixture(scope="module")
def schema(url: str) -> BaseSchema:
    return schemathesis.openapi.from_url(f"{url}/v1/openapi.json")


def operations(schema: BaseSchema) -> Iterator[APIOperation[Any, Any, Any, Any]]:
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), result
        yield result.ok()


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_requests_are_taken_and_refused_as_described(
    schema: BaseSchema, mode: GenerationMode
) -> None:
    asked = 0
    for operation in operations(schema):
        asked += _check(operation, mode)
    assert asked > len(ROUTES)


def _check(operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode) -> int:
    asked = 0

    @settings(
        max_examples=_EXAMPLES,
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
        case.call_and_validate(headers={"Authorization": _TOKEN})

    check()
    return asked
