"""Rotations asked for, watched and cancelled, on members that replicate keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_der_public_key
from support.key_cluster import KATE, KeyCluster, KeyMember, key_cluster

from offload.cluster.acts import (
    Act,
    CancelRotation,
    InstallCertificate,
    RotateKey,
    ShowRotation,
    SuspendKey,
)
from offload.cluster.authority import pem
from offload.cluster.certification import self_signed
from offload.cluster.creation import NewKey
from offload.cluster.failures import Invalid, NotFound, WrongState
from offload.cluster.rotation import Phase
from offload.cluster.rotation_service import RotationService
from offload.cluster.rotator import Rotator, rotations
from offload.cluster.token_key import signing, token_key
from offload.cluster.views import RotationView
from offload.keys.algorithm import Algorithm
from offload.keys.state import State


class Rotations:
    """What the first of two members is asked; both carry rotations on."""

    def __init__(self, cluster: KeyCluster) -> None:
        self.cluster = cluster
        self.member = cluster.members[0]
        self._service = RotationService(self.member.node, self.member.service.creation)

    async def do(self, act: Act) -> Any:
        return await self._service.handlers[type(act)](KATE, act)

    async def rotate(self, label: str = "www", **fields: Any) -> RotationView:
        view = await self.do(RotateKey(label=label, drain_seconds=0, **fields))
        assert isinstance(view, RotationView)
        return view

    async def until(self, phase: Phase) -> None:
        await self.member.until(lambda view: rotations(view)["www"].phase is phase)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Rotations]:
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(key_cluster(tmp_path, 2))
        for member in cluster.members:
            task = asyncio.create_task(Rotator(member.node).run())
            stack.push_async_callback(_ended, task)
        await cluster.members[0].create("www", sites=("www.example.org",))
        yield Rotations(cluster)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def chain_for(member: KeyMember, generation: int) -> str:
    key = member.key("www", generation)
    held = token_key(load_der_public_key(key.public_key), signing(member.node.token, key.ski))
    return pem(self_signed(held, ["www.example.org"], member.node.clock(), 30)).decode()


async def test_self_signed_from_one_generation_to_the_next(scene: Rotations) -> None:
    begun = await scene.rotate(issue="self-signed", algorithm=Algorithm("p-384"))
    assert (begun.label, begun.names) == ("www", ("www.example.org",))
    await scene.until(Phase.DONE)
    view = scene.member.view
    assert scene.member.key("www", 1).state is State.DEACTIVATED
    new = scene.member.key("www", 2)
    assert (new.state, new.algorithm) == (State.ACTIVE, Algorithm("p-384"))
    assert new.policy == scene.member.key("www", 1).policy
    assert view.labels["www"].current == new.ski.hex() == view.certificates["www"].ski


async def test_waits_for_the_certificate_that_the_request_is_for(scene: Rotations) -> None:
    await scene.member.do(InstallCertificate(key="www", chain=chain_for(scene.member, 1)))
    await scene.rotate()
    await scene.until(Phase.CERTIFYING)
    shown = await scene.do(ShowRotation(label="www"))
    assert shown.waiting_for == "no certificate is installed for the new generation"
    request = x509.load_pem_x509_csr(shown.request.encode())
    new = scene.member.key("www", 2)
    assert request.public_key() == load_der_public_key(new.public_key)
    with pytest.raises(Invalid, match="not for this key"):
        await scene.member.do(InstallCertificate(key="www@2", chain=chain_for(scene.member, 1)))
    chain = chain_for(scene.member, 2)
    await scene.member.do(InstallCertificate(key="www@2", chain=chain))
    await scene.until(Phase.DONE)
    served = scene.member.view.certificates["www"]
    assert (served.ski, served.generation, served.chain) == (new.ski.hex(), 2, chain)


async def test_cancelled_while_it_waits(scene: Rotations) -> None:
    old = chain_for(scene.member, 1)
    await scene.member.do(InstallCertificate(key="www", chain=old))
    await scene.rotate()
    await scene.until(Phase.CERTIFYING)
    back = await scene.do(CancelRotation(label="www"))
    assert (back.phase, back.reason) == ("rolled-back", "cancelled by kate")
    assert scene.member.key("www", 1).state is State.ACTIVE
    assert scene.member.key("www", 2).state is State.DEACTIVATED
    assert scene.member.view.certificates["www"].chain == old
    with pytest.raises(WrongState, match="too late"):
        await scene.do(CancelRotation(label="www"))


async def test_one_rotation_at_a_time(scene: Rotations) -> None:
    await scene.rotate()
    with pytest.raises(WrongState, match="being rotated already"):
        await scene.rotate()
    await scene.do(CancelRotation(label="www"))
    again = await scene.rotate(issue="self-signed")
    await scene.until(Phase.DONE)
    assert scene.member.key("www", 3).ski.hex() == again.new_ski


async def test_a_generation_left_over_by_a_crash_is_taken_up(scene: Rotations) -> None:
    old = scene.member.key("www")
    further = NewKey(label="www", policy=old.policy, beside=True)
    left = await scene.member.service.creation.generate(further, old.algorithm)
    begun = await scene.rotate(issue="self-signed")
    assert begun.new_ski == left.ski.hex()
    await scene.until(Phase.DONE)
    assert len(scene.member.view.labels["www"].generations) == 2


async def test_what_cannot_be_rotated(scene: Rotations) -> None:
    with pytest.raises(NotFound):
        await scene.rotate("nothing")
    with pytest.raises(NotFound, match="takes a key's label"):
        await scene.rotate(scene.member.key("www").ski.hex()[:40])
    await scene.member.create("nameless")
    with pytest.raises(Invalid, match="give names"):
        await scene.rotate("nameless")
    await scene.member.do(SuspendKey(key="www"))
    with pytest.raises(WrongState, match="only an active key"):
        await scene.rotate()
    with pytest.raises(NotFound, match="never rotated"):
        await scene.do(ShowRotation(label="www"))
