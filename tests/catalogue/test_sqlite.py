"""The catalogue in a file with several processes at it, and closed in the middle of things."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path

import pytest

from offload.catalogue.base import CatalogueError, CatalogueUnavailable, Put
from offload.catalogue.sqlite import SqliteCatalogue

# Counts `sys.argv[3]` times at the key `counter`, as any process of the machine may.
COUNTER = """
import asyncio, sys
from pathlib import Path
from offload.catalogue.base import Conflict, Put, Unchanged
from offload.catalogue.sqlite import SqliteCatalogue

async def main(path, name, times):
    catalogue = await SqliteCatalogue.open(path)
    for number in range(times):
        while True:
            entry = await catalogue.get("counter")
            value, revision = (int(entry.value), entry.revision) if entry else (0, 0)
            writes = [Put("counter", b"%d" % (value + 1)), Put(f"done/{name}/{number:03}", b"")]
            try:
                await catalogue.commit(writes, [Unchanged("counter", revision)])
            except Conflict:
                continue
            break
    if name == "killed":
        print("counted", flush=True)
        sys.stdin.read()
    await catalogue.close()

asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
"""


def start(path: Path, name: str, times: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", COUNTER, str(path), name, str(times)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


async def test_several_processes_count_and_one_watches(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.db"
    processes = [start(path, str(name), 40) for name in range(3)]
    try:
        # This one may be the one that makes the file, or not.
        catalogue = await SqliteCatalogue.open(path)
        seen: list[bytes | None] = []
        async with asyncio.timeout(40), aclosing(catalogue.watch("counter", 0)) as batches:
            async for batch in batches:
                seen += [event.value for event in batch.events]
                if seen[-1] == b"120":
                    break
        assert seen == [str(number).encode() for number in range(1, 121)]
        assert len((await catalogue.list("done/")).entries) == 120
        await catalogue.close()
    finally:
        for process in processes:
            process.communicate(timeout=20)
    assert [process.returncode for process in processes] == [0, 0, 0]


async def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.db"
    process = start(path, "killed", 5)
    assert process.stdout is not None
    assert process.stdout.readline() == "counted\n"
    process.kill()
    process.communicate()

    catalogue = await SqliteCatalogue.open(path)
    entry = await catalogue.get("counter")
    assert entry is not None
    assert entry.value == b"5"
    await catalogue.close()


async def test_another_catalogue_s_change_is_seen_soon(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.db"
    watching, writing = [await SqliteCatalogue.open(path, poll=0.001) for _ in range(2)]
    watch = watching.watch("", 1)
    for number in range(5):
        waiting = asyncio.ensure_future(anext(watch))
        revision = await writing.commit([Put("a", str(number).encode())])
        async with asyncio.timeout(5):
            assert (await waiting).revision == revision
    await watch.aclose()
    await watching.close()
    await writing.close()


async def test_a_reader_watches_what_others_write(tmp_path: Path) -> None:
    path = tmp_path / "replica.db"
    writer = await SqliteCatalogue.open(path)
    reader = await SqliteCatalogue.open(path, create=False)
    watch = reader.watch("", 1)
    waiting = asyncio.ensure_future(anext(watch))
    await writer.commit([Put("a", b"")])
    async with asyncio.timeout(5):
        assert (await waiting).events
    await watch.aclose()
    await reader.close()
    await writer.close()


async def test_commits_under_way_are_finished_by_close(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.db"
    catalogue = await SqliteCatalogue.open(path)
    commits = [
        asyncio.ensure_future(catalogue.commit([Put(str(number), b"")])) for number in range(5)
    ]
    await asyncio.sleep(0)
    await catalogue.close()
    await catalogue.close()

    await asyncio.gather(*commits)
    with pytest.raises(CatalogueUnavailable, match="closed"):
        await catalogue.list("")
    again = await SqliteCatalogue.open(path)
    assert len((await again.list("")).entries) == 5
    await again.close()


async def test_what_cannot_be_opened_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "catalogue.db").write_bytes(b"something else")
    with pytest.raises(CatalogueError):
        await SqliteCatalogue.open(tmp_path / "catalogue.db")
    assert [file.name for file in tmp_path.iterdir()] == ["catalogue.db"]
