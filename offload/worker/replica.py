"""The local copy of the catalogue, as a serving process reads it: what has changed since last.

The worker's manager keeps it current; with it a worker starts and serves while the catalogue is
down. Looking whether anything changed is one read of memory that all processes share.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from offload.catalogue import paths
from offload.catalogue.base import CatalogueError, Compacted, Event
from offload.catalogue.database import Database, connect, data_version
from offload.observe.log import get_logger

_log = get_logger(__name__)


class Replica:
    """`loaded` says whether a whole copy was ever read."""

    def __init__(self, path: Path) -> None:
        """The file need not be there yet."""
        self.loaded = False
        self._path = path
        self._known: set[str] = set()
        self._revision = 0
        self._file: _File | None = None
        self._broken = ""

    def poll(self) -> Sequence[Event]:
        """What changed since the last call, in order; never raises."""
        try:
            return self._changes()
        except (CatalogueError, OSError, sqlite3.Error) as error:
            self.close()
            if str(error) != self._broken:
                self._broken = str(error)
                _log.error("the local copy of the catalogue cannot be read", error=self._broken)
            return ()

    def close(self) -> None:
        """Close the file; the next `poll` opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _changes(self) -> Sequence[Event]:
        file = self._file
        if file is not None and not file.replaced():
            return self._since(file) if file.changed() else ()
        self.close()
        if not self._path.exists():
            return ()
        self._file = file = _File(self._path)
        file.changed()
        return self._all(file)

    def _since(self, file: _File) -> Sequence[Event]:
        try:
            changes = file.database.changes("", self._revision)
        except Compacted:
            return self._all(file)
        return self._told(changes.events, changes.revision)

    def _all(self, file: _File) -> Sequence[Event]:
        snapshot = file.database.list("", "", 0, 0)
        there = {entry.key for entry in snapshot.entries}
        gone = [Event(path, None, snapshot.revision) for path in sorted(self._known - there)]
        return self._told(
            [*gone, *(Event(*entry) for entry in snapshot.entries)], snapshot.revision
        )

    def _told(self, events: Sequence[Event], revision: int) -> Sequence[Event]:
        self._broken = ""
        self._revision = revision
        for path, value, _ in events:
            if value is None:
                self._known.discard(path)
            else:
                self._known.add(path)
        # Written in one commit with everything else that a first copy has.
        self.loaded = self.loaded or paths.CLUSTER in self._known
        return events


class _File:
    """One file that has stood at the path, opened for reading."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity = _identity(path)
        self.database = Database(path, create=False)
        self._connection = connect(path)
        self._version = 0

    def replaced(self) -> bool:
        """Whether another file stands there now."""
        return _identity(self._path) != self._identity

    def changed(self) -> bool:
        """Whether anybody has committed since the last call."""
        before, self._version = self._version, data_version(self._connection)
        return self._version != before

    def close(self) -> None:
        self._connection.close()
        self.database.close()


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
