"""A machine asks to join over REST, with its invitation's secret."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from support.members import Members, enrolment_of, members_in

from offload.admin import enrolments
from offload.admin.application import application
from offload.admin.authentication import LocalAuthenticator
from offload.admin.enrolments import BURST
from offload.admin.problem import MEDIA_TYPE
from offload.catalogue.fake import FakeCatalogue
from offload.cluster.actor import Actor
from offload.cluster.invitation import Invitation
from offload.cluster.joining import ENROLMENTS_PATH, authorization
from offload.cluster.management import Management
from offload.keys.role import Role

Client = TestClient[Any, Any]


@pytest.fixture
async def members(tmp_path: Path) -> AsyncIterator[Members]:
    async with members_in(tmp_path) as made:
        await made.found()
        yield made


@pytest.fixture
async def client(members: Members) -> AsyncIterator[Client]:
    node = members.nodes["worker-1"]
    enrolment, _ = enrolment_of(node)
    authenticator = LocalAuthenticator(Actor("alice", Role.OFFICER))
    app = application(Management(node, []), node, authenticator, enrolment=enrolment)
    async with TestClient(TestServer(app)) as made:
        yield made


async def invited(members: Members) -> tuple[Invitation, dict[str, Any], dict[str, str]]:
    """An invitation, and the body and headers of who has it."""
    _, invitations = enrolment_of(members.nodes["worker-1"])
    invitation = await invitations.invite("worker-2", 60, "alice")
    newcomer = members.newcomer("worker-2")
    body = newcomer.application(invitation).model_dump(mode="json")
    newcomer.token.close()
    return invitation, body, {"Authorization": authorization(invitation.secret)}


async def test_an_application_waits_for_an_officer(members: Members, client: Client) -> None:
    _, body, headers = await invited(members)
    async with client.post(ENROLMENTS_PATH, json=body, headers=headers) as response:
        asked = await response.json()
        assert (response.status, asked["state"]) == (201, "pending")
        location = response.headers["Location"]
    async with client.get(location, headers=headers) as response:
        assert (response.status, await response.json()) == (200, asked)

    enrolment, _ = enrolment_of(members.nodes["worker-1"])
    await enrolment.approve("worker-2", asked["id"])
    async with client.get(location, headers=headers) as response:
        assert "BEGIN CERTIFICATE" in (await response.json())["certificate"]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic eDp5"}, {"Authorization": ""}])
async def test_who_brings_no_secret_is_nobody(
    members: Members, client: Client, headers: dict[str, str]
) -> None:
    _, body, _ = await invited(members)
    for response in (
        await client.post(ENROLMENTS_PATH, json=body, headers=headers),
        await client.get(f"{ENROLMENTS_PATH}/00", headers=headers),
    ):
        assert (response.status, response.content_type) == (401, MEDIA_TYPE)


async def test_another_secret_opens_nothing(members: Members, client: Client) -> None:
    _, body, _ = await invited(members)
    headers = {"Authorization": "Bearer guess"}
    async with client.post(ENROLMENTS_PATH, json=body, headers=headers) as response:
        assert response.status in (403, 404)
    async with client.get(f"{ENROLMENTS_PATH}/00", headers=headers) as response:
        assert response.status == 404


@pytest.mark.parametrize(
    ("change", "status"),
    [({"member": 7}, 422), ({"more": 1}, 422), ({"request": "PEM"}, 422), ({"proof": "AAAA"}, 422)],
)
async def test_an_application_that_is_none_is_refused(
    members: Members, client: Client, change: dict[str, Any], status: int
) -> None:
    _, body, headers = await invited(members)
    async with client.post(ENROLMENTS_PATH, json={**body, **change}, headers=headers) as response:
        assert (response.status, response.content_type) == (status, MEDIA_TYPE)


async def test_malformed_bodies_are_refused(members: Members, client: Client) -> None:
    _, body, headers = await invited(members)
    headers["Content-Type"] = "application/json"
    for data, status in ((b"{", 400), (b"[]", 422), (json.dumps(body).encode() * 200, 413)):
        async with client.post(ENROLMENTS_PATH, data=data, headers=headers) as response:
            assert response.status == status


async def test_a_catalogue_that_does_not_answer_is_told_of(
    members: Members, client: Client
) -> None:
    _, body, headers = await invited(members)
    catalogue = members.nodes["worker-1"].catalogue
    assert isinstance(catalogue, FakeCatalogue)
    catalogue.down = True
    async with client.post(ENROLMENTS_PATH, json=body, headers=headers) as response:
        assert response.status == 503
        assert "Retry-After" in response.headers
    async with client.get(f"{ENROLMENTS_PATH}/00", headers=headers) as response:
        assert response.status in (404, 503)


async def test_strangers_ask_so_often_and_no_more(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enrolments, "PER_SECOND", 0.001)
    node = members.nodes["worker-1"]
    enrolment, _ = enrolment_of(node)
    authenticator = LocalAuthenticator(Actor("alice", Role.OFFICER))
    app = application(Management(node, []), node, authenticator, enrolment=enrolment)
    statuses = []
    async with TestClient(TestServer(app)) as client:
        for _ in range(int(BURST) + 1):
            async with client.get(f"{ENROLMENTS_PATH}/00") as response:
                statuses.append(response.status)
        assert int(response.headers["Retry-After"]) > 0
        async with client.get("/v1/session") as response:
            assert response.status == 200
    assert statuses == [401] * int(BURST) + [429]


async def test_enrolment_is_described(client: Client) -> None:
    async with client.get("/v1/openapi.json") as response:
        paths = (await response.json())["paths"]
    assert paths[ENROLMENTS_PATH]["post"]["security"] == [{"invitation": []}]
    assert set(paths[f"{ENROLMENTS_PATH}/{{id}}"]) == {"get"}
