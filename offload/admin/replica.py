"""The local copy of the catalogue: what the worker serves by while the catalogue is down.

It has what serving processes need (who may use which key) and which version of each record was
seen, so that after a restart an old record put back by who runs the store is known as old. It has
no key, not even a wrapped one: a key destroyed in the cluster is not to be found here.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from offload.catalogue import paths
from offload.catalogue.base import CatalogueError, Delete, Put
from offload.catalogue.database import Database
from offload.catalogue.records import Record
from offload.cluster.opened import is_versioned
from offload.cluster.view import View
from offload.keys.managed import ManagedKey
from offload.observe.log import get_logger

SEEN: Final = "seen/"
"""seen/<path>: the highest version seen there."""

REVOKED: Final = "revoked/"
"""revoked/<SHA-256 of DER>: the certificate of a member that was removed."""

_MIRRORED: Final = (paths.MEMBERS, paths.APPLIANCES, paths.KEYS)
_HISTORY: Final = 1000
_RETRY_SECONDS: Final = 1.0
_CHUNK: Final = 200
"""Paths that are looked at in one turn of the loop: some 15 ms."""

_log = get_logger(__name__)

Changes = Mapping[str, bytes | None]


class ReplicaFile:
    """The file, for any thread. Methods block and raise CatalogueError."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._closed = False
        self._database = Database(path, history=_HISTORY)
        entries = self._database.list("", "", 0, 0).entries
        self._contents = {entry.key: entry.value for entry in entries}

    def seen(self) -> dict[str, int]:
        """The highest version by path, of an earlier run."""
        return {
            path.removeprefix(SEEN): int(value)
            for path, value in self._contents.items()
            if path.startswith(SEEN)
        }

    def revoked(self) -> frozenset[str]:
        """Certificates of members that were removed, as `View.revoked` has them."""
        return frozenset(
            path.removeprefix(REVOKED) for path in self._contents if path.startswith(REVOKED)
        )

    def mirrored(self) -> set[str]:
        """The paths whose values are here."""
        return {path for path in self._contents if not path.startswith((SEEN, REVOKED))}

    def write(self, changes: Changes) -> None:
        """Make it so, in one commit; after `close`, nothing happens."""
        with self._lock:
            if not self._closed:
                self._write(changes)

    def _write(self, changes: Changes) -> None:
        news = {path: value for path, value in changes.items() if self._contents.get(path) != value}
        if not news:
            return
        self._database.commit(
            [Delete(path) if value is None else Put(path, value) for path, value in news.items()],
            (),
        )
        for path, value in news.items():
            if value is None:
                self._contents.pop(path, None)
            else:
                self._contents[path] = value

    def close(self) -> None:
        """Close it, once what is being written is."""
        with self._lock:
            self._closed = True
            self._database.close()


class Mirror:
    """Writes what changes in the view of the member `member` to its file."""

    def __init__(
        self, view: View, file: ReplicaFile, member: str, held: Collection[bytes] = ()
    ) -> None:
        """`held`: SKIs of keys that its token holds at the start, when no holding is read yet."""
        self._view, self._file, self._member = view, file, member
        self._held = frozenset(held)
        self._changed: set[str] = set()
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Copy everything, have the view proceed, then copy what changes, until cancelled."""
        end = self._view.subscribe(self._note)
        try:
            self._note([*self._file.mirrored(), *all_paths(self._view)])
            # Serving waits for this alone, so that nothing else competes with it.
            await self._copy()
            self._view.proceed()
            while True:
                await self._news.wait()
                self._news.clear()
                await self._copy()
        finally:
            end()

    def _note(self, changed: Iterable[str]) -> None:
        self._changed.update(changed)
        self._news.set()

    async def _copy(self) -> None:
        changed, self._changed = list(self._changed), set()
        found: dict[str, bytes | None] = {}
        for at in range(0, len(changed), _CHUNK):
            chunk = changed[at : at + _CHUNK]
            found.update(changes(self._view, self._member, chunk, self._held))
            await asyncio.sleep(0)
        if self._view.revision:
            # Everything is read, so holdings tell from now on.
            self._held = frozenset()
        try:
            await asyncio.to_thread(self._file.write, found)
        except CatalogueError as error:
            _log.error("the local copy of the catalogue cannot be written", error=str(error))
            await asyncio.sleep(_RETRY_SECONDS)
            self._note(changed)


def all_paths(view: View) -> list[str]:
    """What of the view is copied."""
    return [
        paths.CLUSTER,
        *(paths.MEMBERS + name for name in view.members),
        *(paths.APPLIANCES + name for name in view.appliances),
        *(paths.KEYS + ski.hex() for ski in view.keys),
        *view.versions(),
    ]


def changes(
    view: View, member: str, changed: Collection[str], held: Collection[bytes] = ()
) -> Changes:
    """What to write where something has changed at those paths. No I/O.

    held: SKIs of keys that the member's token holds, besides those of its holdings.
    """
    found: dict[str, bytes | None] = {}
    if paths.MEMBERS + member in changed:
        changed = [*changed, *(paths.APPLIANCES + name for name in view.appliances)]
    if any(path.startswith(paths.MEMBERS) for path in changed):
        found |= {REVOKED + certificate: b"removed" for certificate in view.revoked}
    for path in changed:
        if is_versioned(path) and (version := view.version_of(path)):
            found[SEEN + path] = str(version).encode()
        if is_versioned(path) and not view.revision_of(path):
            # Taken away by who runs the store, or lost: a member would have left a mark.
            continue
        if path.startswith(paths.HOLDINGS):
            # Whether it is ours that changed matters for the key.
            ski, _, holder = path.removeprefix(paths.HOLDINGS).partition("/")
            path = paths.KEYS + ski if holder == member else ""
        if (path == paths.CLUSTER or path.startswith(_MIRRORED)) and path not in view.untrusted:
            found.update(_copied(view, member, path, held))
    return found


def _copied(view: View, member: str, path: str, held: Collection[bytes]) -> Changes:
    if path.startswith(paths.KEYS):
        return _key(view, member, path, held)
    record = _record(view, member, path)
    return {path: None if record is None else record.body()}


def _record(view: View, member: str, path: str) -> Record | None:
    name = path.rpartition("/")[2]
    if path == paths.CLUSTER:
        return view.cluster
    if path.startswith(paths.MEMBERS):
        return view.members.get(name)
    # A member that was removed serves nobody any more.
    return view.appliances.get(name) if member in view.present else None


def _key(view: View, member: str, path: str, held: Collection[bytes]) -> Changes:
    ski = bytes.fromhex(path.removeprefix(paths.KEYS))
    key = view.keys.get(ski)
    if key is None:
        return {path: None}
    holding = view.holdings.get(ski, {}).get(member)
    there = ski in held if holding is None else holding.state == "held"
    if key.signs and not there:
        # The serving processes hear of it once the token has it.
        return {}
    return {path: _without_secret(key).body()}


def _without_secret(key: ManagedKey) -> ManagedKey:
    # A record of a key that is replicated is not valid without the wrapped key.
    return replace(key, replicated=False, wrapped=b"", wrapped_under=0)
