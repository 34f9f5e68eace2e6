"""REST and the console: the application that a member's management process serves."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from aiohttp import web
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)
from pydantic import BaseModel

from offload.admin import enrolments
from offload.admin.api import Api, ApprovalPending, json_response
from offload.admin.authentication import Authenticator
from offload.admin.console import assets
from offload.admin.idempotency import Answers
from offload.admin.observation import Handler, observed
from offload.admin.openapi import Plain, document
from offload.admin.reading import MAX_BODY
from offload.admin.route import Route
from offload.admin.routes import ROUTES
from offload.cluster.enrolment import Enrolment
from offload.cluster.management import Management
from offload.cluster.node import Node
from offload.cluster.roles import MATRIX


class TransportView(BaseModel):
    """What a key is enclosed to, to be imported on this member: an RSA key of 3072 bits (PEM)."""

    member: str
    rsa: str


class SessionView(BaseModel):
    """Who you are to this member, and which acts your role covers."""

    name: str
    role: str
    via: str
    acts: tuple[str, ...]


def application(
    management: Management,
    node: Node,
    authenticator: Authenticator,
    *,
    enrolment: Enrolment | None = None,
    routes: Iterable[Route] = ROUTES,
) -> web.Application:
    """REST and the console of the member `node`; `enrolment`: takes newcomers, if there is one."""
    app = web.Application(client_max_size=MAX_BODY, middlewares=[observed])
    api = Api(management, authenticator, Answers(node))
    answers = management.answers()
    served = [route for route in routes if route.act in answers]
    for route in served:
        app.router.add_route(route.method, route.path, _serving(api, route))
    app.router.add_get("/v1/transport", _transport(api, node), allow_head=False)
    app.router.add_get("/v1/session", _session(api), allow_head=False)
    plain = _PLAIN
    if enrolment is not None:
        enrolments.Enrolments(enrolment).add_to(app)
        plain += enrolments.PLAIN
    description = document(served, answers, plain, [ApprovalPending])
    app.router.add_get("/v1/openapi.json", _described(description), allow_head=False)
    assets.add_to(app)
    return app


def _serving(api: Api, route: Route) -> Handler:
    async def serve(request: web.Request) -> web.StreamResponse:
        return await api.serve(route, request)

    return serve


def _transport(api: Api, node: Node) -> Handler:
    async def transport(request: web.Request) -> web.StreamResponse:
        await api.actor(request)
        key = load_der_public_key((await node.in_thread(lambda: node.token.transport)).rsa)
        text = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        return json_response(TransportView(member=node.name, rsa=text))

    return transport


def _session(api: Api) -> Handler:
    async def session(request: web.Request) -> web.StreamResponse:
        actor = await api.actor(request)
        acts = tuple(sorted(act.name for act, roles in MATRIX.items() if actor.role in roles))
        return json_response(
            SessionView(name=actor.name, role=actor.role, via=actor.via, acts=acts)
        )

    return session


def _described(description: dict[str, Any]) -> Handler:
    body = json.dumps(description).encode()

    async def describe(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type="application/json")

    return describe


_PLAIN: Final[tuple[Plain, ...]] = (
    Plain("GET", "/v1/transport", "What a key is enclosed to, to be imported here", TransportView),
    Plain("GET", "/v1/session", "Who you are, and what you may", SessionView),
    Plain("GET", "/v1/openapi.json", "This description", None, secured=False),
)
