"""Adds what a serving process has signed, by key, to the worker's file of counts."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from pathlib import Path

from offload.cluster.usage import Ledger, UsageError
from offload.observe.log import get_logger

SECONDS = 5.0
"""Between two additions: what a crash loses at most."""

_log = get_logger(__name__)


class Counting:
    """Empties `signatures` into the file every so often, from `start` to `stop`."""

    def __init__(self, signatures: Counter[bytes], path: Path, *, seconds: float = SECONDS) -> None:
        self._signatures, self._path, self._seconds = signatures, path, seconds
        self._ledger: Ledger | None = None
        self._ending = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; called on the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Add what is left, and end."""
        self._ending.set()
        if self._task is not None:
            await self._task
        if self._ledger is not None:
            self._ledger.close()

    async def add(self) -> None:
        """Add what was signed since; what cannot be added now is kept for the next time."""
        if not self._signatures:
            return
        counts = self._signatures.copy()
        self._signatures.clear()
        try:
            await asyncio.to_thread(self._add, counts)
        except UsageError as error:
            self._signatures.update(counts)
            _log.warning("signatures cannot be counted now", error=str(error))

    def _add(self, counts: Counter[bytes]) -> None:
        if self._ledger is None:
            self._ledger = Ledger(self._path)
        self._ledger.add(counts)

    async def _run(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), self._seconds)
            await self.add()
            if self._ending.is_set():
                return
