"""How many signatures a worker made with which key: counted by its processes, told to the cluster.

The processes that sign add to a file of the worker's, every few seconds; its manager puts the sums
into the catalogue. A crash loses what one process counted since its last addition.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from offload.catalogue import paths
from offload.catalogue.base import CatalogueError, Conflict
from offload.catalogue.records import UsageRecord
from offload.cluster.node import Node
from offload.observe.log import get_logger

PUBLISH_SECONDS: Final = 10.0
"""Seconds between two looks for sums to publish."""
_MOST: Final = 200  # of one look: each is a value that every member verifies
_CHUNK: Final = 50

_SCHEMA: Final = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS usage (
    ski BLOB PRIMARY KEY,
    signatures INTEGER NOT NULL,
    published INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
"""
_ADD: Final = """
INSERT INTO usage (ski, signatures) VALUES (?, ?)
ON CONFLICT (ski) DO UPDATE SET signatures = signatures + excluded.signatures
"""

_log = get_logger(__name__)


class UsageError(Exception):
    """The file of counts cannot be used; the text says why."""


class Count(NamedTuple):
    """All signatures ever made by this worker with a key."""

    ski: bytes
    signatures: int


class Ledger:
    """The file of counts, for any thread. Methods block and raise UsageError."""

    def __init__(self, path: Path) -> None:
        """Made if need be."""
        self._path = path
        self._lock = threading.Lock()
        with self._explained():
            path.touch(0o600)
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            # Counts are not worth a flush of the disk each time.
            self._connection.execute("PRAGMA synchronous = OFF")
            self._connection.executescript(_SCHEMA)

    def add(self, signatures: Mapping[bytes, int]) -> None:
        """So many more were made with each key."""
        with self._explained(), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(_ADD, signatures.items())

    def unpublished(self, limit: int) -> list[Count]:
        """Sums that have grown since they were published, those that grew most first."""
        with self._explained():
            rows = self._connection.execute(
                "SELECT ski, signatures FROM usage WHERE signatures > published"
                " ORDER BY signatures - published DESC LIMIT ?",
                (limit,),
            )
            return [Count(*row) for row in rows]

    def published(self, counts: list[Count]) -> None:
        """The cluster knows these sums."""
        with self._explained(), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(
                "UPDATE usage SET published = ? WHERE ski = ?",
                [(count.signatures, count.ski) for count in counts],
            )

    def close(self) -> None:
        """Close the file, once what is being done with it is."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            with self._lock:
                yield
        except (sqlite3.Error, OSError) as error:
            raise UsageError(f"{self._path} cannot be used: {error}") from error


class UsagePublisher:
    """Puts a worker's sums into the catalogue; loses nothing where that is out of reach."""

    def __init__(self, node: Node, ledger: Ledger, *, seconds: float = PUBLISH_SECONDS) -> None:
        self._node, self._ledger, self._seconds = node, ledger, seconds

    async def run(self) -> None:
        """Publish every so often, until cancelled."""
        while True:
            await asyncio.sleep(self._seconds)
            try:
                await self.publish()
            except (CatalogueError, UsageError) as error:
                _log.warning("usage counts are not published now", error=str(error))

    async def publish(self) -> None:
        """Publish what has grown; raises CatalogueError, UsageError."""
        node = self._node
        counts = await asyncio.to_thread(self._ledger.unpublished, _MOST)
        for start in range(0, len(counts), _CHUNK):
            chunk = counts[start : start + _CHUNK]
            try:
                await node.write(
                    {
                        f"{paths.USAGE}{node.name}/{ski.hex()}": UsageRecord(
                            member=node.name, ski=ski.hex(), signatures=signatures
                        )
                        for ski, signatures in chunk
                    }
                )
            except Conflict:
                continue  # our view was behind: next time
            await asyncio.to_thread(self._ledger.published, chunk)
