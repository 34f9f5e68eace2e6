"""A serving process as part of a member: it waits for the copy, and counts to the end."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.managed_keys import cluster_record
from support.pki import PKI

from offload.catalogue.base import Put
from offload.catalogue.database import Database
from offload.cluster.usage import Count, Ledger
from offload.config import Identity, SqliteSettings, WorkerCluster
from offload.tls.mutual import server_context
from offload.token.fake import FakeToken
from offload.worker.entitlements import Entitlements
from offload.worker.membership import Membership
from offload.worker.server import Server

SKI = b"k" * 20


@pytest.fixture
def settings(tmp_path: Path) -> WorkerCluster:
    tmp_path.chmod(0o700)
    return WorkerCluster(state=tmp_path, catalogue=SqliteSettings(path=tmp_path / "catalogue.db"))


@pytest.fixture
async def server(pki: PKI) -> AsyncIterator[Server]:
    worker = pki.identity("worker")
    identity = Identity(certificate=worker.certificate_path, key=worker.key_path)
    context = server_context(identity, pki.root_path)
    server = Server(FakeToken(), Entitlements(), context, threads=1)
    yield server
    server.close()


@pytest.fixture
async def membership(settings: WorkerCluster, server: Server) -> AsyncIterator[Membership]:
    membership = Membership(asyncio.get_running_loop(), settings, Entitlements(), server)
    membership.start()
    yield membership
    await membership.stop()


async def test_it_waits_for_the_first_copy(membership: Membership, settings: WorkerCluster) -> None:
    waiting = asyncio.create_task(membership.loaded_or(asyncio.Event()))
    await asyncio.sleep(0)
    assert not waiting.done()
    copy = Database(settings.replica)
    copy.commit([Put("cluster", cluster_record().body())], ())
    copy.close()
    await asyncio.wait_for(waiting, 10)


async def test_it_waits_no_longer_than_it_may(membership: Membership) -> None:
    stop = asyncio.Event()
    stop.set()
    await asyncio.wait_for(membership.loaded_or(stop), 10)


async def test_the_last_signatures_are_counted(settings: WorkerCluster, server: Server) -> None:
    membership = Membership(asyncio.get_running_loop(), settings, Entitlements(), server)
    membership.start()
    server.signatures[SKI] += 3
    await membership.stop()
    ledger = Ledger(settings.usage)
    assert ledger.unpublished(10) == [Count(SKI, 3)]
    ledger.close()
