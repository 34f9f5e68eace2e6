"""What REST answers until the member has opened the catalogue: that it is to be tried later."""

from __future__ import annotations

from aiohttp import web

from offload.admin.observation import observed
from offload.admin.problem import RETRY_SECONDS, UNAVAILABLE, Problem


def waiting_application() -> web.Application:
    """Answers everything so; who asks is not looked at, and learns no more."""
    app = web.Application(middlewares=[observed])
    app.router.add_route("*", "/{path:.*}", _not_yet)
    return app


async def _not_yet(_request: web.Request) -> web.StreamResponse:
    raise Problem(
        UNAVAILABLE,
        "this worker cannot open the catalogue now; it signs meanwhile, and its log says why",
        headers={"Retry-After": str(RETRY_SECONDS)},
    )
