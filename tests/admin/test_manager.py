"""The management process, in this process: what it shows to the cluster, and in which order."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from support.cluster_processes import OFFICER, Cluster, found
from support.processes import Spawner

from offload.admin import manager as manager_module
from offload.admin.manager import IdentityUnusable, Manager
from offload.catalogue import paths
from offload.catalogue.database import Database
from offload.config import Worker, load
from offload.token.opening import open_token


@pytest.fixture
async def cluster(tmp_path: Path) -> Cluster:
    return await found(tmp_path, Spawner(tmp_path), ["worker-1"])


def settings(cluster: Cluster) -> Worker:
    worker = load(cluster.members["worker-1"].file, environment={}).worker
    assert worker is not None
    return worker


class Serving:
    """What the manager knows of the worker's other processes."""

    ready = False

    def __call__(self) -> bool:
        return self.ready


@asynccontextmanager
async def managing(cluster: Cluster, serving: Serving) -> AsyncIterator[None]:
    worker = settings(cluster)
    assert worker.cluster is not None
    assert worker.cluster.api is not None
    token = open_token(worker.token)
    with socket.create_server((worker.cluster.api.host, worker.cluster.api.port)) as api:
        api.setblocking(False)
        task = asyncio.create_task(Manager(worker, token, api, serving).run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            token.close()
    assert task.cancelled()


async def until_alive(cluster: Cluster) -> None:
    """Return once the member has shown itself to the cluster."""
    catalogue = await cluster.open_catalogue()
    snapshot = await catalogue.list(paths.ALIVE)
    if not snapshot.entries:
        async with (
            asyncio.timeout(20),
            aclosing(catalogue.watch(paths.ALIVE, snapshot.revision)) as batches,
        ):
            await anext(batches)
    await catalogue.close()


async def is_alive(cluster: Cluster) -> bool:
    catalogue = await cluster.open_catalogue()
    entry = await catalogue.get(paths.ALIVE + "worker-1")
    await catalogue.close()
    return entry is not None


async def test_it_is_seen_once_the_worker_serves(cluster: Cluster) -> None:
    serving = Serving()
    async with managing(cluster, serving):
        async with cluster.rest("worker-1") as session, session.get("/v1/session") as answer:
            assert (await answer.json())["name"] == OFFICER
        assert not await is_alive(cluster)
        serving.ready = True
        await until_alive(cluster)
    assert not await is_alive(cluster)


async def test_while_the_catalogue_is_away_clients_are_told_to_come_later(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager_module, "PATIENCE_SECONDS", 0.0)
    hidden = cluster.catalogue_path.with_suffix(".hidden")
    cluster.catalogue_path.rename(hidden)
    async with managing(cluster, Serving()), cluster.rest("worker-1") as session:
        async with session.get("/v1/session") as answer:
            assert answer.status == 503
            assert (await answer.json())["type"].endswith(":unavailable")
        hidden.rename(cluster.catalogue_path)
        async with asyncio.timeout(20):
            while True:
                async with session.get("/v1/session") as answer:
                    if answer.status == 200:
                        break


async def test_it_keeps_a_local_copy_of_its_own(cluster: Cluster) -> None:
    serving = Serving()
    serving.ready = True
    async with managing(cluster, serving):
        await until_alive(cluster)
    replica = cluster.members["worker-1"].directory / "state" / "replica.db"
    assert os.stat(replica).st_mode & 0o077 == 0
    database = Database(replica, create=False)
    kept = {entry.key for entry in database.list("", "", 0, 0).entries}
    database.close()
    assert {"cluster", "members/worker-1", "appliances/front-end"} <= kept


async def test_a_task_that_fails_ends_it(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __init__(self, *_: object) -> None:
            pass

        async def run(self) -> None:
            raise RuntimeError("broken")

    monkeypatch.setattr(manager_module, "Mirror", Broken)
    worker = settings(cluster)
    token = open_token(worker.token)
    with pytest.raises(ExceptionGroup):
        async with asyncio.timeout(20):
            await Manager(worker, token, None, Serving()).run()
    token.close()


async def test_an_identity_that_cannot_sign_records_is_refused(cluster: Cluster) -> None:
    from support.pki import generate_key, pem

    key = cluster.members["worker-1"].directory / "identity.key"
    worker = settings(cluster)
    key.write_bytes(pem(generate_key("ed25519")))
    token = open_token(worker.token)
    with pytest.raises(IdentityUnusable, match="no P-256 key"):
        Manager(worker, token, None, Serving())
    token.close()


async def test_a_worker_of_no_cluster_has_nothing_to_manage(cluster: Cluster) -> None:
    worker = settings(cluster).model_copy(update={"cluster": None})
    token = open_token(worker.token)
    with pytest.raises(ValueError, match=r"no \[worker.cluster\] table"):
        Manager(worker, token, None, Serving())
    token.close()
