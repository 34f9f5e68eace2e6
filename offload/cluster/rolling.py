"""The cluster key of today, and how the next one takes its place.

    begin_roll      a member makes the next generation and encloses it to every member that stays
    accept          each takes it into its token and says so
    advance         once every member that is alive has it, it is the cluster key of today
    wrap anew       members that hold a key wrap it under the new one (`reconcile`)
    drop            once nothing is wrapped under the old one, each erases it

All of it stands in the catalogue, so that any member goes on where another stopped. A member that
was away accepts when it is back. A generation that was enclosed to somebody who has been removed
meanwhile never becomes that of today.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Callable, Collection, Sequence
from enum import StrEnum
from typing import NamedTuple

from offload.audit.sink import AuditUnavailable
from offload.catalogue import paths
from offload.catalogue.base import CatalogueError, Conflict, Put, Unchanged
from offload.catalogue.records import Record
from offload.cluster.changes import decided
from offload.cluster.failures import ManagementError, Unavailable
from offload.cluster.inventory import Inventory
from offload.cluster.node import Node
from offload.cluster.transport import usable
from offload.cluster.view import View
from offload.observe.log import get_logger
from offload.token.base import ClusterKeyMissing, TokenError, WrappedKeyInvalid

_log = get_logger("cluster.rolling")

_PERIOD = 5.0
_ATTEMPTS = 5


class ClusterKeyHolding(Record):
    """cluster-key-holders/<generation>/<member>."""

    member: str
    generation: int


class Do(StrEnum):
    """What a member does about a generation of the cluster key."""

    ACCEPT = "accept"
    ENCLOSE = "enclose"
    ADVANCE = "advance"
    DROP = "drop"


class Step(NamedTuple):
    """`member`: to whom it is to be enclosed."""

    do: Do
    generation: int
    member: str = ""


def enclosed(view: View) -> dict[int, set[str]]:
    """To whom each generation is enclosed in the catalogue."""
    return _by_generation(view, paths.CLUSTER_KEYS)


def accepted(view: View) -> dict[int, set[str]]:
    """Who says it has each generation."""
    return _by_generation(view, paths.CLUSTER_KEY_HOLDERS)


def pending(view: View) -> int | None:
    """The generation that is to be the next one; None while no roll is under way.

    Only one that nobody has got who is no member any more.
    """
    present = set(view.present)
    today = view.cluster.cluster_key
    fit = [one for one, names in enclosed(view).items() if one > today and names <= present]
    return max(fit, default=None)


def still_wrapped(view: View) -> int:
    """How many keys are wrapped under another cluster key than that of today."""
    today = view.cluster.cluster_key
    return sum(bool(key.wrapped) and key.wrapped_under != today for key in view.keys.values())


def plan(view: View, me: str, held: Collection[int]) -> list[Step]:
    """What this member has to do about cluster keys now (no I/O)."""
    mine = {one for one, names in enclosed(view).items() if me in names}
    said = {one for one, names in accepted(view).items() if me in names}
    used = {key.wrapped_under for key in view.keys.values() if key.wrapped}
    today, next_one = view.cluster.cluster_key, pending(view)
    wanted = used | {today} | ({next_one} if next_one else set())
    lost = (mine & wanted) - set(held)
    unsaid = ((mine | {today}) & wanted & set(held)) - said
    steps = [Step(Do.ACCEPT, one) for one in sorted(lost | unsaid)]
    if today in held:
        # A key that our view refuses may be wrapped under any of them.
        unsure = any(path.startswith(paths.KEYS) for path in view.untrusted)
        old = {one for one in {*held, *mine, *said} if one < today and one not in wanted}
        steps += [Step(Do.DROP, one) for one in sorted(old) if not unsure]
    if _leads(view, me):
        steps += _of_the_leader(view, held, next_one)
    return steps


def _of_the_leader(view: View, held: Collection[int], next_one: int | None) -> list[Step]:
    steps = []
    have, got = accepted(view), enclosed(view)
    for generation in {view.cluster.cluster_key, next_one} - {None}:
        assert generation is not None
        lacking = set(view.present) - have.get(generation, set()) - got.get(generation, set())
        if generation in held:
            steps += [Step(Do.ENCLOSE, generation, name) for name in sorted(lacking)]
    if next_one is not None and _is_ready(view, next_one):
        steps.append(Step(Do.ADVANCE, next_one))
    return steps


def _is_ready(view: View, generation: int) -> bool:
    """Whether every member that is alive, one at least, has that cluster key."""
    waited_for = {name for name in view.present if name in view.alive}
    have = accepted(view).get(generation, set())
    return pending(view) == generation and waited_for <= have and bool(have)


def _leads(view: View, me: str) -> bool:
    return me == next((name for name in view.present if name in view.alive), me)


def _by_generation(view: View, prefix: str) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    for path in view.raw(prefix):
        generation, _, member = path.removeprefix(prefix).partition("/")
        if generation.isdecimal():
            found.setdefault(int(generation), set()).add(member)
    return found


class Roller:
    """Carries rolls on, for its member; `changed` is called when it has another cluster key."""

    def __init__(self, node: Node, inventory: Inventory, changed: Callable[[], None]) -> None:
        self._node, self._inventory, self._changed = node, inventory, changed
        self._news = asyncio.Event()
        self._resigned: set[str] = set()

    async def run(self) -> None:
        """Until cancelled."""
        unsubscribe = self._node.view.subscribe(self._look)
        try:
            while True:
                self._news.clear()
                again = await self._attempt()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.1 if again else _PERIOD):
                        await self._news.wait()
        finally:
            unsubscribe()

    def _look(self, changed: Sequence[str]) -> None:
        ours: tuple[str, ...] = (paths.CLUSTER, paths.MEMBERS, paths.ALIVE)
        if len(self._inventory.cluster_keys) > 1:
            ours = (*ours, paths.KEYS)  # one of them goes once no key is wrapped under it
        if any(path.startswith(ours) for path in changed):
            self._news.set()

    async def _attempt(self) -> bool:
        """Do what is planned; whether it is to be tried again soon."""
        view = self._node.view
        try:
            self._inventory.cluster_keys = await self._node.in_thread(self._node.token.cluster_keys)
            await self._resign_for_removed()
            for step in plan(view, self._node.name, self._inventory.cluster_keys):
                await _STEPS[step.do](self, step)
        except Conflict:
            return True
        except (CatalogueError, TokenError, AuditUnavailable, ManagementError) as error:
            _log.warning("the cluster keys cannot be looked after", reason=str(error))
        return False

    async def _resign_for_removed(self) -> None:
        view = self._node.view
        if not _leads(view, self._node.name):
            return
        removed = {name for name, member in view.members.items() if member.state == "removed"}
        for name in removed - self._resigned:
            await resign(self._node, name)
            self._resigned.add(name)

    async def _accept(self, step: Step) -> None:
        node, generation = self._node, step.generation
        body = node.view.raw(f"{paths.CLUSTER_KEYS}{generation}/").get(
            f"{paths.CLUSTER_KEYS}{generation}/{node.name}"
        )
        if body is not None:
            await self._take_in(generation, body)
        holding = ClusterKeyHolding(member=node.name, generation=generation)
        await node.write({f"{paths.CLUSTER_KEY_HOLDERS}{generation}/{node.name}": holding})

    async def _take_in(self, generation: int, body: bytes) -> None:
        node, token = self._node, self._node.token
        try:
            value = base64.b64decode(body, validate=True)
        except ValueError:
            raise WrappedKeyInvalid(f"cluster key {generation} is not readable") from None
        try:
            await node.in_thread(token.accept_cluster_key, generation, value)
        except WrappedKeyInvalid:
            # One of ours that was never published stands in its place: nothing is wrapped under
            # a cluster key that is yet to come.
            if generation <= node.view.cluster.cluster_key:
                raise
            await node.in_thread(token.destroy_cluster_key, generation)
            await node.in_thread(token.accept_cluster_key, generation, value)
        self._inventory.cluster_keys |= {generation}
        self._changed()
        _log.info("a cluster key is accepted", generation=generation)

    async def _enclose(self, step: Step) -> None:
        put = await _enclosed(self._node, step.generation, step.member)
        checks = [Unchanged(put.key, 0), _unchanged(self._node.view, paths.CLUSTER)]
        await self._node.write({}, also=[put], checks=checks)

    async def _advance(self, step: Step) -> None:
        node = self._node
        changed = node.view.cluster.model_copy(update={"cluster_key": step.generation})
        if not _is_ready(node.view, step.generation):
            return
        # The cluster's record is written whenever members come or go.
        writing = decided(node.view, {paths.CLUSTER: changed})
        await node.in_thread(
            node.audit.append,
            "system",
            {"act": "cluster.roll", "target": f"cluster key {step.generation}", "who": node.name},
        )
        await node.write(writing.changes, checks=writing.checks)
        self._changed()

    async def _drop(self, step: Step) -> None:
        node, generation = self._node, step.generation
        with contextlib.suppress(ClusterKeyMissing):
            await node.in_thread(node.token.destroy_cluster_key, generation)
        self._inventory.cluster_keys -= {generation}
        ours = [
            f"{prefix}{generation}/{node.name}"
            for prefix in (paths.CLUSTER_KEYS, paths.CLUSTER_KEY_HOLDERS)
        ]
        changes = {path: None for path in ours if node.view.revision_of(path)}
        if changes:
            await node.write(changes)
        _log.info("an old cluster key is erased", generation=generation)


_STEPS = {
    Do.ACCEPT: Roller._accept,
    Do.ENCLOSE: Roller._enclose,
    Do.ADVANCE: Roller._advance,
    Do.DROP: Roller._drop,
}


async def begin_roll(node: Node, without: frozenset[str] = frozenset()) -> int:
    """Make the next cluster key and enclose it to all present members but `without`; returns its
    generation, which will be that of today once they have it.

    A roll that is under way is taken for this one, unless somebody of `without` has its key.
    Raises Unavailable, CatalogueError, TokenError.
    """
    for _ in range(_ATTEMPTS):
        view = node.view
        known = enclosed(view)
        under_way = pending(view)
        if under_way is not None and not known[under_way] & without:
            return under_way
        generation = 1 + max(view.cluster.cluster_key, *known, 0)
        try:
            await _publish(node, generation, sorted(set(view.present) - without))
        except Conflict:
            await behind(view)
            continue
        return generation
    raise Unavailable("members come and go at the same moment: try again")


async def roll(node: Node, seconds: float) -> int:
    """Begin a roll and wait until the new cluster key is that of today; returns its generation.

    Raises Unavailable after that time: the roll goes on by itself.
    """
    generation = await begin_roll(node)
    try:
        async with asyncio.timeout(seconds):
            await node.view.until(lambda view: view.cluster.cluster_key >= generation)
    except TimeoutError:
        have = accepted(node.view).get(generation, set())
        missing = sorted({*node.view.present} & {*node.view.alive} - have)
        raise Unavailable(
            f"the new cluster key is made, but {', '.join(missing) or 'nobody'} has not taken it"
            " yet: it takes the old one's place by itself once all have"
        ) from None
    return generation


async def _publish(node: Node, generation: int, members: Sequence[str]) -> None:
    cluster = _unchanged(node.view, paths.CLUSTER)
    with contextlib.suppress(ClusterKeyMissing):
        # Left by a member that stopped before it published it: nobody else has ever had it.
        await node.in_thread(node.token.destroy_cluster_key, generation)
    await node.in_thread(node.token.generate_cluster_key, generation)
    puts = [await _enclosed(node, generation, name) for name in members]
    await node.write({}, also=puts, checks=[cluster, *(Unchanged(put.key, 0) for put in puts)])


async def _enclosed(node: Node, generation: int, member: str) -> Put:
    recipient = usable(node.view.members[member].transport)
    value = await node.in_thread(node.token.enclose_cluster_key, generation, recipient)
    path = f"{paths.CLUSTER_KEYS}{generation}/{member}"
    return Put(path, node.signer.seal(path, base64.b64encode(value)))


def _unchanged(view: View, path: str) -> Unchanged:
    return Unchanged(path, view.revision_of(path))


async def behind(view: View) -> None:
    """Give the view a moment to see what we ran into."""
    revision = view.revision
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1.0):
            await view.reached(revision + 1)


async def resign(node: Node, member: str) -> int:
    """Sign everything anew that `member` was the last to sign; returns how many values.

    To be called before a member is removed and once more afterwards: a value of somebody who is no
    member is not believed by who reads it for the first time. What only it could say (which keys
    it holds) is removed. Raises CatalogueError.
    """
    own = (paths.HOLDINGS, paths.INTENTS, paths.CLUSTER_KEY_HOLDERS)
    view = node.view
    present = member in view.present
    todo = [path for path in view.signed_by(member) if not (present and path.startswith(own))]
    for at in range(0, len(todo), _RESIGNED_AT_ONCE):
        await _resign_some(node, member, todo[at : at + _RESIGNED_AT_ONCE], own)
    if todo:
        _log.info("values are signed anew", member=member, values=len(todo))
    return len(todo)


_RESIGNED_AT_ONCE = 32


async def _resign_some(node: Node, member: str, some: Sequence[str], own: tuple[str, ...]) -> None:
    for _ in range(_ATTEMPTS):
        mine = [path for path in some if node.view.signer_of(path) == member]
        changes = {path: None if path.startswith(own) else node.view.at(path) for path in mine}
        if not changes:
            return
        try:
            await node.write(changes)
        except Conflict:
            await behind(node.view)
        else:
            return
    raise Unavailable("values change while they are signed anew: try again")
