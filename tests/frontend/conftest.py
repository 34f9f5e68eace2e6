"""What the tests of the front-end share: a server in the test's loop, its backends and clients."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest
import uvloop
from support.pki import PKI, Issued, shared_key
from support.serving import LocalSigner, Running, WebBackend, settings

from offload.pool.fake import FakePool


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the product runs on."""
    return {"uvloop": uvloop.new_event_loop}


Start = Callable[..., Awaitable[Running]]


@pytest.fixture(scope="session")
def issued(pki: PKI) -> Issued:
    """The certificate of most tests."""
    return pki.site("site.test", "other.test")


@pytest.fixture
async def echo() -> AsyncIterator[WebBackend]:
    """A backend that sends back what it gets."""
    backend = await WebBackend(echo=True).start()
    yield backend
    await backend.stop()


@pytest.fixture
async def web() -> AsyncIterator[WebBackend]:
    """A backend that does as the test says."""
    backend = await WebBackend().start()
    yield backend
    await backend.stop()


@pytest.fixture
async def start(issued: Issued) -> AsyncIterator[Start]:
    """Start servers; nothing may go wrong in the loop unseen, and nothing may stay open."""
    running: list[Running] = []
    unseen: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unseen.append(context))
    keys = shared_key("p-256"), shared_key("rsa-2048")

    async def begin(*sites: Mapping[str, Any], **options: Any) -> Running:
        certificate = options.pop("issued", issued)
        pool = FakePool(LocalSigner(*keys), loop=loop)
        made = await Running.start(settings(certificate, *sites, **options), pool)
        running.append(made)
        return made

    yield begin
    for each in running:
        await each.stop()
    assert not unseen
