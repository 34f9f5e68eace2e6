"""The copy of the catalogue that a member keeps beside it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from support.cluster import cluster_record, found, member_record, put, verifier
from support.managed_keys import appliance, key_record, managed_key

from offload.admin.replica import SEEN, Changes, Mirror, ReplicaFile, all_paths, changes
from offload.catalogue import paths
from offload.catalogue.fake import FakeCatalogue
from offload.catalogue.records import HoldingRecord
from offload.cluster.opened import removal
from offload.cluster.view import View
from offload.keys.managed import ManagedKey
from offload.keys.state import State

ME, OTHER = "worker-1", "worker-2"
KEY = managed_key(key_record("shop"))
PATH = paths.KEYS + KEY.ski.hex()


class WatchedFile(ReplicaFile):
    """Tells when something was written."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._written = asyncio.Event()

    def write(self, changes: Changes) -> None:
        super().write(changes)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._written.set)

    async def until(self, condition: Callable[[], bool]) -> None:
        self._loop = asyncio.get_running_loop()
        async with asyncio.timeout(10):
            while not condition():
                self._written.clear()
                await self._written.wait()


@pytest.fixture
async def catalogue() -> AsyncIterator[FakeCatalogue]:
    catalogue = FakeCatalogue()
    await found(catalogue, ME, OTHER)
    yield catalogue
    await catalogue.close()


@pytest.fixture
async def view(catalogue: FakeCatalogue) -> AsyncIterator[View]:
    view = await View.open(catalogue, verifier())
    await view.complete()
    yield view
    await view.close()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[WatchedFile]:
    tmp_path.chmod(0o700)
    file = WatchedFile(tmp_path / "replica.db")
    yield file
    file.close()


def holding(member: str, state: str = "held") -> HoldingRecord:
    return HoldingRecord.model_validate({"member": member, "ski": KEY.ski.hex(), "state": state})


async def holds(catalogue: FakeCatalogue, view: View, member: str) -> None:
    path = f"{paths.HOLDINGS}{KEY.ski.hex()}/{member}"
    await view.reached(await put(catalogue, member, {path: holding(member)}))


async def puts_key(catalogue: FakeCatalogue, view: View, key: ManagedKey) -> None:
    await view.reached(await put(catalogue, OTHER, {PATH: key}))


async def test_everything_that_serving_needs_is_copied(
    catalogue: FakeCatalogue, view: View
) -> None:
    front_end = appliance("front-end", "ab" * 32)
    await view.reached(await put(catalogue, OTHER, {"appliances/front-end": front_end}))
    found_ = changes(view, ME, all_paths(view))
    assert found_["cluster"] == cluster_record().body()
    assert found_["members/worker-2"] == member_record(OTHER).body()
    assert found_["appliances/front-end"] == front_end.body()
    assert found_[SEEN + "appliances/front-end"] == b"1"


async def test_a_key_is_copied_once_the_token_has_it(catalogue: FakeCatalogue, view: View) -> None:
    await puts_key(catalogue, view, KEY)
    await holds(catalogue, view, OTHER)
    assert PATH not in changes(view, ME, [PATH])
    await holds(catalogue, view, ME)
    copied = changes(view, ME, [f"{paths.HOLDINGS}{KEY.ski.hex()}/{ME}"])[PATH]
    assert copied is not None
    assert ManagedKey.from_json(json.loads(copied)).signs


async def test_before_holdings_are_read_the_token_tells(
    catalogue: FakeCatalogue, view: View
) -> None:
    await puts_key(catalogue, view, KEY)
    assert PATH in changes(view, ME, [PATH], [KEY.ski])
    path = f"{paths.HOLDINGS}{KEY.ski.hex()}/{ME}"
    await view.reached(await put(catalogue, ME, {path: holding(ME, "erased")}))
    assert PATH not in changes(view, ME, [PATH], [KEY.ski])


async def test_what_others_hold_does_not_matter_here(catalogue: FakeCatalogue, view: View) -> None:
    await puts_key(catalogue, view, KEY)
    await holds(catalogue, view, ME)
    assert changes(view, ME, [f"{paths.HOLDINGS}{KEY.ski.hex()}/{OTHER}"]) == {}


async def test_a_key_that_signs_no_more_is_copied_at_once(
    catalogue: FakeCatalogue, view: View
) -> None:
    await puts_key(catalogue, view, managed_key(key_record("shop"), state=State.SUSPENDED))
    copied = changes(view, ME, [PATH])[PATH]
    assert copied is not None
    assert ManagedKey.from_json(json.loads(copied)).state is State.SUSPENDED


async def test_no_wrapped_key_is_copied(catalogue: FakeCatalogue, view: View) -> None:
    await puts_key(catalogue, view, KEY)
    await holds(catalogue, view, ME)
    copied = changes(view, ME, [PATH])[PATH]
    assert copied is not None
    assert ManagedKey.from_json(json.loads(copied)).wrapped == b""


async def test_what_was_removed_is_removed_here(catalogue: FakeCatalogue, view: View) -> None:
    path = "appliances/front-end"
    await put(catalogue, OTHER, {path: appliance("front-end", "ab" * 32)})
    await view.reached(await put(catalogue, OTHER, {path: removal(2)}))
    assert changes(view, ME, [path]) == {path: None, SEEN + path: b"2"}


async def test_what_is_missing_was_not_removed_by_a_member(
    catalogue: FakeCatalogue, view: View
) -> None:
    # As in an earlier run it was there: serving goes on although the catalogue has lost it.
    assert changes(view, ME, [PATH, "appliances/front-end"]) == {}


async def test_what_nobody_signed_changes_nothing_here(
    catalogue: FakeCatalogue, view: View
) -> None:
    await puts_key(catalogue, view, KEY)
    revision = await put(catalogue, OTHER, {PATH: b'{"not": "a key"}'})
    await view.reached(revision)
    assert PATH not in changes(view, ME, [PATH])


async def test_a_member_that_was_removed_serves_nobody(
    catalogue: FakeCatalogue, view: View
) -> None:
    await put(catalogue, OTHER, {"appliances/front-end": appliance("front-end", "ab" * 32)})
    removed = member_record(ME, state="removed", version=2)
    await view.reached(await put(catalogue, OTHER, {paths.MEMBERS + ME: removed}))
    assert changes(view, ME, [paths.MEMBERS + ME])["appliances/front-end"] is None


async def test_certificates_of_removed_members_are_kept(
    catalogue: FakeCatalogue, view: View, file: ReplicaFile, tmp_path: Path
) -> None:
    removed = member_record(OTHER, state="removed", version=2)
    await view.reached(await put(catalogue, ME, {paths.MEMBERS + OTHER: removed}))
    file.write(changes(view, ME, [paths.MEMBERS + OTHER]))
    again = ReplicaFile(tmp_path / "replica.db")
    assert again.revoked() == view.revoked
    assert len(again.revoked()) == 1
    assert again.mirrored() == {paths.MEMBERS + OTHER}
    again.close()


async def test_the_mirror_follows(catalogue: FakeCatalogue, view: View, file: WatchedFile) -> None:
    mirror = asyncio.create_task(Mirror(view, file, ME).run())
    await file.until(lambda: "cluster" in file.mirrored())
    await puts_key(catalogue, view, KEY)
    await holds(catalogue, view, ME)
    await file.until(lambda: PATH in file.mirrored())
    mirror.cancel()
    await asyncio.wait([mirror])


async def test_a_later_run_knows_what_was_seen_and_clears_what_went(
    catalogue: FakeCatalogue, view: View, file: ReplicaFile, tmp_path: Path
) -> None:
    file.write({"appliances/gone": b"{}", SEEN + "appliances/gone": b"7"})
    again = WatchedFile(tmp_path / "replica.db")
    assert again.seen() == {"appliances/gone": 7}
    await view.reached(await put(catalogue, OTHER, {"appliances/gone": removal(8)}))
    mirror = asyncio.create_task(Mirror(view, again, ME).run())
    await again.until(lambda: "appliances/gone" not in again.mirrored())
    assert again.seen()["appliances/gone"] == 8
    mirror.cancel()
    await asyncio.wait([mirror])
    again.close()


def test_nothing_is_written_twice(file: ReplicaFile, tmp_path: Path) -> None:
    file.write({"cluster": b"1"})
    before = (tmp_path / "replica.db-wal").stat().st_size
    file.write({"cluster": b"1", "keys/aa": None})
    assert (tmp_path / "replica.db-wal").stat().st_size == before
    assert (tmp_path / "replica.db").stat().st_mode & 0o077 == 0
