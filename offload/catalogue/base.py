"""The catalogue's interface and what can go wrong with it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple, Protocol


class CatalogueError(Exception):
    """The catalogue cannot do what was asked; the text names the remedy."""


class CatalogueUnavailable(CatalogueError):
    """The catalogue does not answer, or has no majority. A commit may have been applied: read
    before repeating it.
    """


class CatalogueDenied(CatalogueError):
    """The catalogue does not know us or does not let us do that."""


class Conflict(CatalogueError):
    """A check failed: somebody else changed what the commit was based on. Nothing was written."""


class Compacted(CatalogueError):
    """The history that a watch asked for is gone: list anew and watch from there."""


class LeaseExpired(CatalogueError):
    """The lease is over, and what was bound to it is gone."""


class Entry(NamedTuple):
    """One key's value; `revision` is that of its last change."""

    key: str
    value: bytes
    revision: int


class Snapshot(NamedTuple):
    """Entries in the order of their keys, all as of `revision`; `more` if a limit cut them off."""

    entries: tuple[Entry, ...]
    revision: int
    more: bool = False


class Put(NamedTuple):
    """Set a value; bound to a lease unless that is 0."""

    key: str
    value: bytes
    lease: int = 0


class Delete(NamedTuple):
    """Remove a key; no error if it is not there."""

    key: str


class Unchanged(NamedTuple):
    """A check: the key's last change is `revision`; 0 means that it does not exist."""

    key: str
    revision: int


class Event(NamedTuple):
    """A change: `value` is None where the key was removed."""

    key: str
    value: bytes | None
    revision: int


class Batch(NamedTuple):
    """The changes of one or more whole commits, in order; all up to `revision` are seen now."""

    events: tuple[Event, ...]
    revision: int


Write = Put | Delete

MAX_WRITES = 100
"""Writes, and likewise checks, of one commit; etcd refuses more than 128 operations."""
MAX_VALUE = 1 << 20
"""Bytes of one value."""
MAX_COMMIT = 5 << 18
"""Bytes of all keys and values of one commit; etcd refuses requests over 1.5 MiB."""


class Catalogue(Protocol):
    """Keys are text without NUL, such as 'keys/0a1b'; values are bytes. Belongs to one event loop.

    Revisions are positive, grow with each commit and are the catalogue's, not a key's. Every
    method raises CatalogueUnavailable and CatalogueDenied.
    """

    async def get(self, key: str) -> Entry | None:
        """The key's value, linearizable; None if it does not exist."""

    async def list(
        self, prefix: str, *, after: str = "", limit: int = 0, revision: int = 0
    ) -> Snapshot:
        """The entries under `prefix`; those after the key `after`, at most `limit` unless 0.

        As of `revision` unless that is 0, which means now; raises Compacted if it is too old and
        ValueError if it is yet to come.
        """

    async def commit(self, writes: Sequence[Write], checks: Sequence[Unchanged] = ()) -> int:
        """Apply all writes if all checks hold, durably; returns the new revision.

        Without any change (no writes, or removals of what is not there) the revision stays what it
        is. Raises Conflict, LeaseExpired, and ValueError for what exceeds MAX_WRITES, MAX_VALUE or
        MAX_COMMIT, for two writes to one key and for a key that is empty or has a NUL.
        """

    def watch(self, prefix: str, after: int) -> AsyncGenerator[Batch, None]:
        """Every change under `prefix` after revision `after`, in order, none twice.

        Begins when it is first iterated; no batch is empty. Outlives failures of the store: it
        connects again and resumes where it was. Ends when the catalogue is closed. Raises
        Compacted, CatalogueDenied. Close it (`aclose`) to end it.
        """

    async def lease(self, seconds: float) -> int:
        """A new lease, which ends after that time, or somewhat later, unless kept alive."""

    async def keep_alive(self, lease: int) -> None:
        """Let the lease last its whole time again; raises LeaseExpired."""

    async def revoke(self, lease: int) -> None:
        """End the lease now: what is bound to it is removed. No error if it is over."""

    async def close(self) -> None:
        """Release connections and files; watches end."""
