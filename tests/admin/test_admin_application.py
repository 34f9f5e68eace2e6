"""REST over real mutual TLS: each role with each act, and what belongs to no act."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from support.pki import PKI
from support.rest import USERS, Rest, served

from offload.admin.route import Route
from offload.admin.routes import ROUTES
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
