"""What is common to all requests: errors become problems, and each request is one line of log."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from offload.admin.problem import INTERNAL, Problem, of_http
from offload.cluster.actor import Actor
from offload.observe import metrics
from offload.observe.log import get_logger

ACTOR: Final = web.RequestKey("actor", Actor)

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}

_log = get_logger("admin.access")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def observed(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer in any case, and log it: neither query nor headers, which may hold secrets."""
    began = time.monotonic()
    response = await _answered(request, handler)
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    metrics.API_REQUESTS.labels(str(response.status)).inc()
    actor = request.get(ACTOR)
    _log.info(
        "request",
        method=request.method,
        path=request.rel_url.raw_path,
        status=response.status,
        actor=actor.name if actor else None,
        via=actor.via if actor else None,
        peer=request.remote,
        milliseconds=round(1000 * (time.monotonic() - began), 1),
    )
    return response


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Problem as problem:
        return problem.response()
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return of_http(error).response()
    except Exception:
        _log.exception("a request failed", method=request.method, path=request.rel_url.raw_path)
        return Problem(INTERNAL, "the request could not be answered").response()
