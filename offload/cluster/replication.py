"""Keeps what this member's token holds, and what the catalogue says of it, as they should be.

`Replicator.run` works through keys that something happened to: it plans (`reconcile`), calls the
token in threads, plans again from what came of it, and writes what is to be said in one commit for
many keys. Whatever fails is planned anew, later; whatever was cut off in the middle, too.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from heapq import heappop, heappush

from offload.audit.sink import AuditUnavailable
from offload.catalogue import paths
from offload.catalogue.base import CatalogueError, Conflict
from offload.cluster.changes import Writing, decided, merged, writing
from offload.cluster.intents import Intents, token_label
from offload.cluster.inventory import Inventory
from offload.cluster.node import Node
from offload.cluster.reconcile import IN_TOKEN, STEPS, Do, Plan, Standpoint, plan
from offload.cluster.rolling import Roller
from offload.cluster.survey import show, survey
from offload.keys.managed import ManagedKey
from offload.observe import metrics
from offload.observe.log import get_logger
from offload.token.base import (
    KeyNotFound,
    LabelTaken,
    ReplicatedToken,
    TokenError,
    TokenUnavailable,
    WrappedKeyInvalid,
)
from offload.token.proof import identify

_log = get_logger("cluster.replication")

_AT_ONCE = 32  # keys of one turn: one commit, and not long to wait for what comes next
_MAX_WRITES = 90
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 5.0
_CONFLICT_PAUSE = 0.02
_RETRY_KEY, _RETRY_SOON = 10.0, 0.25
_RECOUNT = 30.0
_SURVEY = 5.0
_LATE = timedelta(seconds=30)


class Replicator:
    """See the module; one for each member. `failures`: keys that the token could not deal with."""

    def __init__(self, node: Node, *, intents: Intents | None = None) -> None:
        """`intents`: those that the key service of this member makes."""
        self.failures: dict[bytes, str] = {}
        self._node, self._view = node, node.view
        self.inventory = Inventory(node)
        self._intents = intents or Intents(node)
        self._roller = Roller(node, self.inventory, self.look_again)
        self._urgent: dict[bytes, None] = {}
        self._others: dict[bytes, None] = {}
        self._timers: list[tuple[datetime, bytes]] = []
        self._news = asyncio.Event()
        self._pause = _FIRST_PAUSE
        self._busy = True
        self._changed_since_survey = True
        self._cluster_key_since = node.clock()
        self._cluster_key = 0

    @property
    def settled(self) -> bool:
        """Whether there is nothing to do but to wait for a date or for other members."""
        return not (self._busy or self._urgent or self._others)

    async def run(self) -> None:
        """Until cancelled."""
        unsubscribe = self._view.subscribe(self._changed)
        try:
            await self._view.complete()
            self.look_again()
            async with asyncio.TaskGroup() as group:
                for task in (self._work, self._recount, self._count):
                    group.create_task(task(), name=f"replication {task.__name__}")
                group.create_task(self._roller.run(), name="replication of cluster keys")
                group.create_task(self._intents.run(), name="intents")
        finally:
            unsubscribe()

    # What there is to look at

    def _changed(self, changed: Sequence[str]) -> None:
        self._changed_since_survey = True
        everything = False
        for path in changed:
            if path.startswith((paths.KEYS, paths.HOLDINGS)):
                self._urgent[bytes.fromhex(path.split("/")[1])] = None
            elif path == paths.CLUSTER or path.startswith((paths.MEMBERS, paths.ALIVE)):
                everything = True
        if everything:
            self.look_again()
        self._news.set()

    def look_again(self) -> None:
        """Look at every key, as after a change of members."""
        if self._view.cluster.cluster_key != self._cluster_key:
            self._cluster_key = self._view.cluster.cluster_key
            self._cluster_key_since = self._node.clock()
        self._others.update(dict.fromkeys(self._view.keys))
        self._news.set()

    def _look_at(self, ski: bytes) -> None:
        self._others[ski] = None
        self._news.set()

    def _due(self) -> float | None:
        """Move what is due to what is urgent; seconds until the next, None if there is none."""
        now = self._node.clock()
        while self._timers and self._timers[0][0] <= now:
            self._urgent[heappop(self._timers)[1]] = None
        return (self._timers[0][0] - now).total_seconds() if self._timers else None

    # The loop

    async def _work(self) -> None:
        while True:
            self._news.clear()
            wait = self._due()
            batch = self._next()
            if batch:
                await self._attempt(batch)
                continue
            self._busy = False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._news.wait()
            self._busy = True

    def _next(self) -> list[bytes]:
        batch: list[bytes] = []
        for queue in (self._urgent, self._others):
            while queue and len(batch) < _AT_ONCE:
                ski = next(iter(queue))
                del queue[ski]
                batch.append(ski)
        return batch

    async def _attempt(self, batch: Sequence[bytes]) -> None:
        try:
            await self._turn(batch)
        except Conflict:
            # Somebody else was quicker: look again at what he did.
            self._others.update(dict.fromkeys(batch))
            await asyncio.sleep(_CONFLICT_PAUSE * (0.5 + self._node.random.random()))
        except (CatalogueError, TokenUnavailable, AuditUnavailable) as error:
            self._others.update(dict.fromkeys(batch))
            await self._hold(error)
        else:
            self._pause = _FIRST_PAUSE
            # Thousands of keys with nothing to do must not keep others from the loop.
            await asyncio.sleep(0)

    async def _hold(self, error: Exception) -> None:
        metrics.CLUSTER_CATALOGUE_ERRORS.labels(type(error).__name__).inc()
        _log.warning("replication is held up", reason=str(error), seconds=self._pause)
        await asyncio.sleep(self._pause * (0.5 + self._node.random.random()))
        self._pause = min(_LONGEST_PAUSE, 2 * self._pause)

    async def _turn(self, batch: Sequence[bytes]) -> None:
        if any((ski in self.inventory.held) != self._says(ski) for ski in batch):
            await self.inventory.refresh()
        plans = {ski: self._plan(ski).actions for ski in batch}
        await self._record(Do.ERASE, plans)
        writings = await self._in_token(plans)
        # Again, now that the token has done its part.
        replanned = {ski: self._plan(ski) for ski in batch}
        for ski, planned in replanned.items():
            writings += [self._writing(do, ski) for do in planned.actions if do not in IN_TOKEN]
            if planned.again is not None:
                heappush(self._timers, (planned.again, ski))
        for do in STEPS:
            await self._record(do, {ski: one.actions for ski, one in replanned.items()})
        for chunk in _chunks(writings):
            await self._node.write(chunk.changes, checks=chunk.checks)

    def _writing(self, do: Do, ski: bytes) -> Writing:
        return writing(self._view, self._node.name, do, ski, self._node.clock())

    async def _record(self, do: Do, plans: Mapping[bytes, Sequence[Do]]) -> None:
        """Nothing irrevocable is done that the audit log does not tell of."""
        records = [self._told(do, ski) for ski, actions in plans.items() if do in actions]
        if records:
            await self._node.in_thread(self._node.audit.append, "system", *records)

    def _told(self, do: Do, ski: bytes) -> dict[str, str]:
        key = self._view.keys[ski]
        return {
            "act": f"key.{do}",
            "target": f"{key.label}@{key.generation}",
            "ski": ski.hex(),
            "who": self._node.name,
        }

    # Calls to the token

    async def _in_token(self, plans: Mapping[bytes, Sequence[Do]]) -> list[Writing]:
        """Do what is to be done in the token, side by side; returns what is to be written of it.

        Raises TokenUnavailable once all has ended.
        """
        calls = [
            self._call(do, self._view.keys[ski])
            for ski, actions in plans.items()
            for do in actions
            if do in IN_TOKEN
        ]
        done = await asyncio.gather(*calls, return_exceptions=True)
        metrics.CLUSTER_KEY_FAILURES.labels().set(len(self.failures))
        for error in done:
            if isinstance(error, BaseException):
                raise error
        return [one for one in done if isinstance(one, Writing)]

    async def _call(self, do: Do, key: ManagedKey) -> Writing | None:
        try:
            written = await _CALLS[do](self, key)
        except TokenUnavailable:
            raise
        except TokenError as error:
            self.failures[key.ski] = str(error)
            # A key of that name that is about to be given up will soon be out of the way.
            wait = _RETRY_SOON if isinstance(error, LabelTaken) else _RETRY_KEY
            asyncio.get_running_loop().call_later(wait, self._look_at, key.ski)
            _log.error(
                f"a key cannot be handled: {do}",
                label=key.label,
                ski=key.ski.hex(),
                reason=str(error),
            )
            return None
        self.failures.pop(key.ski, None)
        return written

    async def _unwrap(self, key: ManagedKey) -> None:
        label = token_label(key.label, key.generation)
        await self._node.in_thread(_unwrap, self._node.token, label, key)
        self.inventory.held.add(key.ski)
        lag = (self._node.clock() - key.created).total_seconds()
        metrics.CLUSTER_REPLICATION_SECONDS.labels().observe(max(0.0, lag))

    async def _erase(self, key: ManagedKey) -> None:
        with contextlib.suppress(KeyNotFound):
            await self._node.in_thread(self._node.token.destroy, key.ski)
        self.inventory.held.discard(key.ski)

    async def _wrap(self, key: ManagedKey) -> Writing:
        generation = self._view.cluster.cluster_key
        before = decided(self._view, {paths.KEYS + key.ski.hex(): key}, paths.CLUSTER)
        wrapped = await self._node.in_thread(self._node.token.wrap, key.ski, generation)
        now = self._node.clock()
        anew = replace(key, wrapped=wrapped, wrapped_under=generation, changed=now)
        return before._replace(changes={paths.KEYS + key.ski.hex(): anew})

    def _says(self, ski: bytes) -> bool:
        holding = self._view.holdings.get(ski, {}).get(self._node.name)
        return holding is not None and holding.state == "held"

    def _plan(self, ski: bytes) -> Plan:
        now = self._node.clock()
        inventory = self.inventory
        late = now - self._cluster_key_since > _LATE
        at = Standpoint(
            self._view, self._node.name, inventory.held, inventory.cluster_keys, now, late
        )
        return plan(at, ski)

    # Beside the work

    async def _recount(self) -> None:
        """Other processes may add to a token, and an HSM may come back without its keys."""
        while True:
            await asyncio.sleep(_RECOUNT)
            with contextlib.suppress(TokenError):
                self._others.update(dict.fromkeys(await self.inventory.refresh()))
                self._news.set()

    async def _count(self) -> None:
        while True:
            if self._changed_since_survey:
                self._changed_since_survey = False
                show(survey(self._view), tuple(self._view.members))
            await asyncio.sleep(_SURVEY)


def _unwrap(token: ReplicatedToken, label: str, key: ManagedKey) -> None:
    if identify(key.public_key) != (key.algorithm, key.ski):
        raise WrappedKeyInvalid("the record's identifier is not that of its public key")
    token.unwrap(label, key.public_key, key.wrapped, key.wrapped_under)


def _chunks(writings: Sequence[Writing]) -> Iterator[Writing]:
    """As few commits as their limits allow."""
    chunk: list[Writing] = []
    for one in writings:
        together = merged([*chunk, one])
        if chunk and max(map(len, together)) > _MAX_WRITES:
            yield merged(chunk)
            chunk = []
        chunk.append(one)
    if chunk:
        yield merged(chunk)


_CALLS: Mapping[Do, Callable[[Replicator, ManagedKey], Awaitable[Writing | None]]] = {
    Do.UNWRAP: Replicator._unwrap,
    Do.ERASE: Replicator._erase,
    Do.WRAP: Replicator._wrap,
}
