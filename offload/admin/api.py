"""Requests in, acts performed, answers out: what stands behind every route of an act."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, urlencode

from aiohttp import web
from pydantic import BaseModel

from offload.admin.authentication import Authenticator
from offload.admin.idempotency import Answers
from offload.admin.observation import ACTOR
from offload.admin.problem import MALFORMED, NOT_ALLOWED, Problem, of_failure
from offload.admin.reading import read_act, read_body
from offload.admin.route import Route, variables
from offload.catalogue.base import CatalogueError
from offload.cluster.actor import Actor
from offload.cluster.acts import Act
from offload.cluster.failures import ApprovalNeeded, ManagementError
from offload.cluster.management import Management, mapped
from offload.cluster.roles import allowed

APPROVAL_HEADER: Final = "Offload-Approval"
_APPROVAL: Final = re.compile(r"[0-9a-f]{32}")


class ApprovalPending(BaseModel):
    """Officers must sign first: then the same request is sent again, with the header
    Offload-Approval and this id.
    """

    approval: str
    detail: str


class Api:
    """Serves acts over HTTP."""

    def __init__(
        self, management: Management, authenticator: Authenticator, answers: Answers
    ) -> None:
        self._management = management
        self._authenticator, self._answers = authenticator, answers

    async def actor(self, request: web.Request) -> Actor:
        """Who asks; raises Problem."""
        try:
            actor = await self._authenticator.actor(request)
        except CatalogueError as error:
            raise of_failure(mapped(error)) from error
        request[ACTOR] = actor
        return actor

    async def serve(self, route: Route, request: web.Request) -> web.StreamResponse:
        """Answer a request on that route; raises Problem."""
        actor = await self.actor(request)
        if not route.act.writes:
            return await self._perform(route, request, actor, read_act(route, request, b""))
        _refuse_other_origins(request)
        body = await read_body(request)
        act = read_act(route, request, body)
        if not allowed(actor.role, route.act):
            # Refused, and recorded, but not kept: a stolen front-end would fill the catalogue.
            return await self._perform(route, request, actor, act)
        try:
            return await self._answers.once(
                request,
                actor.name,
                body,
                lambda: self._perform(route, request, actor, act),
                secret=route.secret,
            )
        except CatalogueError as error:
            raise of_failure(mapped(error)) from error

    async def _perform(
        self, route: Route, request: web.Request, actor: Actor, act: Act
    ) -> web.Response:
        try:
            answer = await self._management.perform(actor, act, approval=_approval(request))
        except ApprovalNeeded as error:
            return _pending(error)
        except ManagementError as error:
            raise of_failure(error) from error
        headers = _location(route, answer)
        following = getattr(answer, "next", "")
        if following:
            headers["Link"] = f'<{_next_page(request, str(following))}>; rel="next"'
        return json_response(answer, status=route.status, headers=headers)


def json_response(
    answer: BaseModel, *, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """An answer as JSON."""
    return web.Response(
        status=status,
        body=answer.model_dump_json().encode(),
        content_type="application/json",
        headers=headers,
    )


def _pending(error: ApprovalNeeded) -> web.Response:
    answer = ApprovalPending(approval=error.approval, detail=str(error))
    location = {"Location": f"/v1/approvals/{error.approval}"}
    return json_response(answer, status=202, headers=location)


def _approval(request: web.Request) -> str | None:
    approval = request.headers.get(APPROVAL_HEADER)
    if approval is not None and not _APPROVAL.fullmatch(approval):
        raise Problem(MALFORMED, f"{APPROVAL_HEADER} is the id of an approval: 32 digits")
    return approval


def _refuse_other_origins(request: web.Request) -> None:
    # A browser adds the user's certificate to whatever request any page makes.
    origin = request.headers.get("Origin")
    if origin is not None and origin != f"{request.scheme}://{request.host}":
        raise Problem(NOT_ALLOWED, "another site's page asks for a change")


def _location(route: Route, answer: BaseModel) -> dict[str, str]:
    fields = {name: quote(str(value)) for name, value in answer.model_dump(mode="json").items()}
    if not route.location or not fields.keys() >= set(variables(route.location)):
        return {}
    return {"Location": route.location.format_map(fields)}


def _next_page(request: web.Request, after: str) -> str:
    return f"{request.path}?{urlencode({**request.query, 'after': after})}"
