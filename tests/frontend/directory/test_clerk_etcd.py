"""The clerk on a real etcd, with no more rights than a front-end needs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random

import pytest
from frontend.directory.conftest import Members
from support.catalogue_writer import ski
from support.etcd import EtcdCluster, etcd_cluster
from support.pki import PKI

from offload.catalogue import paths
from offload.catalogue.base import CatalogueDenied, Put
from offload.catalogue.etcd import EtcdCatalogue
from offload.catalogue.opening import open_catalogue
from offload.catalogue.records import FrontendRecord
from offload.config import FrontendCluster
from offload.frontend.directory.board import Board
from offload.frontend.directory.clerk import Clerk
from offload.frontend.directory.file import DirectoryFile
from offload.frontend.directory.report import Report

pytestmark = pytest.mark.needs("etcd")


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory, pki: PKI) -> Iterator[EtcdCluster]:
    with etcd_cluster(tmp_path_factory.mktemp("clerk-etcd"), pki, 1) as cluster:
        yield cluster


async def test_reads_what_is_public_and_tells_of_itself(
    etcd: EtcdCluster, members: Members, tmp_path: Path
) -> None:
    settings = FrontendCluster(
        name="front", state=tmp_path, catalogue=etcd.settings("frontend"), lease=2.0
    )
    served = ski(members.chains[0])
    member = await EtcdCatalogue.open(etcd.settings())
    board, file = Board(1), DirectoryFile(tmp_path)
    clerk = Clerk(
        settings,
        ["web"],
        partial(open_catalogue, settings.catalogue),
        picture=members.picture(),
        file=file,
        board=board,
        clock=time.monotonic,
        random=Random(1),
    )
    values = members.all(members.web())
    try:
        await member.commit([Put(*item) for item in values.items()])
        board.write(0, Report(serving={"web": served}, staged={}, failed={}).body())
        await clerk.start()
        async with asyncio.timeout(30):
            async for batch in member.watch(paths.FRONTENDS, 0):
                value = batch.events[-1].value
                assert value is not None
                if FrontendRecord.model_validate_json(value).serving == {"web": served}:
                    break
            heard = asyncio.Event()
            asyncio.get_running_loop().add_reader(board.bell(0), heard.set)
            while not board.settled:
                await heard.wait()
                heard.clear()
                board.answer(board.bell(0))
            asyncio.get_running_loop().remove_reader(board.bell(0))
        saved = file.load()
        assert saved is not None
        assert saved.values == values
    finally:
        await clerk.stop()
        await member.close()
        board.close()


async def test_may_do_nothing_else(etcd: EtcdCluster) -> None:
    catalogue = await EtcdCatalogue.open(etcd.settings("frontend"))
    try:
        for path in (paths.KEYS, paths.CLUSTER_KEYS, paths.HOLDINGS):
            with pytest.raises(CatalogueDenied):
                await catalogue.list(path)
        with pytest.raises(CatalogueDenied):
            await catalogue.commit([Put(paths.CERTIFICATES + "web", b"")])
    finally:
        await catalogue.close()
