"""The clerk: from the catalogue to the file, from the board to the catalogue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing
from pathlib import Path
from random import Random

import pytest
from frontend.directory.conftest import Members
from support.catalogue_writer import JOINED, ski

from offload.catalogue import paths
from offload.catalogue.base import Catalogue, CatalogueUnavailable, Delete, Put
from offload.catalogue.fake import FakeCatalogue
from offload.catalogue.records import AliveRecord, FrontendRecord, Record
from offload.config import FrontendCluster, SqliteSettings
from offload.frontend.directory import clerk as clerk_module
from offload.frontend.directory.board import Board
from offload.frontend.directory.clerk import Clerk
from offload.frontend.directory.file import DirectoryFile, Saved
from offload.frontend.directory.report import Report
from offload.observe import metrics

NAME = "front"
LEASE = 0.3


class Bench:
    """A clerk with a catalogue that the test writes; the test plays two serving processes."""

    def __init__(self, members: Members, directory: Path, board: Board) -> None:
        self.members, self.board = members, board
        self.catalogue = FakeCatalogue()
        self.file = DirectoryFile(directory)
        self.refusals = 0
        self.clerk = Clerk(
            FrontendCluster(
                name=NAME,
                state=directory,
                catalogue=SqliteSettings(path=directory / "unused"),
                lease=LEASE,
            ),
            ["web"],
            self.open,
            picture=members.picture(),
            file=self.file,
            board=board,
            clock=time.monotonic,
            random=Random(1),
        )

    async def open(self) -> Catalogue:
        if self.refusals:
            self.refusals -= 1
            raise CatalogueUnavailable("not yet")
        self.opened = self.catalogue.another()
        return self.opened

    def refuse(self, down: bool = True) -> None:
        """Let the clerk's catalogue be down, or up again."""
        self.opened.down = down

    async def put(self, values: Mapping[str, bytes]) -> None:
        await self.catalogue.commit([Put(*item) for item in values.items()])

    async def join(self, *further: Record) -> None:
        await self.put(self.members.all(*further))
        await self.alive("alpha", "beta")

    async def alive(self, *names: str) -> None:
        await self.put(
            {paths.ALIVE + name: AliveRecord(name=name, since=JOINED).body() for name in names}
        )

    async def saved(self, condition: Callable[[Saved], bool]) -> Saved:
        """Wait until the file is like that, and processes have been told."""
        loop, heard = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self.board.bell(0), heard.set)
        try:
            async with asyncio.timeout(10):
                while True:
                    await heard.wait()
                    heard.clear()
                    self.board.answer(self.board.bell(0))
                    saved = self.file.load()
                    if saved is not None and condition(saved):
                        return saved
        finally:
            loop.remove_reader(self.board.bell(0))

    async def told(self, condition: Callable[[FrontendRecord], bool]) -> FrontendRecord:
        """Wait until the front-end says that of itself."""
        async with (
            asyncio.timeout(10),
            aclosing(self.catalogue.watch(paths.FRONTENDS, 0)) as batches,
        ):
            async for batch in batches:
                value = batch.events[-1].value
                assert value is not None
                record = FrontendRecord.model_validate_json(value)
                if condition(record):
                    return record
        raise AssertionError("the watch has ended")

    def report(self, row: int, serving: str, **further: dict[str, str]) -> None:
        parts = {"staged": {}, "failed": {}, **further}
        self.board.write(row, Report(serving={"web": serving}, **parts).body())
        self.board.ring_clerk()


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board(2)
    yield board
    board.close()


@pytest.fixture
async def bench(members: Members, tmp_path: Path, board: Board) -> AsyncIterator[Bench]:
    bench = Bench(members, tmp_path, board)
    yield bench
    await bench.clerk.stop()
    await bench.catalogue.close()


async def test_what_members_signed_comes_to_the_file(bench: Bench, members: Members) -> None:
    values = members.all(members.web())
    await bench.put(values)
    await bench.alive("alpha", "beta")
    await bench.clerk.start()
    saved = await bench.saved(lambda _: bench.board.settled)
    assert saved == Saved(values, ("alpha", "beta"))
    second = members.sealed(members.web(1, 2))
    await bench.put(second)
    await bench.saved(lambda saved: saved.values == values | second)
    await bench.catalogue.commit([Delete("alive/alpha")])
    await bench.saved(lambda saved: saved.alive == ("beta",))


async def test_who_is_not_ready_is_not_asked(bench: Bench) -> None:
    await bench.join()
    await bench.clerk.start()
    await bench.saved(lambda _: bench.board.settled)
    leaving = AliveRecord(name="alpha", since=JOINED, ready=False)
    await bench.put({"alive/alpha": leaving.body(), "alive/gamma": b"of a later version"})
    await bench.saved(lambda saved: saved.alive == ("beta", "gamma"))


async def test_what_is_missing_was_not_removed(bench: Bench, members: Members) -> None:
    await bench.join(members.web())
    await bench.clerk.start()
    await bench.saved(lambda _: bench.board.settled)
    await bench.catalogue.commit([Delete("certificates/web"), Delete("members/beta")])
    await bench.put(members.sealed(members.record("gamma")))
    saved = await bench.saved(lambda saved: "members/gamma" in saved.values)
    assert {"certificates/web", "members/beta"} <= saved.values.keys()


async def test_what_nobody_signed_is_counted_and_left_out(bench: Bench, members: Members) -> None:
    await bench.join()
    await bench.clerk.start()
    await bench.saved(lambda _: bench.board.settled)
    await bench.put(members.sealed(members.web(), by="gamma"))
    later = members.sealed(members.record("beta", version=2))
    await bench.put(later)
    saved = await bench.saved(lambda saved: later.items() <= saved.values.items())
    assert "certificates/web" not in saved.values
    assert metrics.DIRECTORY_REFUSED.labels(NAME).value == 1


async def test_history_that_was_cut_off_is_read_anew(bench: Bench, members: Members) -> None:
    await bench.join(members.web())
    await bench.clerk.start()
    await bench.saved(lambda _: bench.board.settled)
    await bench.catalogue.commit([Delete("alive/alpha")])
    second = members.sealed(members.web(1, 2))
    await bench.put(second)
    bench.catalogue.compact()
    await bench.alive("gamma")
    await bench.saved(
        lambda saved: saved.alive == ("beta", "gamma") and second.items() <= saved.values.items()
    )


async def test_begins_with_the_file_and_with_nobody_known_to_be_alive(
    bench: Bench, members: Members
) -> None:
    values = members.all(members.web(1, 2))
    bench.file.save(values, ["alpha"])
    bench.refusals = 1
    await bench.clerk.start()
    saved = await bench.saved(lambda _: bench.board.settled)
    assert saved == Saved(values, ())
    # The catalogue, when it is back, is older than what was seen.
    await bench.join(members.web())
    saved = await bench.saved(lambda saved: bool(saved.alive))
    assert saved.values["certificates/web"] == values["certificates/web"]


async def test_a_file_that_cannot_be_read_is_written_anew(bench: Bench, members: Members) -> None:
    bench.file.path.write_text("{")
    await bench.join()
    await bench.clerk.start()
    assert (await bench.saved(lambda _: bench.board.settled)).alive == ("alpha", "beta")


async def test_a_catalogue_that_says_nothing_is_not_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clerk_module, "_FIRST", 0.0)
    silent = asyncio.Event()

    async def never(*_: object) -> None:
        await silent.wait()

    monkeypatch.setattr(FakeCatalogue, "list", never)
    rung = asyncio.Event()
    asyncio.get_running_loop().add_reader(bench.board.bell(1), rung.set)
    await bench.clerk.start()
    async with asyncio.timeout(10):
        await rung.wait()
    asyncio.get_running_loop().remove_reader(bench.board.bell(1))
    assert bench.board.settled
    assert bench.file.load() is None


async def test_the_front_end_tells_what_all_its_processes_have_reached(
    bench: Bench, members: Members
) -> None:
    first, second = (ski(chain) for chain in members.chains[:2])
    await bench.clerk.start()
    await bench.told(lambda record: record.serving == {"web": ""})
    bench.report(0, first)
    await bench.told(lambda record: record.serving == {"web": first})
    bench.report(1, second, staged={"web": first})
    await bench.told(lambda record: record.serving == {"web": ""})
    bench.report(0, second, staged={"web": first})
    record = await bench.told(lambda record: record.serving == {"web": second})
    assert record.staged == {"web": first}
    bench.report(1, second, failed={first: "no worker"})
    await bench.told(lambda record: record.canary_errors == {first: "no worker"})
    bench.board.clear(1)
    bench.board.ring_clerk()
    await bench.told(lambda record: record.canary_errors == {} and record.staged != {})


async def test_withdraws_when_it_is_stopped(bench: Bench) -> None:
    await bench.clerk.start()
    await bench.told(lambda record: record.name == NAME)
    await bench.clerk.stop()
    assert await bench.catalogue.get(paths.FRONTENDS + NAME) is None


async def test_a_catalogue_out_of_reach_is_seen_in_the_age(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clerk_module, "_TICK", 0.01)
    noted: asyncio.Queue[bool] = asyncio.Queue()
    monkeypatch.setattr(bench.clerk, "_note", noted.put_nowait)

    async def until(reachable: bool) -> float:
        async with asyncio.timeout(10):
            while await noted.get() is not reachable:
                pass
        return metrics.DIRECTORY_AGE.labels(NAME).value

    await bench.clerk.start()
    await bench.told(lambda _: True)
    assert await until(True) < 2 * LEASE
    bench.refuse()
    assert await until(False) >= 2 * LEASE
    bench.refuse(False)
    assert await until(True) < 2 * LEASE


async def test_what_is_a_defect_is_not_kept_quiet(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("defect")

    monkeypatch.setattr(FakeCatalogue, "list", broken)
    await bench.clerk.start()
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(10):
            await bench.clerk.failed()
    assert caught.group_contains(RuntimeError, match="defect")


async def test_a_full_disk_is_said_and_survived(
    bench: Bench, members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.join()
    await bench.clerk.start()
    await bench.saved(lambda _: bench.board.settled)
    with monkeypatch.context() as patch:
        failed = asyncio.Event()

        def full(*_: object) -> None:
            failed.set()
            raise OSError(28, "No space left on device")

        patch.setattr("os.fsync", full)
        await bench.put(members.sealed(members.web()))
        async with asyncio.timeout(10):
            await failed.wait()
    await bench.alive("gamma")
    saved = await bench.saved(lambda saved: "gamma" in saved.alive)
    assert "certificates/web" in saved.values
