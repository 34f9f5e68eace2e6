"""Members come and go, the cluster key rolls and a key rotates while visitors never rest."""

from __future__ import annotations

import asyncio
from typing import Any

from faults.case import Case, Scene, Seen
from faults.site import LABEL, SECOND, Site
from support.cluster_processes import FRONT_END, KEY_USER, OFFICER, join

NEWCOMER = "worker-4"
WAIT_SECONDS = 90.0


async def run(scene: Scene) -> Seen:
    """The case."""
    cluster = await scene.cluster()
    site = Site(scene, cluster, scene.etcd.table("frontend"))
    first = await site.add_key("worker-1")
    await asyncio.to_thread(site.start, FRONT_END)
    if not scene.quick:
        await site.register("worker-2", SECOND)
        await asyncio.to_thread(site.start, SECOND)
    with site.visited() as visits:
        await _changes(site)
    served = [key == first["ski"] for key in visits.keys]
    switched = False in served and served[0] and not served[-1]
    text = f"{visits}; one worker joined, one was removed, the cluster key rolled, the key rotated"
    ok = not visits.failures and switched and len(visits.seconds) > 50
    return Seen(ok, text if switched else f"{text} (but visitors saw no other key)")


async def _changes(site: Site) -> None:
    cluster = site.cluster
    await join(cluster, NEWCOMER, "b")
    await asyncio.to_thread(cluster.start, NEWCOMER)
    await _until(site, lambda members: members[NEWCOMER]["keys_missing"] == 0)
    await site.ask("worker-1", OFFICER, "DELETE", "/v1/members/worker-3")
    await _until(site, lambda members: members["worker-3"]["state"] == "removed")
    await asyncio.to_thread(cluster.stop, "worker-3")
    await site.ask("worker-2", OFFICER, "POST", "/v1/cluster/roll")
    await _rotate(site)


async def _until(site: Site, holds: Any) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            answer = await site.ask("worker-1", OFFICER, "GET", "/v1/members")
            if holds({member["name"]: member for member in answer["members"]}):
                return
            await asyncio.sleep(0.05)


async def _rotate(site: Site) -> None:
    path = f"/v1/keys/{LABEL}/rotation"
    await site.ask("worker-1", KEY_USER, "POST", path, drain_seconds=1)
    await _phase(site, path, "certifying")
    await site.certify("worker-2", f"{LABEL}@2")
    await _phase(site, path, "done")


async def _phase(site: Site, path: str, phase: str) -> None:
    rotation: dict[str, Any] = {}
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while rotation.get("phase") != phase:
                rotation = await site.ask("worker-2", KEY_USER, "GET", path)
                assert rotation["phase"] != "rolled-back", rotation["reason"]
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"{rotation['phase']}: {rotation['waiting_for']}") from None


CASE = Case(
    "members join and leave, the cluster key rolls, a key rotates",
    "no handshake fails, and visitors end up with the new generation",
    run,
)
