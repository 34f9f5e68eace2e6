"""What ten thousand keys in the catalogue cost: a worker's start, its memory, a page of keys."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from statistics import median

from faults.case import Case, Scene, Seen
from support.cluster_processes import KEY_USER, Cluster, found

from bench.cpu import proportional_bytes, tree
from offload.catalogue import paths
from offload.catalogue.records import HoldingRecord, LabelRecord, Record
from offload.cluster.intents import token_label
from offload.cluster.node import Changes, Node
from offload.keys.algorithm import Algorithm
from offload.keys.managed import ManagedKey
from offload.keys.state import State

WORKER = "worker-1"
READY_SECONDS = 10.0
PAGE_SECONDS = 0.1
# Three records a key, and a commit takes a hundred.
_KEYS_OF_A_COMMIT = 33


async def run(scene: Scene) -> Seen:
    """A worker's start with a full catalogue, its memory, and a page of its keys."""
    count = 500 if scene.quick else 10_000
    etcd = await asyncio.to_thread(lambda: scene.etcd)
    table = etcd.table("root")
    few = await found(
        *(scene.place("few-keys"), scene.spawner, (WORKER,)),
        catalogue=table | {"prefix": "/few/"},
    )
    await asyncio.to_thread(few.start)
    memory = -_memory(few)
    await asyncio.to_thread(few.stop, WORKER)
    cluster = await found(
        *(scene.place("many-keys"), scene.spawner, (WORKER,)),
        catalogue=table | {"prefix": "/many/"},
        also=lambda node: _fill(node, count),
    )
    began = time.perf_counter()
    await asyncio.to_thread(cluster.start)
    ready = time.perf_counter() - began
    first, page = await _page_seconds(cluster, count)
    memory += _memory(cluster)
    text = (
        f"{count:,} P-256 keys: ready after {ready:.1f} s, first page of the list after"
        f" {first:.1f} s, a page of 100 in {1e3 * page:.0f} ms (median of 21); the worker's"
        f" processes hold {memory / count / 1024:.1f} KiB more for each key"
    )
    return Seen(ready <= READY_SECONDS and page <= PAGE_SECONDS, text)


async def _fill(node: Node, count: int) -> None:
    """Keys as the member would have made them, without waiting for each."""
    node_keys = await node.in_thread(lambda: list(_made(node, count)))
    for start in range(0, count, _KEYS_OF_A_COMMIT):
        await node.write(_records(node, node_keys[start : start + _KEYS_OF_A_COMMIT]))


def _made(node: Node, count: int) -> Iterator[ManagedKey]:
    today = node.view.cluster.cluster_key
    for number in range(count):
        label = f"key-{number:05}"
        record = node.token.generate(token_label(label, 1), Algorithm("p-256"))
        yield ManagedKey(
            ski=record.ski,
            label=label,
            generation=1,
            algorithm=record.algorithm,
            public_key=record.public_key,
            state=State.ACTIVE,
            created=datetime.now(UTC),
            changed=datetime.now(UTC),
            home=node.name,
            wrapped=node.token.wrap(record.ski, today),
            wrapped_under=today,
        )


def _records(node: Node, keys: Sequence[ManagedKey]) -> Changes:
    changes: dict[str, ManagedKey | Record] = {}
    for key in keys:
        ski = key.ski.hex()
        changes[paths.KEYS + ski] = key
        changes[paths.LABELS + key.label] = LabelRecord(
            label=key.label, generations=(ski,), current=ski
        )
        changes[f"{paths.HOLDINGS}{ski}/{node.name}"] = HoldingRecord(
            member=node.name, ski=ski, state="held"
        )
    return changes


async def _page_seconds(cluster: Cluster, count: int) -> tuple[float, float]:
    """Seconds until REST lists the keys at all, and then of a page (median)."""
    began = time.perf_counter()
    seconds: list[float] = []
    async with asyncio.timeout(60), cluster.rest(WORKER, KEY_USER) as session:
        while len(seconds) < 21:
            asked = time.perf_counter()
            try:
                async with session.get("/v1/keys", params={"limit": "100"}) as answer:
                    page = await answer.json()
            except OSError:
                await asyncio.sleep(0.05)
                continue
            assert len(page["keys"]) == min(100, count)
            if not seconds:
                first = time.perf_counter() - began
            seconds.append(time.perf_counter() - asked)
    return first, median(seconds)


def _memory(cluster: Cluster) -> int:
    """Bytes of all processes of the first worker, shared pages divided among them."""
    process = cluster.members[WORKER].process
    assert process is not None
    return proportional_bytes(tree(process.pid))


CASE = Case(
    "many keys in the catalogue",
    "a worker is ready in 10 s with 10,000 keys; a page of keys takes at most 100 ms",
    run,
)
