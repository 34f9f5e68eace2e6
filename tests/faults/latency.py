"""How soon a key made on one worker is usable on all."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from statistics import median

from faults.case import WORKERS, Case, Scene, Seen, percentile
from faults.creations import HASH, create
from support.front_end import FrontEnd

from offload.keys.scheme import SignatureScheme
from offload.wire.message import Signature, TlsSign
from offload.worker.use import TLS_1_3

USABLE_SECONDS = 0.25
READY_SECONDS = 10.0
PAGE_SECONDS = 0.1
# Three records a key, and a commit takes a hundred.
_KEYS_OF_A_COMMIT = 33


async def run(scene: Scene) -> Seen:
    """Seconds from an acknowledgement until every worker signs."""
    cluster = await scene.cluster()
    count = 30 if scene.quick else 300
    delays, making = [], []
    async with AsyncExitStack() as stack:
        links = [await stack.enter_async_context(cluster.link(name)) for name in WORKERS]
        for number in range(count):
            began = time.perf_counter()
            made = await create(cluster, WORKERS[number % 3], f"timed-{number}")
            assert made is not None
            acknowledged = time.perf_counter()
            await asyncio.gather(*(_until_it_signs(link, made["ski"]) for link in links))
            making.append(acknowledged - began)
            delays.append(time.perf_counter() - acknowledged)
    worst = percentile(delays, 0.99)
    text = (
        f"{count} keys on 3 workers with a three-member etcd: usable on all after p50"
        f" {1e3 * median(delays):.0f} ms, p99 {1e3 * worst:.0f} ms, from the acknowledgement; the"
        f" making itself p50 {1e3 * median(making):.0f} ms, p99"
        f" {1e3 * percentile(making, 0.99):.0f} ms"
    )
    return Seen(worst <= USABLE_SECONDS, text)


async def _until_it_signs(link: FrontEnd, ski: str) -> None:
    scheme = SignatureScheme.ECDSA_SECP256R1_SHA256
    request = TlsSign(1, bytes.fromhex(ski), scheme, TLS_1_3, HASH, "www.example.org")
    async with asyncio.timeout(30):
        while type(await link.ask(request)) is not Signature:
            pass


CASE = Case("from acknowledged to usable on all workers", "p99 at most 250 ms", run)
