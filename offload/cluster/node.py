"""A member of the cluster from its own point of view: what it knows, holds and writes with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from random import Random
from typing import ParamSpec, TypeVar

from offload.audit.sink import AuditSink
from offload.catalogue.base import Catalogue, CatalogueDenied, Delete, Put, Unchanged, Write
from offload.catalogue.envelope import Signer
from offload.catalogue.records import Record
from offload.cluster.opened import is_versioned, removal
from offload.cluster.view import View
from offload.keys.managed import ManagedKey
from offload.token.base import ReplicatedToken

P = ParamSpec("P")
R = TypeVar("R")

Changes = Mapping[str, Record | ManagedKey | bytes | None]
"""What is to stand at each path: a record or the bytes of a body; None removes."""

# Calls into a token that waits for an HSM wait side by side.
_THREADS = 8


@dataclass(kw_only=True)
class Node:
    """clock: the time in UTC, aware. Close it to end its threads; view and catalogue are not its
    own.
    """

    name: str
    catalogue: Catalogue
    view: View
    signer: Signer
    token: ReplicatedToken
    audit: AuditSink
    clock: Callable[[], datetime]
    random: Random
    _threads: ThreadPoolExecutor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="node")

    async def close(self) -> None:
        """Wait for what runs in threads."""
        await asyncio.to_thread(self._threads.shutdown)

    async def in_thread(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call what blocks, such as a token's methods, without stopping the loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: function(*args, **kwargs))

    async def write(
        self,
        changes: Changes,
        *,
        also: Sequence[Write] = (),
        checks: Sequence[Unchanged] = (),
    ) -> int:
        """Sign and commit changes if every path stands as our view has it, and wait until our view
        has them; returns the revision. Versions are set here: one more than was ever seen. A check
        given for a path of `changes` stands instead of ours: it was decided on earlier.

        Raises Conflict: our view was behind, so decide again. Raises CatalogueUnavailable: it may
        have been applied; what decides again from the view finds out. Raises CatalogueDenied if
        we are no member any more.
        """
        me = self.view.members.get(self.name)
        if me is not None and me.state == "removed":
            # Nobody would believe it.
            raise CatalogueDenied(f"{self.name!r} was removed from the cluster: stop its worker")
        given = {check.key for check in checks}
        guards = [
            Unchanged(path, self.view.revision_of(path)) for path in changes if path not in given
        ]
        writes = [self._sealed(path, value) for path, value in changes.items()]
        revision = await self.catalogue.commit([*writes, *also], [*guards, *checks])
        await self.view.reached(revision)
        return revision

    def _sealed(self, path: str, value: Record | ManagedKey | bytes | None) -> Write:
        version = self.view.version_of(path) + 1
        if value is None and not is_versioned(path):
            return Delete(path)
        return Put(path, self.signer.seal(path, _body(value, version)))


def _body(value: Record | ManagedKey | bytes | None, version: int) -> bytes:
    if value is None:
        return removal(version)
    if isinstance(value, bytes):
        return value
    if isinstance(value, ManagedKey):
        return replace(value, version=version).body()
    if "version" in type(value).model_fields:
        value = value.model_copy(update={"version": version})
    return value.body()
