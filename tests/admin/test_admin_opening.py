"""A catalogue that is not there yet is waited for."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from support.cluster import authority, cluster_record, found, put

from offload.admin import opening
from offload.admin.opening import opened
from offload.catalogue import paths
from offload.catalogue.base import CatalogueError
from offload.catalogue.sqlite import SqliteCatalogue
from offload.config import SqliteSettings


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(opening, "FIRST_PAUSE", 0.001)
    tmp_path.chmod(0o700)
    return tmp_path / "catalogue.db"


async def waiting(path: Path, meanwhile: Callable[[], object], **seen: int) -> list[str]:
    """What was told until it was open; `meanwhile` is awaited at the first failure."""
    told: list[str] = []
    failed = asyncio.Event()

    def tell(error: CatalogueError | None) -> None:
        told.append(str(error or "open"))
        failed.set()

    settings = SqliteSettings(path=path)
    certificate = authority().certificate
    opening_ = asyncio.create_task(
        opened(settings, certificate, {paths.CLUSTER: 0, **seen}, Random(1), told=tell)
    )
    async with asyncio.timeout(20):
        await failed.wait()
        result = meanwhile()
        if asyncio.iscoroutine(result):
            await result
        await (await opening_).close()
    return told


async def make(path: Path) -> None:
    catalogue = await SqliteCatalogue.open(path)
    await found(catalogue, "worker-1")
    await catalogue.close()


async def test_a_catalogue_that_is_there_is_opened(path: Path) -> None:
    await make(path)
    assert await waiting(path, lambda: None) == ["open"]


async def test_none_is_made_in_its_place(path: Path) -> None:
    told = await waiting(path, lambda: make(path))
    assert "is not there: found a cluster, or put it back" in told[0]
    assert told[-1] == "open"


async def test_a_cluster_older_than_what_was_seen_is_not_taken(path: Path) -> None:
    await make(path)

    async def newer() -> None:
        catalogue = await SqliteCatalogue.open(path)
        await put(catalogue, "worker-1", {paths.CLUSTER: cluster_record(version=5)})
        await catalogue.close()

    told = await waiting(path, newer, cluster=5)
    assert "version 1" in told[0]
    assert told[-1] == "open"
