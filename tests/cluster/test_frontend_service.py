import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from support.members import Members, members_in

from offload.catalogue import paths
from offload.catalogue.base import Conflict, Put
from offload.catalogue.records import FrontendRecord
from offload.cluster.actor import Actor
from offload.cluster.acts import Act, ListFrontends, RegisterFrontend, RemoveFrontend
from offload.cluster.authority import fingerprint
from offload.cluster.failures import Invalid, NotFound, Taken
from offload.cluster.frontend_service import FrontendService
from offload.cluster.node import Node
from offload.cluster.request import RequestedKey, make_request
from offload.cluster.token_authority import TokenAuthority
from offload.keys.role import Role

OFFICER = Actor("alice", Role.OFFICER)
KEY = ec.generate_private_key(ec.SECP256R1())
REGISTER = RegisterFrontend(
    frontend="frontend-1", request=make_request("something else", KEY), zone="a"
)


@pytest.fixture
async def members(tmp_path: Path) -> AsyncIterator[Members]:
    async with members_in(tmp_path) as made:
        await made.found()
        yield made


@pytest.fixture
def founder(members: Members) -> Node:
    return members.nodes["worker-1"]


async def do(node: Node, act: Act) -> Any:
    service = FrontendService(node, TokenAuthority(node))
    return await service.handlers[type(act)](OFFICER, act)


async def test_a_front_end_gets_a_certificate_and_is_known_by_it(founder: Node) -> None:
    made = await do(founder, REGISTER)
    certificate = x509.load_pem_x509_certificate(made.certificate.encode())
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(made.authority.encode()))
    assert certificate.public_key() == KEY.public_key()
    assert certificate.subject.rfc4514_string() == "CN=frontend-1"
    known = founder.view.appliances["frontend-1"]
    assert (known.fingerprint, known.zone) == (fingerprint(certificate), "a")


async def test_a_name_is_given_once(founder: Node) -> None:
    await do(founder, REGISTER)
    with pytest.raises(Taken):
        await do(founder, REGISTER)


async def test_a_name_is_given_once_though_a_certificate_takes_its_time(
    founder: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = TokenAuthority(founder)
    asked, go = asyncio.Event(), asyncio.Event()
    issue = authority.issue_client

    async def late(name: str, public: RequestedKey) -> x509.Certificate:
        asked.set()
        await go.wait()
        return await issue(name, public)

    monkeypatch.setattr(authority, "issue_client", late)
    service = FrontendService(founder, authority)
    slow = asyncio.ensure_future(service.handlers[RegisterFrontend](OFFICER, REGISTER))
    await asked.wait()
    made = await do(founder, REGISTER)
    go.set()
    with pytest.raises(Conflict):
        await slow
    assert founder.view.appliances["frontend-1"].fingerprint == made.fingerprint


async def test_without_a_request_there_is_no_certificate(founder: Node) -> None:
    with pytest.raises(Invalid):
        await do(founder, REGISTER.model_copy(update={"request": "?"}))
    assert founder.view.appliances == {}


async def test_who_runs_and_what_it_serves_is_shown(members: Members, founder: Node) -> None:
    await do(founder, REGISTER)
    (idle,) = (await do(founder, ListFrontends())).frontends
    assert (idle.name, idle.alive, idle.serving) == ("frontend-1", False, {})
    running = FrontendRecord(name="frontend-1", serving={"www": "00" * 20})
    revision = await members.catalogue.commit([Put(paths.FRONTENDS + running.name, running.body())])
    await founder.view.reached(revision)
    (alive,) = (await do(founder, ListFrontends())).frontends
    assert (alive.alive, alive.serving) == (True, {"www": "00" * 20})


async def test_a_front_end_that_is_removed_is_known_no_longer(founder: Node) -> None:
    await do(founder, REGISTER)
    await do(founder, RemoveFrontend(frontend="frontend-1"))
    assert founder.view.appliances == {}
    with pytest.raises(NotFound):
        await do(founder, RemoveFrontend(frontend="frontend-1"))
    await do(founder, REGISTER)
    assert founder.view.appliances["frontend-1"].version == 3
