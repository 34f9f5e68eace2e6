"""A new generation of a key: made in this member's token, published, acknowledged once usable.

    intent -> key in the token -> record, label, holding and no intent, in one commit -> copies

Before that commit nobody has heard of the key, and what is left of it is cleared away (`intents`).
After it the key goes on by itself, whoever stops: members take it in, and one moves it to active.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from offload.catalogue import paths
from offload.catalogue.base import CatalogueError
from offload.catalogue.records import HoldingRecord, LabelRecord
from offload.cluster.changes import KeyChanges, Writing, decided, holding_path
from offload.cluster.copies import holders, needed
from offload.cluster.failures import Invalid, ManagementError, Taken, Unavailable
from offload.cluster.finding import find, name_of
from offload.cluster.intents import Intents, token_label
from offload.cluster.node import Node
from offload.cluster.persistence import Unsure, persist
from offload.cluster.view import View
from offload.keys.algorithm import Algorithm
from offload.keys.managed import KeyPolicy, ManagedKey
from offload.keys.record import KeyRecord
from offload.keys.state import State
from offload.token.base import KeyNotFound, LabelTaken, TokenError
from offload.token.proof import identify

ACKNOWLEDGE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """What is asked for. beside: a further generation of a label that is in use."""

    label: str
    policy: KeyPolicy = field(default_factory=KeyPolicy)
    exportable: bool = False
    replicated: bool = True
    activates: datetime | None = None
    deactivates: datetime | None = None
    beside: bool = False


class Creation:
    """Makes keys for the member's key service; `seconds`: how long copies are waited for."""

    def __init__(
        self, node: Node, intents: Intents, *, seconds: float = ACKNOWLEDGE_SECONDS
    ) -> None:
        self._node, self._intents, self._seconds = node, intents, seconds

    async def generate(self, new: NewKey, algorithm: Algorithm) -> ManagedKey:
        """A key made by the token; returns once it is usable (or will be, at its date).

        Raises Taken, Unavailable, Invalid, CatalogueError, TokenError.
        """
        token = self._node.token

        def make(label: str) -> KeyRecord:
            return token.generate(label, algorithm, extractable=new.replicated)

        return await self._acknowledged(await self._make(new, make))

    async def take_in(self, new: NewKey, public_key: bytes, enclosed: bytes) -> ManagedKey:
        """A key enclosed to this token; raises as `generate` does, and WrappedKeyInvalid."""
        token = self._node.token
        _require_unpublished(self._node.view, identify(public_key)[1])

        def make(label: str) -> KeyRecord:
            return token.import_enclosed(label, public_key, enclosed)

        return await self._acknowledged(await self._make(new, make))

    async def usable(self, ski: bytes) -> None:
        """Return once enough members hold the key and it is active, or will be at its date.

        Raises Unavailable after `seconds`, saying what it is short of.
        """
        view = self._node.view
        try:
            async with asyncio.timeout(self._seconds):
                await view.until(lambda view: _is_settled(view, ski))
        except TimeoutError:
            raise Unavailable(_shortage(view, view.keys[ski])) from None

    async def _acknowledged(self, ski: bytes) -> ManagedKey:
        await self.usable(ski)
        return self._node.view.keys[ski]

    async def _make(self, new: NewKey, make: Callable[[str], KeyRecord]) -> bytes:
        """Make and publish the key; returns its SKI."""
        _check_dates(new, self._node.clock())
        if new.replicated:
            await self._require_cluster_key()
        generation = await self._intend(new)
        with self._intents.under_way(new.label, generation):
            record: KeyRecord | None = None
            try:
                record = await self._in_token(token_label(new.label, generation), make)
                await self._publish(new, generation, record)
            except Unsure:
                # It may have been published after all; `intents` finds out.
                raise
            except (ManagementError, TokenError):
                await self._undo(new.label, generation, record)
                raise
        return record.ski

    async def _require_cluster_key(self) -> None:
        node = self._node
        if node.view.cluster.cluster_key not in await node.in_thread(node.token.cluster_keys):
            raise Unavailable(f"{node.name} has not got the cluster key yet: ask another worker")

    async def _in_token(self, label: str, make: Callable[[str], KeyRecord]) -> KeyRecord:
        try:
            return await self._node.in_thread(make, label)
        except LabelTaken:
            raise Taken(
                f"the token of {self._node.name} has a key {label!r} that the cluster does not"
                " know: choose another label, or ask another worker"
            ) from None

    async def _intend(self, new: NewKey) -> int:
        """Write the intent; returns the generation that the key will be."""
        generation = 0

        def decide(unsure: bool) -> Writing | None:
            nonlocal generation
            view = self._node.view
            generation = _next_generation(view, new)
            path = self._intents.path(new.label, generation)
            if view.revision_of(path) and not unsure:
                raise Taken(
                    f"a key {new.label!r} is being made, or was when this worker stopped: look"
                    " for it, or try again in a few minutes"
                )
            record = self._intents.record(new.label, generation)
            return decided(view, {path: record}, paths.LABELS + new.label)

        await persist(self._node, decide)
        return generation

    async def _publish(self, new: NewKey, generation: int, record: KeyRecord) -> None:
        node = self._node
        wrapped: dict[int, bytes] = {}
        while True:
            today = node.view.cluster.cluster_key
            if new.replicated and today not in wrapped:
                wrapped[today] = await node.in_thread(node.token.wrap, record.ski, today)

            def decide(unsure: bool, under: int = today) -> Writing | None:
                view = node.view
                if record.ski in view.keys and view.keys[record.ski].label == new.label:
                    return None
                _require_unpublished(view, record.ski)
                if view.cluster.cluster_key != under:
                    raise _RolledMeanwhile
                if generation != _next_generation(view, new):
                    raise Taken(f"somebody else made a key {new.label!r} at the same moment")
                key = self._record(new, generation, record, wrapped.get(under, b""), under)
                return self._publication(key)

            with contextlib.suppress(_RolledMeanwhile):
                await persist(node, decide)
                return

    def _record(
        self, new: NewKey, generation: int, record: KeyRecord, wrapped: bytes, under: int
    ) -> ManagedKey:
        now = self._node.clock()
        return ManagedKey(
            ski=record.ski,
            label=new.label,
            generation=generation,
            algorithm=record.algorithm,
            public_key=record.public_key,
            state=State.PRE_ACTIVE,
            created=now,
            changed=now,
            home=self._node.name,
            policy=new.policy,
            exportable=new.exportable,
            replicated=new.replicated,
            activates=new.activates,
            deactivates=new.deactivates,
            wrapped=wrapped,
            wrapped_under=under if new.replicated else 0,
        )

    def _publication(self, key: ManagedKey) -> Writing:
        view, me = self._node.view, self._node.name
        ski = key.ski.hex()
        label = view.labels.get(key.label) or LabelRecord(
            label=key.label, generations=(), current=""
        )
        intent = self._intents.path(key.label, key.generation)
        if not view.revision_of(intent):
            raise Unavailable("making the key took so long that it was taken for lost: try again")
        changes: KeyChanges = {
            paths.KEYS + ski: key,
            paths.LABELS + key.label: label.model_copy(
                update={"generations": (*label.generations, ski)}
            ),
            holding_path(key.ski, me): HoldingRecord(member=me, ski=ski, state="held"),
            intent: None,
        }
        # Nothing is wrapped under a cluster key that is not that of today any more.
        return decided(view, changes, paths.CLUSTER)

    async def _undo(self, label: str, generation: int, record: KeyRecord | None) -> None:
        """Leave nothing behind; what cannot be done now, `intents` does later."""
        node = self._node
        with contextlib.suppress(CatalogueError, TokenError):
            if record is not None:
                if await node.catalogue.get(paths.KEYS + record.ski.hex()) is not None:
                    return
                with contextlib.suppress(KeyNotFound):
                    await node.in_thread(node.token.destroy, record.ski)
            path = self._intents.path(label, generation)
            if node.view.revision_of(path):
                await node.write({path: None})


class _RolledMeanwhile(Exception):
    """There is another cluster key of today: wrap the key under that."""


def _next_generation(view: View, new: NewKey) -> int:
    label = view.labels.get(new.label)
    if label is None:
        return 1
    alive = [
        key
        for ski in label.generations
        if (key := view.keys.get(bytes.fromhex(ski))) is not None
        and key.state is not State.DESTROYED
    ]
    if alive and not new.beside:
        last = find(view, new.label)
        raise Taken(
            f"there is a key {new.label!r}: {name_of(last)} is {_standing(view, last)};"
            " choose another label, or rotate it"
        )
    return len(label.generations) + 1


def _require_unpublished(view: View, ski: bytes) -> None:
    known = view.keys.get(ski)
    if known is not None:
        raise Taken(f"this very key is in the cluster already, as {name_of(known)}")


def _check_dates(new: NewKey, now: datetime) -> None:
    begins = max(now, new.activates or now)
    if new.deactivates is not None and new.deactivates <= begins:
        raise Invalid("the key would be deactivated before it is active: choose a later date")
    if new.exportable and not new.replicated:
        raise Invalid("a key that never leaves its token cannot be exportable")


def _is_settled(view: View, ski: bytes) -> bool:
    """Whether nothing is to be waited for any more: it is usable, or it was stopped."""
    key = view.keys[ski]
    if key.state is not State.PRE_ACTIVE or key.destroy_at is not None:
        return True
    return key.activates is not None and len(holders(view, ski)) >= needed(view, key)


def _standing(view: View, key: ManagedKey) -> str:
    have, want = len(holders(view, key.ski)), needed(view, key)
    return f"{key.state}, on {have} of {want} workers" if have < want else str(key.state)


def _shortage(view: View, key: ManagedKey) -> str:
    have, want = len(holders(view, key.ski)), needed(view, key)
    missing = sorted(set(view.present) - set(holders(view, key.ski)))
    return (
        f"the key {name_of(key)} is made, but {have} of {want} workers hold it"
        f" (not yet: {', '.join(missing) or 'none'}): it becomes active by itself once they do"
    )
