"""The file of what was verified: whole, ours alone, or of no account."""

import asyncio
from pathlib import Path
from typing import cast

import pytest

from offload.admin.verified import VerifiedFile
from offload.cluster.view import View

PATH, CERTIFICATE = "keys/aa", bytes(32)


class Loading:
    """A view of which `complete` can be told."""

    def __init__(self) -> None:
        self.whole = asyncio.Event()

    async def complete(self) -> None:
        await self.whole.wait()


def knows(file: VerifiedFile, value: bytes = b"value") -> bool:
    return file.verified.holds(PATH, value, CERTIFICATE)


async def written(path: Path, value: bytes = b"value") -> VerifiedFile:
    file = VerifiedFile(path)
    view = Loading()
    running = asyncio.create_task(file.run(cast(View, view), 0))
    file.verified.add(PATH, value, CERTIFICATE)
    view.whole.set()
    async with asyncio.timeout(10):
        while not await asyncio.to_thread(path.exists):
            pass
    running.cancel()
    await asyncio.wait([running])
    return file


async def test_what_was_verified_is_known_in_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "verified"
    file = await written(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert knows(VerifiedFile(path))
    file.verified.add(PATH, b"changed", CERTIFICATE)
    file.write()
    assert knows(VerifiedFile(path), b"changed")
    assert not knows(VerifiedFile(path))
    assert [one.name for one in tmp_path.iterdir()] == ["verified"]


async def test_nothing_is_written_before_everything_was_read(tmp_path: Path) -> None:
    path = tmp_path / "verified"
    await written(path)
    file = VerifiedFile(path)
    running = asyncio.create_task(file.run(cast(View, Loading()), 0))
    await asyncio.sleep(0)
    file.write()
    running.cancel()
    await asyncio.wait([running])
    assert knows(VerifiedFile(path))


async def test_what_others_can_reach_or_a_link_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "verified"
    await written(path)
    path.with_name("link").symlink_to(path)
    assert not knows(VerifiedFile(path.with_name("link")))
    path.chmod(0o640)
    assert not knows(VerifiedFile(path))


async def test_a_file_that_is_cut_off_is_of_use_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "verified"
    await written(path)
    path.write_bytes(path.read_bytes() + b"cut off")
    assert knows(VerifiedFile(path))
    path.write_bytes(path.read_bytes()[:31])
    assert not knows(VerifiedFile(path))


async def test_what_cannot_be_written_is_told_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "verified"
    file = await written(path)

    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    file.verified.add(PATH, b"changed", CERTIFICATE)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        file.write()
    assert [one.name for one in tmp_path.iterdir()] == ["verified"]
    file.write()
    assert knows(VerifiedFile(path), b"changed")
