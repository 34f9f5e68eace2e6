"""A rotation driven from step to step on a catalogue, with a real token."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_der_public_key
from support.cluster import NOW, found, put, signer, verifier
from support.managed_keys import appliance

from offload.audit.sink import FakeAuditSink
from offload.catalogue import paths
from offload.catalogue.base import Put
from offload.catalogue.fake import FakeCatalogue
from offload.catalogue.records import (
    AliveRecord,
    CertificateRecord,
    FrontendRecord,
    HoldingRecord,
    LabelRecord,
)
from offload.cluster.authority import pem
from offload.cluster.certification import self_signed
from offload.cluster.node import Node
from offload.cluster.rotation import Phase, RotationRecord
from offload.cluster.rotator import Rotator, rotations, situation
from offload.cluster.token_key import signing, token_key
from offload.cluster.view import View
from offload.keys.algorithm import Algorithm
from offload.keys.managed import ManagedKey
from offload.keys.state import State
from offload.token.sealing import Cost
from offload.token.software import SoftwareToken


@dataclass
class Clock:
    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Scene:
    """A member `a` with two generations of `www` in its token, and what can happen to them."""

    node: Node
    clock: Clock
    catalogue: FakeCatalogue
    old: ManagedKey
    new: ManagedKey
    audit: FakeAuditSink = field(default_factory=FakeAuditSink)

    @property
    def rotation(self) -> RotationRecord:
        return rotations(self.node.view)["www"]

    async def until(self, phase: Phase) -> RotationRecord:
        async with asyncio.timeout(10):
            await self.node.view.until(lambda view: self.rotation.phase is phase)
        return self.rotation

    async def frontend(self, **fields: dict[str, str]) -> None:
        record = FrontendRecord(name="frontend-1", **fields)
        await self.catalogue.commit([Put(paths.FRONTENDS + "frontend-1", record.body())])

    async def holds(self, *members: str) -> None:
        for name in members:
            ski = self.new.ski.hex()
            holding = HoldingRecord(member=name, ski=ski, state="held")
            await put(self.catalogue, name, {f"{paths.HOLDINGS}{ski}/{name}": holding})

    def key(self, which: ManagedKey) -> ManagedKey:
        return self.node.view.keys[which.ski]


def certificate(node: Node, key: ManagedKey) -> str:
    held = token_key(load_der_public_key(key.public_key), signing(node.token, key.ski))
    return pem(self_signed(held, ["www.example.org"], NOW, 90)).decode()


def managed(token: SoftwareToken, generation: int, state: State) -> ManagedKey:
    record = token.generate(f"www@{generation}", Algorithm("p-256"))
    return ManagedKey(
        ski=record.ski,
        label="www",
        generation=generation,
        algorithm=record.algorithm,
        public_key=record.public_key,
        state=state,
        created=NOW,
        changed=NOW,
        home="a",
        wrapped=token.wrap(record.ski, 1),
        wrapped_under=1,
    )


def begun(old: ManagedKey, new: ManagedKey, issue: str = "self-signed") -> RotationRecord:
    return RotationRecord(
        label="www",
        old_ski=old.ski.hex(),
        new_ski=new.ski.hex(),
        phase=Phase.REPLICATING,
        issue=issue,
        names=("www.example.org",),
        drain_seconds=60.0,
        asked_by="kate",
        began=NOW,
        changed=NOW,
    )


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    catalogue, clock, audit = FakeCatalogue(), Clock(), FakeAuditSink()
    token = SoftwareToken.create(tmp_path / "token", b"x", Cost(64, 1, 1))
    token.generate_cluster_key(1)
    await found(catalogue, "a", "b")
    for name in ("a", "b"):
        alive = AliveRecord(name=name, since=NOW)
        await catalogue.commit([Put(paths.ALIVE + name, alive.body())])
    node = Node(
        name="a",
        catalogue=catalogue,
        view=await View.open(catalogue, verifier()),
        signer=signer("a"),
        token=token,
        audit=audit,
        clock=clock,
        random=Random(1),
    )
    old, new = managed(token, 1, State.ACTIVE), managed(token, 2, State.ACTIVE)
    await node.write(
        {
            paths.KEYS + old.ski.hex(): old,
            paths.KEYS + new.ski.hex(): new,
            paths.LABELS + "www": LabelRecord(
                label="www",
                generations=(old.ski.hex(), new.ski.hex()),
                current=old.ski.hex(),
            ),
            paths.CERTIFICATES + "www": CertificateRecord(
                label="www", ski=old.ski.hex(), generation=1, chain=certificate(node, old)
            ),
        }
    )
    yield Scene(node, clock, catalogue, old, new, audit)
    await node.view.close()
    await node.close()
    token.close()


@contextlib.asynccontextmanager
async def driven(scene: Scene) -> AsyncIterator[None]:
    task = asyncio.create_task(Rotator(scene.node).run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def begin(scene: Scene, issue: str = "self-signed") -> None:
    await scene.node.write({paths.ROTATIONS + "www": begun(scene.old, scene.new, issue)})


async def test_a_rotation_from_end_to_end(scene: Scene) -> None:
    new = scene.new.ski.hex()
    await scene.frontend(serving={"www": scene.old.ski.hex()})
    async with driven(scene):
        await begin(scene)
        await scene.holds("a", "b")
        staging = await scene.until(Phase.STAGING)
        staged = scene.node.view.certificates["www"]
        assert staged.ski == scene.old.ski.hex()
        assert (staged.canary_ski, staged.canary_name) == (new, staging.canary_name)
        leaf = x509.load_pem_x509_certificate(staged.canary_chain.encode())
        csr = x509.load_pem_x509_csr(staging.request.encode())
        assert leaf.public_key() == csr.public_key()
        await scene.frontend(serving={"www": scene.old.ski.hex()}, staged={"www": new})
        await scene.until(Phase.SWITCHING)
        served = scene.node.view.certificates["www"]
        assert (served.ski, served.generation, served.canary_ski) == (new, 2, "")
        assert scene.node.view.labels["www"].current == new
        await scene.frontend(serving={"www": new})
        await scene.until(Phase.DRAINING)
        assert scene.key(scene.old).state is State.ACTIVE
        scene.clock.now += timedelta(seconds=61)
        await scene.until(Phase.DONE)
    assert scene.key(scene.old).state is State.DEACTIVATED
    assert scene.key(scene.new).state is State.ACTIVE
    acts = [record["act"] for record in scene.audit.records]
    assert acts == [
        f"key.rotation.{step}" for step in ("certify", "stage", "switch", "drain", "finish")
    ]


async def test_a_front_end_that_was_removed_stops_no_rotation(scene: Scene) -> None:
    # It may have been stolen, and its account at the store may still write what it serves.
    path = paths.APPLIANCES + "frontend-1"
    await scene.node.write({path: appliance("frontend-1", "ab" * 32)})
    await scene.frontend(
        serving={"www": scene.old.ski.hex()}, canary_errors={scene.new.ski.hex(): "no"}
    )
    await begin(scene)
    assert situation(scene.node.view, scene.rotation).frontends
    await scene.node.write({path: None})
    assert not situation(scene.node.view, scene.rotation).frontends


async def test_a_failed_canary_leaves_everything_as_it_was(scene: Scene) -> None:
    old = scene.old.ski.hex()
    before = scene.node.view.certificates["www"]
    await scene.frontend(serving={"www": old})
    async with driven(scene):
        await begin(scene)
        await scene.holds("a", "b")
        await scene.until(Phase.STAGING)
        new = scene.new.ski.hex()
        await scene.frontend(serving={"www": old}, canary_errors={new: "no worker signed"})
        rotation = await scene.until(Phase.ROLLED_BACK)
    assert rotation.reason == "the canary failed on frontend-1: no worker signed"
    after = scene.node.view.certificates["www"]
    assert after == before.model_copy(update={"version": after.version})
    assert scene.node.view.labels["www"].current == old
    assert scene.key(scene.old).state is State.ACTIVE
    assert scene.key(scene.new).state is State.DEACTIVATED


async def test_a_switch_that_some_front_end_never_makes_is_taken_back(scene: Scene) -> None:
    old, new = scene.old.ski.hex(), scene.new.ski.hex()
    await scene.frontend(serving={"www": old}, staged={"www": new})
    async with driven(scene):
        await begin(scene)
        await scene.holds("a", "b")
        await scene.until(Phase.SWITCHING)
        scene.clock.now += timedelta(minutes=3)
        await scene.until(Phase.ROLLED_BACK)
    assert scene.node.view.certificates["www"].ski == old
    assert scene.node.view.labels["www"].current == old
    assert scene.key(scene.old).state is State.ACTIVE


async def test_a_generation_that_never_became_active_is_destroyed(scene: Scene) -> None:
    key = replace(scene.new, state=State.PRE_ACTIVE)
    await scene.node.write({paths.KEYS + key.ski.hex(): key})
    async with driven(scene):
        await begin(scene)
        await scene.holds("a")
        scene.clock.now += timedelta(minutes=6)
        await scene.until(Phase.ROLLED_BACK)
    assert scene.key(key).state is State.PRE_ACTIVE
    assert scene.key(key).destroy_at == scene.clock.now


async def test_a_crash_between_steps_loses_nothing(scene: Scene) -> None:
    new = scene.new.ski.hex()
    await scene.frontend(serving={"www": scene.old.ski.hex()}, staged={"www": new})
    await begin(scene)
    await scene.holds("a", "b")
    for phase in (Phase.CERTIFYING, Phase.STAGING, Phase.SWITCHING):
        # Each driver dies as soon as its first step is done.
        async with driven(scene):
            await scene.node.view.until(partial(_reached, scene, phase))
    await scene.frontend(serving={"www": new})
    async with driven(scene):
        await scene.until(Phase.DRAINING)
        scene.clock.now += timedelta(seconds=61)
        await scene.until(Phase.DONE)


def _reached(scene: Scene, phase: Phase, view: View) -> bool:
    return list(Phase).index(scene.rotation.phase) >= list(Phase).index(phase)


async def test_waits_for_an_authority_where_one_is_asked(scene: Scene) -> None:
    async with driven(scene):
        await begin(scene, "request")
        await scene.holds("a", "b")
        rotation = await scene.until(Phase.CERTIFYING)
        assert x509.load_pem_x509_csr(rotation.request.encode()).is_signature_valid
        assert rotation.chain == ""
        chain = certificate(scene.node, scene.new)
        await scene.node.write(
            {paths.ROTATIONS + "www": rotation.model_copy(update={"chain": chain})}
        )
        await scene.until(Phase.DRAINING)  # with no front-end there is nobody to wait for


async def test_only_the_first_living_holder_drives(scene: Scene) -> None:
    await scene.holds("b")
    async with driven(scene):
        await begin(scene)
        # We hold the key, but have not said so: it is b's to drive.
        revision = await scene.catalogue.commit([Put("unrelated", b"")])
        await scene.node.view.reached(revision)
        await asyncio.sleep(0)
        assert scene.rotation.phase is Phase.REPLICATING
        await scene.holds("a")
        await scene.until(Phase.DRAINING)


async def test_nothing_moves_that_cannot_be_recorded(scene: Scene) -> None:
    scene.audit.broken = True
    async with driven(scene):
        await begin(scene)
        await scene.holds("a", "b")
        revision = await scene.catalogue.commit([Put("unrelated", b"")])
        await scene.node.view.reached(revision)
        assert scene.rotation.phase is Phase.REPLICATING
        scene.audit.broken = False
        await scene.until(Phase.DRAINING)
