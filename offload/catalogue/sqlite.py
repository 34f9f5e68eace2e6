"""The catalogue in a SQLite file: for the processes of one machine, with nothing to start."""

from __future__ import annotations

import asyncio
import math
import sqlite3
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import ParamSpec, Self, TypeVar

from offload.catalogue.base import (
    Batch,
    CatalogueUnavailable,
    Entry,
    Snapshot,
    Unchanged,
    Write,
)
from offload.catalogue.database import Changes, Database, boot_time, connect, data_version
from offload.catalogue.rules import check_commit, check_key

_P = ParamSpec("_P")
_T = TypeVar("_T")


class SqliteCatalogue:
    """All processes of the machine may have it open at once; open it after a fork, not before.

    Calls run in a thread of the catalogue's own, since a commit waits for the disk. A cancelled
    call may still be carried out.
    """

    def __init__(
        self,
        path: Path,
        database: Database,
        executor: ThreadPoolExecutor,
        poll: float,
        clock: Callable[[], float],
    ) -> None:
        """Use `open`."""
        self._path, self._database, self._executor = path, database, executor
        self._poll, self._clock = poll, clock
        self._watches: set[asyncio.Event] = set()
        self._poller: _Poller | None = None
        self._expiry = math.inf
        self._closed = False

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        create: bool = True,
        poll: float = 0.02,
        clock: Callable[[], float] = boot_time,
        history: int = 10_000,
    ) -> Self:
        """Open the file, which is made if need be; raises CatalogueError.

        create: False opens an existing file for reading alone. poll: seconds between looks for
        changes made by other processes, while something is watched. clock: of leases, the same to
        all processes. history: how many revisions are remembered for watches.
        """
        executor = ThreadPoolExecutor(1, thread_name_prefix="catalogue")
        opening = partial(Database, path, create=create, clock=clock, history=history)
        try:
            database = await asyncio.get_running_loop().run_in_executor(executor, opening)
        except BaseException:
            executor.shutdown(wait=False)
            raise
        return cls(path, database, executor, poll, clock)

    async def get(self, key: str) -> Entry | None:
        check_key(key)
        return await self._run(self._database.get, key)

    async def list(
        self, prefix: str, *, after: str = "", limit: int = 0, revision: int = 0
    ) -> Snapshot:
        return await self._run(self._database.list, prefix, after, limit, revision)

    async def commit(self, writes: Sequence[Write], checks: Sequence[Unchanged] = ()) -> int:
        check_commit(writes, checks)
        revision = await self._run(self._database.commit, tuple(writes), tuple(checks))
        self._wake()
        return revision

    async def watch(self, prefix: str, after: int) -> AsyncGenerator[Batch, None]:
        changed = asyncio.Event()
        self._watches.add(changed)
        try:
            self._start_polling()
            while not self._closed:
                changed.clear()
                changes = await self._changes(prefix, after)
                after = changes.revision
                if changes.events:
                    yield Batch(changes.events, after)
                else:
                    await changed.wait()
        finally:
            self._watches.discard(changed)
            if not self._watches:
                self._stop_polling()

    async def _changes(self, prefix: str, after: int) -> Changes:
        try:
            changes = await self._run(self._database.changes, prefix, after)
        except CatalogueUnavailable:
            # A busy or full disk; the next look at the file tries again.
            if not self._closed:
                await asyncio.sleep(self._poll)
            return Changes((), after, 0.0)
        self._expiry = changes.expiry
        return changes

    async def lease(self, seconds: float) -> int:
        lease = await self._run(self._database.lease, seconds)
        self._wake()
        return lease

    async def keep_alive(self, lease: int) -> None:
        await self._run(self._database.keep_alive, lease)

    async def revoke(self, lease: int) -> None:
        await self._run(self._database.revoke, lease)
        self._wake()

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._stop_polling()
        self._wake()
        # Behind what is under way.
        await asyncio.get_running_loop().run_in_executor(self._executor, self._database.close)
        self._executor.shutdown()

    async def _run(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        if self._closed:
            raise CatalogueUnavailable("the catalogue is closed")
        calling = partial(function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._executor, calling)

    def _wake(self) -> None:
        for watch in self._watches:
            watch.set()

    def _start_polling(self) -> None:
        if self._poller is None and not self._closed:
            self._poller = _Poller(self._path, self._poll, self._look)

    def _look(self, changed: bool) -> None:
        if changed or self._expiry <= self._clock():
            self._expiry = math.inf
            self._wake()

    def _stop_polling(self) -> None:
        if self._poller is not None:
            self._poller.close()
            self._poller = None


class _Poller:
    """Calls `look` at each interval with whether anybody has committed.

    On the event loop: what it asks SQLite is answered from memory shared by all processes.
    """

    def __init__(self, path: Path, interval: float, look: Callable[[bool], None]) -> None:
        self._interval, self._look = interval, look
        self._loop = asyncio.get_running_loop()
        self._connection = connect(path)
        self._connection.execute("PRAGMA busy_timeout = 0")
        self._version: int | None = None
        self._timer = self._loop.call_soon(self._tick)

    def close(self) -> None:
        """Look no more."""
        self._timer.cancel()
        self._connection.close()

    def _tick(self) -> None:
        before = self._version
        try:
            self._version = data_version(self._connection)
        except sqlite3.Error:
            # Whoever reads next finds out what it is.
            self._version = None
        self._timer = self._loop.call_later(self._interval, self._tick)
        self._look(self._version is None or self._version != before)
