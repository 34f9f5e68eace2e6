"""A handshake in memory whose signature comes from the pool."""

from __future__ import annotations

import asyncio

import pytest
from support.handshakes import site
from support.pki import PKI, shared_key
from support.serving import LocalSigner

from offload.frontend.directory.canary import CanaryFailed, rehearse
from offload.pool.errors import NoWorkerAvailable
from offload.pool.fake import FakePool, Script, hold
from offload.pool.operation import SigningOperation, State

NAME = "x.canary.offload.invalid"


def pool(script: Script) -> FakePool:
    return FakePool(script, loop=asyncio.get_running_loop())


@pytest.mark.parametrize("algorithm", ["p-256", "rsa-2048", "ed25519"])
async def test_a_worker_signs_for_the_secret_name(pki: PKI, algorithm: str) -> None:
    issued = pki.site("site.test", algorithm=algorithm)
    asked = pool(LocalSigner(issued.key))
    await rehearse(site(issued), NAME, asked)
    assert [one.server_name for one in asked.submitted] == [NAME]


async def test_no_signature_is_said(pki: PKI) -> None:
    with pytest.raises(CanaryFailed, match="start workers"):
        await rehearse(
            site(pki.site("site.test")), NAME, pool(lambda _: NoWorkerAvailable("start workers"))
        )


async def test_a_wrong_signature_is_said(pki: PKI) -> None:
    wrong = LocalSigner(shared_key("p-256", 1))
    wrong._keys = dict.fromkeys(
        [next(iter(site(pki.site("site.test")).keys))], shared_key("p-256", 1)
    )
    with pytest.raises(CanaryFailed, match="worker fake gave a wrong signature"):
        await rehearse(site(pki.site("site.test")), NAME, pool(wrong))


async def test_who_gives_up_leaves_nothing_behind(pki: PKI) -> None:
    heard = asyncio.Event()

    def script(operation: SigningOperation) -> None:
        hold(operation)
        heard.set()

    asked = pool(script)
    task = asyncio.ensure_future(rehearse(site(pki.site("site.test")), NAME, asked))
    await heard.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asked.submitted[0].state is State.CANCELLED
