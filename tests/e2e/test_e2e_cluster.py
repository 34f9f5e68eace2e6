"""Two workers of one cluster as real processes: keys outlive who made them, and are withdrawn at
once; a worker serves while the catalogue is away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from support.cluster_processes import AUDITOR, KEY_USER, OFFICER, Cluster, found
from support.front_end import FrontEnd
from support.processes import Spawner

from offload.cluster.usage import Ledger
from offload.keys.scheme import SignatureScheme
from offload.wire.error import ErrorCode
from offload.wire.message import Failure, Message, Signature, TlsSign
from offload.worker.policy import SERVER_CONTEXT
from offload.worker.use import TLS_1_3

CREATOR, OTHER = "worker-1", "worker-2"
HASH = bytes(range(32))
REFUSED: Message = Failure(1, ErrorCode.KEY_NOT_FOUND)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("cluster")
    spawner = Spawner(directory)
    try:
        cluster = asyncio.run(found(directory, spawner))
        cluster.start()
        yield cluster
    finally:
        spawner.stop()


async def created(cluster: Cluster, label: str, **values: Any) -> dict[str, Any]:
    async with (
        cluster.rest(CREATOR, KEY_USER) as session,
        session.post("/v1/keys", json={"label": label, **values}) as answer,
    ):
        assert answer.status == 201, await answer.text()
        made: dict[str, Any] = await answer.json()
        return made


async def told(cluster: Cluster, member: str, user: str, path: str, **values: Any) -> None:
    async with (
        cluster.rest(member, user) as session,
        session.post(path, json=values) as answer,
    ):
        assert answer.status == 200, await answer.text()


async def managed(cluster: Cluster, member: str) -> None:
    """Wait until the member answers REST."""
    async with asyncio.timeout(20), cluster.rest(member) as session:
        while True:
            async with session.get("/v1/session") as answer:
                if answer.status == 200:
                    return
                assert answer.status == 503
            await asyncio.sleep(0.05)


def request(key: dict[str, Any], server_name: str = "www.example.org") -> TlsSign:
    scheme = SignatureScheme.ECDSA_SECP256R1_SHA256
    return TlsSign(1, bytes.fromhex(key["ski"]), scheme, TLS_1_3, HASH, server_name)


async def signs(link: FrontEnd, key: dict[str, Any]) -> bool:
    """Whether it answers with a signature of that key."""
    answer = await link.ask(request(key))
    if type(answer) is not Signature:
        assert answer == REFUSED
        return False
    public = load_pem_public_key(key["public_key"].encode())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(answer.signature, SERVER_CONTEXT + HASH, ec.ECDSA(hashes.SHA256()))
    return True


async def until_it_signs(link: FrontEnd, key: dict[str, Any], signing: bool = True) -> None:
    async with asyncio.timeout(10):
        while await signs(link, key) is not signing:
            pass


async def test_a_key_made_on_one_worker_signs_on_the_other(cluster: Cluster) -> None:
    key = await created(cluster, "both")
    assert (key["state"], len(key["copies"])) == ("active", 2)
    for member in (CREATOR, OTHER):
        async with cluster.link(member) as link:
            await until_it_signs(link, key)


async def test_a_suspension_reaches_a_link_that_is_up(cluster: Cluster) -> None:
    key = await created(cluster, "stopped")
    async with cluster.link(OTHER) as link:
        await until_it_signs(link, key)
        await told(cluster, CREATOR, KEY_USER, f"/v1/keys/{key['ski']}/suspend")
        await until_it_signs(link, key, False)
        await told(cluster, CREATOR, KEY_USER, f"/v1/keys/{key['ski']}/resume")
        await until_it_signs(link, key)


async def test_a_key_serves_its_sites_alone(cluster: Cluster) -> None:
    key = await created(cluster, "site", sites=["www.example.org"])
    async with cluster.link(OTHER) as link:
        await until_it_signs(link, key)
        assert await link.ask(request(key, "www.example.com")) == REFUSED
        assert await link.ask(request(key, "")) == REFUSED
    await asyncio.to_thread(
        cluster.members[OTHER].admin.until_total,
        "offload_worker_refusals_total",
        2,
        reason="server_name",
    )


async def test_signatures_are_recorded_before_they_leave(cluster: Cluster) -> None:
    key = await created(cluster, "recorded", audit_signatures=True)
    async with cluster.link(OTHER) as link:
        await until_it_signs(link, key)
    async with (
        cluster.rest(OTHER, AUDITOR) as session,
        session.get("/v1/audit", params={"limit": "1000"}) as answer,
    ):
        page = await answer.json()
    assert answer.status == 200, page
    found_ = [one for one in page["records"] if key["ski"] in str(one) and "transcript" in str(one)]
    assert len(found_) == 1


async def test_the_creator_dies_and_the_other_signs_on(cluster: Cluster) -> None:
    key = await created(cluster, "orphan")
    async with cluster.link(OTHER) as link:
        cluster.kill(CREATOR)
        await until_it_signs(link, key)
        assert await signs(link, key)
    await asyncio.to_thread(cluster.start, CREATOR)
    async with cluster.link(CREATOR) as link:
        await until_it_signs(link, key)


async def test_a_worker_starts_and_serves_while_the_catalogue_is_away(cluster: Cluster) -> None:
    key = await created(cluster, "kept")
    async with cluster.link(OTHER) as link:
        await until_it_signs(link, key)
    assert cluster.stop(CREATOR) == 0
    assert cluster.stop(OTHER) == 0
    assert used(cluster, OTHER, key) >= 1
    hidden = cluster.catalogue_path.with_suffix(".hidden")
    cluster.catalogue_path.rename(hidden)
    await asyncio.to_thread(cluster.start)
    async with cluster.link(OTHER) as link:
        assert await signs(link, key)
        hidden.rename(cluster.catalogue_path)
        await managed(cluster, CREATOR)
        await told(cluster, CREATOR, KEY_USER, f"/v1/keys/{key['ski']}/suspend")
        await until_it_signs(link, key, False)


def used(cluster: Cluster, member: str, key: dict[str, Any]) -> int:
    """How many signatures of the key the member has counted."""
    ledger = Ledger(cluster.members[member].directory / "state" / "usage.db")
    try:
        counts = {count.ski.hex(): count.signatures for count in ledger.unpublished(100)}
        return counts.get(key["ski"], 0)
    finally:
        ledger.close()


async def test_a_manager_that_dies_is_started_again(cluster: Cluster) -> None:
    key = await created(cluster, "managed")
    async with cluster.link(OTHER) as link:
        await until_it_signs(link, key)
        cluster.kill_manager(OTHER)
        assert await signs(link, key)
        await told(cluster, OTHER, KEY_USER, f"/v1/keys/{key['ski']}/suspend")
        await until_it_signs(link, key, False)


async def test_a_front_end_that_is_removed_loses_its_links(cluster: Cluster) -> None:
    async with cluster.link(OTHER) as link:
        async with (
            cluster.rest(CREATOR, OFFICER) as session,
            session.delete("/v1/frontends/front-end") as answer,
        ):
            assert answer.status == 200, await answer.text()
        assert await link.ended()
