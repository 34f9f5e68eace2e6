"""A serving process follows the directory's file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from frontend.directory.conftest import Members
from support.catalogue_writer import ski
from support.handshakes import BACKEND
from support.pki import shared_key
from support.serving import LocalSigner

from offload.catalogue.records import Record
from offload.config import Site as SiteSettings
from offload.frontend.directory import follower as follower_module
from offload.frontend.directory.board import Board
from offload.frontend.directory.file import DirectoryFile
from offload.frontend.directory.follower import Follower
from offload.frontend.directory.report import Report, reports
from offload.observe import metrics
from offload.pool.errors import NoWorkerAvailable
from offload.pool.fake import FakePool
from offload.pool.spec import WorkerSpec
from offload.tls.site import Site

KEYS = [shared_key("p-256", number) for number in range(3)]


class Pool(FakePool):
    """Remembers the workers that it was given."""

    def __init__(self) -> None:
        super().__init__(LocalSigner(*KEYS), loop=asyncio.get_running_loop())
        self.workers: list[list[str]] = []

    def set_workers(self, specs: Sequence[WorkerSpec]) -> None:
        self.workers.append([spec.name for spec in specs])


class Bench:
    """A follower of row 0 with its surroundings; the test plays the clerk."""

    def __init__(self, members: Members, directory: Path, board: Board) -> None:
        self.members, self.board = members, board
        self.file = DirectoryFile(directory)
        self.site = Site(SiteSettings(names=("web.test",), keys=("web",), backends=(BACKEND,)))
        self.pool = Pool()
        self.canaries: Mapping[str, Site] = {}
        self.follower = self.make(directory)

    def make(self, directory: Path) -> Follower:
        return Follower(
            [self.site],
            self.pool,
            self.set_canaries,
            picture=self.members.picture(),
            file=DirectoryFile(directory),
            board=self.board,
            row=0,
        )

    def set_canaries(self, canaries: Mapping[str, Site]) -> None:
        self.canaries = canaries

    def save(self, *records: Record, alive: Sequence[str] = ("alpha", "beta")) -> None:
        self.file.save(self.members.all(*records), alive)
        self.board.settle()
        self.board.ring(0)

    async def start(self, *records: Record, alive: Sequence[str] = ("alpha", "beta")) -> None:
        self.save(*records, alive=alive)
        await self.follower.start()

    async def until(self, condition: Callable[[Report], bool]) -> Report:
        """Wait until the process has told that."""
        async with asyncio.timeout(10):
            while True:
                found = reports(self.board)
                if found and condition(found[0]):
                    return found[0]
                await self._news()

    async def _news(self) -> None:
        loop, heard = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self.board.clerks_bell, heard.set)
        await heard.wait()
        loop.remove_reader(self.board.clerks_bell)
        self.board.answer(self.board.clerks_bell)


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board(1)
    yield board
    board.close()


@pytest.fixture
async def bench(members: Members, tmp_path: Path, board: Board) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        bench = Bench(members, tmp_path, board)
        stack.push_async_callback(bench.follower.stop)
        yield bench


async def test_has_caught_up_when_it_is_started(bench: Bench, members: Members) -> None:
    await bench.start(members.web(0))
    first = ski(members.chains[0])
    assert bench.pool.workers == [["alpha", "beta"]]
    assert bench.site.skis == {"web": bytes.fromhex(first)}
    assert reports(bench.board) == [Report(serving={"web": first}, staged={}, failed={})]
    assert metrics.CERTIFICATE_GENERATION.labels("web").value == 1
    assert metrics.POOL_MEMBERS.labels("none").value == 2


async def test_follows_what_changes(bench: Bench, members: Members) -> None:
    await bench.start(members.web(0))
    bench.save(members.web(1, 2), alive=["beta"])
    second = ski(members.chains[1])
    await bench.until(lambda report: report.serving == {"web": second})
    assert bench.pool.workers == [["alpha", "beta"], ["beta"]]
    assert metrics.CERTIFICATE_GENERATION.labels("web").value == 2
    assert metrics.POOL_MEMBERS.labels("none").value == 1


async def test_waits_for_the_clerks_first_word(bench: Bench, members: Members) -> None:
    task = asyncio.ensure_future(bench.follower.start())
    await asyncio.sleep(0)
    bench.board.ring(0)
    await asyncio.sleep(0)
    assert not task.done()
    bench.save(members.web(0))
    await task
    assert bench.site.keys


async def test_does_not_wait_for_ever(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower_module, "_SETTLED", 0.01)
    await bench.follower.start()
    assert reports(bench.board) == [Report(serving={"web": ""}, staged={}, failed={})]
    assert bench.pool.workers == []


async def test_without_a_certificate_the_site_is_not_served(bench: Bench) -> None:
    await bench.start()
    assert not bench.site.keys
    assert reports(bench.board)[0].serving == {"web": ""}


async def test_a_file_that_cannot_be_read_changes_nothing(bench: Bench, members: Members) -> None:
    await bench.start(members.web(0))
    bench.file.path.write_text("{")
    bench.follower.catch_up()
    assert bench.site.keys
    assert bench.pool.workers == [["alpha", "beta"]]


async def test_what_no_member_signed_is_not_followed(bench: Bench, members: Members) -> None:
    await bench.start(members.web(0))
    before = bench.site.keys
    forged = members.sealed(members.web(1, 2), by="gamma")
    bench.file.save({**members.all(), **forged}, ["alpha"])
    bench.follower.catch_up()
    assert bench.site.keys is before


async def test_a_canary_is_rehearsed_and_found_by_its_name(bench: Bench, members: Members) -> None:
    canary = members.chains[1]
    await bench.start(members.web(0, canary=canary, canary_name="Secret.Canary.offload.invalid"))
    report = await bench.until(lambda report: bool(report.staged))
    assert report.staged == {"web": ski(canary)}
    assert report.serving == {"web": ski(members.chains[0])}
    assert list(bench.canaries) == ["secret.canary.offload.invalid"]
    (made,) = bench.canaries.values()
    assert {key.hex() for key in made.keys} == {ski(canary)}
    bench.save(members.web(1, 2))
    await bench.until(lambda report: not report.staged)
    assert not bench.canaries
    assert [one.ski.hex() for one in bench.pool.submitted] == [ski(canary)]


async def test_a_canary_that_nobody_signs_for_is_told(
    bench: Bench, members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower_module, "_PAUSE", 0.0)
    bench.pool.script = lambda _: NoWorkerAvailable("no worker has it")
    await bench.start(members.web(0, canary=members.chains[1]))
    report = await bench.until(lambda report: bool(report.failed))
    assert report.failed == {ski(members.chains[1]): "no worker has it"}
    assert len(bench.pool.submitted) == 3
    assert not report.staged
    # The next try is another canary, and has no failure yet.
    bench.pool.script = LocalSigner(*KEYS)
    bench.save(members.web(0, version=2, canary=members.chains[2]))
    report = await bench.until(lambda report: bool(report.staged))
    assert not report.failed


@pytest.mark.parametrize("chain", ["", "no PEM"])
async def test_a_canary_without_a_certificate_that_fits_is_told(
    bench: Bench, members: Members, chain: str
) -> None:
    wanted = ski(members.chains[1])
    await bench.start(members.web(0, canary_ski=wanted, canary_chain=chain))
    assert reports(bench.board)[0].failed.keys() == {wanted}
    other = members.chains[2].decode()
    bench.save(members.web(0, version=2, canary_ski=wanted, canary_chain=other))
    report = await bench.until(lambda report: "not one of that key" in report.failed[wanted])
    assert not report.staged
    assert bench.site.keys


async def test_a_rehearsal_under_way_ends_with_the_follower(bench: Bench, members: Members) -> None:
    asked = asyncio.Event()
    bench.pool.script = lambda _: asked.set()
    await bench.start(members.web(0, canary=members.chains[1]))
    async with asyncio.timeout(10):
        await asked.wait()
    await bench.follower.stop()
    assert not reports(bench.board)[0].staged
