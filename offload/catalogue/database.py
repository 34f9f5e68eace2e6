"""The SQLite file behind a catalogue: blocking calls, each one transaction.

All versions of a value are kept for a while, as in etcd, which gives watches their history and
lists a revision to read at. A row is current while `until` is 0, else `until` is the revision that
superseded it; a removal is a row without value that never was current.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from offload.catalogue.base import (
    CatalogueDenied,
    CatalogueError,
    CatalogueUnavailable,
    Compacted,
    Conflict,
    Delete,
    Entry,
    Event,
    LeaseExpired,
    Put,
    Snapshot,
    Unchanged,
    Write,
)
from offload.catalogue.rules import range_end, range_start

_APPLICATION: Final = 0x6F66666C
_FORMAT: Final = 1
_BUSY_SECONDS: Final = 5.0
_COMPACT_EVERY: Final = 256
_SCHEMA: Final = """
BEGIN;
CREATE TABLE versions (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    value BLOB,
    revision INTEGER NOT NULL,
    until INTEGER NOT NULL DEFAULT 0,
    lease INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX current ON versions (key) WHERE until = 0;
CREATE INDEX changes ON versions (revision);
CREATE INDEX superseded ON versions (until) WHERE until > 0;
CREATE INDEX bound ON versions (lease) WHERE lease > 0 AND until = 0;
CREATE TABLE leases (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    boot TEXT NOT NULL,
    seconds REAL NOT NULL,
    expires REAL NOT NULL
) STRICT;
CREATE TABLE state (revision INTEGER NOT NULL, floor INTEGER NOT NULL) STRICT;
INSERT INTO state VALUES (1, 0);
COMMIT;
"""


class Changes(NamedTuple):
    """What happened after a revision, up to `revision`; `expiry`: when the next lease ends."""

    events: tuple[Event, ...]
    revision: int
    expiry: float


def boot_time() -> float:
    """Seconds since the machine started, sleep included: the same to all of its processes."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """Which start of the machine this is: `boot_time` means nothing in another one."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class Database:
    """One connection to the file, for one thread at a time.

    Every method raises CatalogueError: CatalogueUnavailable where trying again may help.
    """

    def __init__(
        self,
        path: Path,
        *,
        create: bool = True,
        clock: Callable[[], float] = boot_time,
        boot: str | None = None,
        history: int = 10_000,
    ) -> None:
        """`create` False: it must exist and is only read. `history`: revisions to remember."""
        self._path, self._writable, self._clock = path, create, clock
        self._boot = boot if boot is not None else boot_id()
        self._history = history
        with _explained(path):
            _check_private(path.parent)
            if create and not path.exists():
                _make(path)
            self._connection = connect(path)
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def _prepare(self) -> None:
        _check_format(self._path, self._connection)
        if self._one("PRAGMA quick_check(1)") != "ok":
            raise _damaged(self._path)
        if not self._writable:
            self._connection.execute("PRAGMA query_only = ON")
        self._expire()

    def get(self, key: str) -> Entry | None:
        """The current value."""
        with _explained(self._path):
            self._expire()
            found = self._connection.execute(
                "SELECT key, value, revision FROM versions WHERE key = ? AND until = 0", (key,)
            ).fetchone()
        return found and Entry(*found)

    def list(self, prefix: str, after: str, limit: int, revision: int) -> Snapshot:
        """As Catalogue.list."""
        with _explained(self._path):
            self._expire()
            with self._transaction("DEFERRED"):
                now, floor = self._state()
                if revision > now:
                    raise ValueError(f"revision {revision} is yet to come")
                if revision and revision < floor:
                    raise _compacted(revision)
                rows = self._rows(prefix, after, limit, revision)
        cut = limit if limit else len(rows)
        entries = tuple(Entry(*row) for row in rows[:cut])
        return Snapshot(entries, revision or now, len(rows) > cut)

    def _rows(
        self, prefix: str, after: str, limit: int, revision: int
    ) -> Sequence[tuple[str, bytes, int]]:
        selection = (
            "SELECT key, value, revision FROM versions"
            " WHERE until = 0 AND key >= :start AND key < :end"
        )
        if revision:
            selection += (
                " AND revision <= :revision UNION ALL"
                " SELECT key, value, revision FROM versions WHERE until > 0"
                " AND until > :revision AND revision <= :revision AND key >= :start AND key < :end"
            )
        rows: Sequence[tuple[str, bytes, int]] = self._connection.execute(
            f"{selection} ORDER BY key LIMIT :limit",
            {
                "start": range_start(prefix, after),
                # A BLOB is greater than any TEXT.
                "end": range_end(prefix) or b"",
                "revision": revision,
                "limit": limit + 1 if limit else -1,
            },
        ).fetchall()
        return rows

    def commit(self, writes: Sequence[Write], checks: Sequence[Unchanged]) -> int:
        """As Catalogue.commit."""
        with _explained(self._path):
            self._expire()
            with self._writing():
                for check in checks:
                    self._check(check)
                return self._apply(writes)

    def _check(self, check: Unchanged) -> None:
        found = self._one(
            "SELECT ifnull(max(revision), 0) FROM versions WHERE key = ? AND until = 0", check.key
        )
        if found != check.revision:
            raise Conflict(f"{check.key} has changed: read it again")

    def _apply(self, writes: Sequence[Write]) -> int:
        """Within a transaction; the revision is a new one if anything changes."""
        before, floor = self._state()
        revision = before + 1
        if not sum(self._write(write, revision) for write in writes):
            return before
        if revision - floor >= self._history + _COMPACT_EVERY:
            floor = revision - self._history
            self._connection.execute(
                "DELETE FROM versions WHERE until > 0 AND until <= ?", (floor,)
            )
        self._connection.execute("UPDATE state SET revision = ?, floor = ?", (revision, floor))
        return revision

    def _write(self, write: Write, revision: int) -> bool:
        superseded = self._connection.execute(
            "UPDATE versions SET until = ? WHERE key = ? AND until = 0", (revision, write.key)
        ).rowcount
        if isinstance(write, Put):
            self._check_lease(write.lease)
            self._insert(write.key, write.value, revision, 0, write.lease)
        elif superseded:
            self._insert(write.key, None, revision, revision, 0)
        return bool(superseded) or isinstance(write, Put)

    def _insert(self, *row: str | bytes | int | None) -> None:
        self._connection.execute(
            "INSERT INTO versions (key, value, revision, until, lease) VALUES (?, ?, ?, ?, ?)", row
        )

    def changes(self, prefix: str, after: int) -> Changes:
        """What happened under `prefix` after the revision; raises Compacted."""
        with _explained(self._path):
            self._expire()
            with self._transaction("DEFERRED"):
                revision, floor = self._state()
                if after < floor:
                    raise _compacted(after)
                rows = self._connection.execute(
                    "SELECT key, value, revision FROM versions"
                    # The order of the index: by id alone, all rows would be looked at.
                    " WHERE revision > ? AND key >= ? AND key < ? ORDER BY revision, id",
                    (after, prefix, range_end(prefix) or b""),
                ).fetchall()
                expiry = self._next_expiry()
        return Changes(tuple(Event(*row) for row in rows), max(after, revision), expiry)

    def lease(self, seconds: float) -> int:
        """As Catalogue.lease."""
        with _explained(self._path):
            self._expire()
            number = self._connection.execute(
                "INSERT INTO leases (boot, seconds, expires) VALUES (?, ?, ?)",
                (self._boot, seconds, self._clock() + seconds),
            ).lastrowid
        assert number is not None
        return number

    def keep_alive(self, lease: int) -> None:
        """As Catalogue.keep_alive."""
        with _explained(self._path):
            self._expire()
            kept = self._connection.execute(
                "UPDATE leases SET expires = ? + seconds WHERE id = ?", (self._clock(), lease)
            ).rowcount
            if not kept:
                raise _over(lease)

    def revoke(self, lease: int) -> None:
        """As Catalogue.revoke."""
        with _explained(self._path), self._writing():
            self._end([lease])

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _expire(self) -> None:
        """Any process ends the leases of all."""
        if self._writable and self._next_expiry() <= self._clock():
            with self._writing():
                over = self._connection.execute(
                    "SELECT id FROM leases WHERE expires <= ? OR boot <> ?",
                    (self._clock(), self._boot),
                )
                self._end([number for (number,) in over.fetchall()])

    def _end(self, leases: Sequence[int]) -> None:
        keys = set[str]()
        for lease in leases:
            self._connection.execute("DELETE FROM leases WHERE id = ?", (lease,))
            bound = self._connection.execute(
                "SELECT key FROM versions WHERE lease = ? AND lease > 0 AND until = 0", (lease,)
            )
            keys.update(key for (key,) in bound)
        self._apply([Delete(key) for key in sorted(keys)])

    def _next_expiry(self) -> float:
        expiry: float = self._one(
            "SELECT ifnull(min(iif(boot = ?, expires, 0)), 9e999) FROM leases", self._boot
        )
        return expiry

    def _check_lease(self, lease: int) -> None:
        if lease and not self._one("SELECT count(*) FROM leases WHERE id = ?", lease):
            raise _over(lease)

    def _state(self) -> tuple[int, int]:
        revision, floor = self._connection.execute("SELECT revision, floor FROM state").fetchone()
        return revision, floor

    def _one(self, statement: str, *parameters: object) -> Any:
        return self._connection.execute(statement, parameters).fetchone()[0]

    def _writing(self) -> AbstractContextManager[None]:
        if not self._writable:
            raise CatalogueDenied(f"{self._path} was opened for reading alone")
        return self._transaction("IMMEDIATE")

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[None]:
        self._connection.execute(f"BEGIN {kind}")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            # SQLite itself rolls back after some errors, such as a full disk.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise


def connect(path: Path) -> sqlite3.Connection:
    """A connection to an existing file, in autocommit mode."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def data_version(connection: sqlite3.Connection) -> int:
    """Another number after each commit of another connection, whichever process made it."""
    version: int = connection.execute("PRAGMA data_version").fetchone()[0]
    return version


def _make(path: Path) -> None:
    """Make the file whole under another name, then link it: nobody ever sees half of it."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        connection = connect(draft)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {_FORMAT}")
            connection.executescript(_SCHEMA)
        finally:
            connection.close()
        with suppress(FileExistsError):
            os.link(draft, path)
        _flush(path.parent)
    finally:
        draft.unlink()


def _flush(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_private(directory: Path) -> None:
    mode = stat.S_IMODE(directory.stat().st_mode)
    if mode & 0o077:
        raise CatalogueError(
            f"{directory} has mode {mode:04o}, so others could reach the catalogue:"
            f" run 'chmod 700 {directory}'"
        )


def _check_format(path: Path, connection: sqlite3.Connection) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != _APPLICATION:
        raise CatalogueError(f"{path} is no catalogue: name another file, or move this one away")
    if version != _FORMAT:
        raise CatalogueError(
            f"{path} has format {version}, and this version knows {_FORMAT}: run the newer version"
        )


_MEANINGS: Final[dict[int, tuple[type[CatalogueError], str]]] = {
    sqlite3.SQLITE_BUSY: (CatalogueUnavailable, "is busy: try again"),
    sqlite3.SQLITE_LOCKED: (CatalogueUnavailable, "is busy: try again"),
    sqlite3.SQLITE_FULL: (CatalogueUnavailable, "cannot grow: make room on its disk"),
    sqlite3.SQLITE_IOERR: (CatalogueUnavailable, "cannot be read or written: see to its disk"),
    sqlite3.SQLITE_CANTOPEN: (
        CatalogueError,
        "cannot be opened: see that it exists, and to its permissions",
    ),
    sqlite3.SQLITE_READONLY: (CatalogueDenied, "cannot be written: see to its permissions"),
    sqlite3.SQLITE_PERM: (CatalogueDenied, "cannot be used: see to its permissions"),
}


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        # The low byte of an extended code is the primary one.
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        if code not in _MEANINGS:
            raise _damaged(path) from error
        kind, text = _MEANINGS[code]
        raise kind(f"{path} {text}") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CatalogueError(f"{path} cannot be opened: {reason}: see to its directory") from error


def _damaged(path: Path) -> CatalogueError:
    return CatalogueError(f"{path} is damaged or no catalogue: move it away and restore a backup")


def _compacted(revision: int) -> Compacted:
    return Compacted(f"the history since revision {revision} is gone: list anew")


def _over(lease: int) -> LeaseExpired:
    return LeaseExpired(f"lease {lease} is over: take a new one")
