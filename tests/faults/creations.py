"""Keys are made while members of the cluster and of its store are killed at random."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

import aiohttp
from faults.case import WORKERS, Case, Scene, Seen
from support.cluster_processes import KEY_USER, Cluster
from support.etcd import EtcdCluster

from offload.keys.scheme import SignatureScheme
from offload.wire.message import Signature, TlsSign
from offload.worker.use import TLS_1_3

PROMISED = 2
HASH = bytes(32)
SETTLE_SECONDS = 60.0


class Killer:
    """Kills one process at a time and brings it back: workers, and whoever leads the store."""

    def __init__(self, cluster: Cluster, etcd: EtcdCluster, random: Random) -> None:
        self._cluster, self._etcd, self._random = cluster, etcd, random
        self.killed: dict[str, int] = {}

    async def run(self) -> None:
        """Until cancelled; leaves everything running."""
        while True:
            await asyncio.sleep(self._random.uniform(0.1, 1.0))
            victim = self._random.choice((*WORKERS, "the etcd leader", "a management process"))
            self.killed[victim] = self.killed.get(victim, 0) + 1
            await asyncio.shield(asyncio.to_thread(self._kill, victim))

    def _kill(self, victim: str) -> None:
        if victim in WORKERS:
            self._cluster.kill(victim)
            self._cluster.start(victim)
        elif victim == "the etcd leader":
            leader = self._etcd.leader()
            self._etcd.kill(leader)
            self._etcd.restart(leader)
        else:
            with suppress(ValueError, ProcessLookupError):  # it is being started again already
                self._cluster.kill_manager(self._random.choice(WORKERS))


async def create(cluster: Cluster, member: str, label: str) -> dict[str, Any] | None:
    """The key, if its making was acknowledged."""
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    with suppress(aiohttp.ClientError, OSError, TimeoutError):
        async with (
            cluster.rest(member, KEY_USER) as session,
            session.post("/v1/keys", json={"label": label}, headers=headers) as answer,
        ):
            if answer.status == 201:
                made: dict[str, Any] = await answer.json()
                return made
    return None


async def keys(cluster: Cluster, member: str) -> dict[str, dict[str, Any]]:
    """All keys as that member sees them, by SKI."""
    found: dict[str, dict[str, Any]] = {}
    after = ""
    async with cluster.rest(member, KEY_USER) as session:
        while True:
            params = {"limit": "1000", "after": after}
            async with session.get("/v1/keys", params=params) as answer:
                answer.raise_for_status()
                page = await answer.json()
            found |= {key["ski"]: key for key in page["keys"] if key["purpose"] == "tls"}
            after = page["next"]
            if not after:
                return found


async def signing(cluster: Cluster, member: str, skis: list[str]) -> set[str]:
    """Those of the keys that the member signs with."""
    scheme = SignatureScheme.ECDSA_SECP256R1_SHA256
    able = set()
    async with cluster.link(member) as link:
        for number, ski in enumerate(skis):
            request = TlsSign(number, bytes.fromhex(ski), scheme, TLS_1_3, HASH, "www.example.org")
            if type(await link.ask(request)) is Signature:
                able.add(ski)
    return able


@asynccontextmanager
async def killing(killer: Killer) -> AsyncIterator[None]:
    """While it lasts."""
    task = asyncio.create_task(killer.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def run(scene: Scene) -> Seen:
    """The case."""
    cluster = await scene.cluster()
    killer = Killer(cluster, scene.etcd, scene.random)
    count = 15 if scene.quick else 200
    acknowledged: dict[str, dict[str, Any]] = {}
    broken_promises = 0
    async with killing(killer):
        for number in range(count):
            made = await create(cluster, scene.random.choice(WORKERS), f"key-{number}")
            if made is not None:
                acknowledged[made["ski"]] = made
                holding = [copy for copy in made["copies"] if copy["state"] == "held"]
                broken_promises += made["state"] != "active" or len(holding) < PROMISED
    await asyncio.to_thread(cluster.start_what_is_dead)
    lost, half = await _settled(cluster, set(acknowledged))
    kills = ", ".join(f"{name} {times}x" for name, times in sorted(killer.killed.items()))
    text = (
        f"{len(acknowledged)} of {count} creations acknowledged; lost {len(lost)}, acknowledged"
        f" with too few copies {broken_promises}, half keys usable {len(half)}; killed: {kills}"
    )
    return Seen(not lost and not half and not broken_promises and bool(acknowledged), text)


async def _settled(cluster: Cluster, acknowledged: set[str]) -> tuple[set[str], set[str]]:
    """Acknowledged keys that some worker does not sign with in the end, and keys that sign though
    they are not active.
    """
    lost = acknowledged
    half: set[str] = set()
    with suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_SECONDS):
            while lost:
                known = await keys(cluster, WORKERS[0])
                active = {ski for ski, key in known.items() if key["state"] == "active"}
                able = [await signing(cluster, name, [*known]) for name in WORKERS]
                half = {ski for each in able for ski in each} - active
                lost = {
                    ski for ski in acknowledged if not all(ski in each for each in (active, *able))
                }
                await asyncio.sleep(0.2)
    return lost, half


CASE = Case(
    "key creations while members and store are killed",
    "no acknowledged key lost or on fewer workers than promised; no half key usable",
    run,
)
