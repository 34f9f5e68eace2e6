"""REST over real mutual TLS: each role with each act, and what belongs to no act."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from support.pki import PKI
from support.rest import USERS, Rest, served

from offload.admin.application import application
from offload.admin.authentication import LocalAuthenticator
from offload.admin.problem import MEDIA_TYPE
from offload.admin.route import Route
from offload.admin.routes import ROUTES
from offload.cluster.management import Management
from offload.cluster.request import make_request
from offload.cluster.roles import MATRIX

EXAMPLES: dict[str, Any] = {
    "key": "www",
    "label": "www",
    "member": "worker-2",
    "frontend": "front-2",
    "user": "uma",
    "role": "auditor",
    "approval": "0" * 32,
    "public_key": "PEM",
    "enclosed": "AAAA",
    "recipient": "PEM",
    "names": ["www.example.org"],
    "chain": "PEM",
    "fingerprint": "00",
    "request": make_request("uma", ec.generate_private_key(ec.SECP256R1())),
    "signature": "AAAA",
}


@pytest.fixture
async def rest(pki: PKI) -> AsyncIterator[Rest]:
    async with served(pki) as made:
        yield made


def example(route: Route) -> tuple[str, dict[str, Any] | None]:
    """A path and body that ask for the act."""
    required = [name for name, one in route.act.model_fields.items() if one.is_required()]
    body = {name: EXAMPLES[name] for name in required if name not in route.variables}
    return route.path.format_map(EXAMPLES), body if route.has_body else None


async def test_each_role_may_do_exactly_what_the_matrix_says(rest: Rest) -> None:
    wrong = []
    for user, role in USERS.items():
        for route in ROUTES:
            path, body = example(route)
            answer = await rest.ask(user, route.method, path, body)
            may = answer.status != 403
            if may is not (role in MATRIX[route.act]):
                wrong.append(f"{role} {route.act.name}: {answer.status} {answer.body!r}")
            assert answer.status in (200, 201, 403, 404, 409, 422), answer.body
    assert not wrong, "\n".join(wrong)


async def test_the_transport_key_is_for_users(rest: Rest) -> None:
    answer = await rest.ask("kim", "GET", "/v1/transport")
    key = load_pem_public_key(answer.json()["rsa"].encode())
    assert isinstance(key, rsa.RSAPublicKey)
    assert answer.json()["member"] == "worker-1"
    assert (await rest.ask("", "GET", "/v1/transport")).status == 401


async def test_a_user_is_told_who_he_is_and_what_he_may(rest: Rest) -> None:
    session = (await rest.ask("ada", "GET", "/v1/session")).json()
    assert (session["name"], session["role"]) == ("ada", "auditor")
    assert session["acts"] == sorted(
        act.name for act, roles in MATRIX.items() if USERS["ada"] in roles
    )


async def test_the_description_is_for_everybody(rest: Rest) -> None:
    answer = await rest.ask("", "GET", "/v1/openapi.json")
    assert answer.json()["openapi"] == "3.1.0"
    assert len(answer.json()["paths"]) > 30


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/console", 404),
        ("GET", "/v2/keys", 404),
        ("GET", "/v1/keys/", 404),
        ("PATCH", "/v1/keys", 405),
        ("HEAD", "/v1/keys", 405),
        ("POST", "/v1/enrolments", 404),
    ],
)
async def test_what_is_not_there_is_a_problem(
    rest: Rest, method: str, path: str, status: int
) -> None:
    answer = await rest.ask("olga", method, path)
    assert (answer.status, answer.content_type) == (status, MEDIA_TYPE)
    assert status == 404 or "POST" in answer.headers["Allow"]


async def test_acts_that_are_not_done_here_have_no_route(rest: Rest) -> None:
    app = application(Management(rest.node, []), rest.node, LocalAuthenticator(rest.actor("kim")))
    paths = {route.resource.canonical for route in app.router.routes() if route.resource}
    assert {path for path in paths if path.startswith("/v1/")} == {
        "/v1/transport",
        "/v1/session",
        "/v1/openapi.json",
    }
