"""What a planned step writes: the records to be, and what they were decided on (no I/O)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from offload.catalogue import paths
from offload.catalogue.base import Unchanged
from offload.catalogue.records import HoldingRecord, Record
from offload.cluster.copies import holders, needed
from offload.cluster.reconcile import STEPS, Do
from offload.cluster.view import View
from offload.keys.managed import ManagedKey
from offload.keys.state import State, after

KeyChanges = dict[str, Record | ManagedKey | bytes | None]


class Writing(NamedTuple):
    """changes: what is to stand at each path; checks: what it was decided on."""

    changes: KeyChanges
    checks: tuple[Unchanged, ...]


def decided(view: View, changes: KeyChanges, *based_on: str) -> Writing:
    """Bind changes to what the view has now at their paths and at those of `based_on`."""
    seen = dict.fromkeys((*changes, *based_on))
    return Writing(changes, tuple(Unchanged(path, view.revision_of(path)) for path in seen))


def merged(writings: Iterable[Writing]) -> Writing:
    """One commit of several; if they were decided on different things, it will fail."""
    changes: KeyChanges = {}
    checks: dict[str, int] = {}
    for one in writings:
        changes |= one.changes
        for path, revision in one.checks:
            checks[path] = min(revision, checks.get(path, revision))
    return Writing(changes, tuple(Unchanged(*check) for check in checks.items()))


def holding_path(ski: bytes, member: str) -> str:
    """Where it stands that a member holds a key."""
    return f"{paths.HOLDINGS}{ski.hex()}/{member}"


def held(view: View, ski: bytes, me: str, now: datetime) -> HoldingRecord:
    """That the token of `me` holds the key, and how long that took."""
    key = view.keys[ski]
    # A member cannot be late for what was published before it came.
    began = max(key.created, view.members[me].joined) if me in view.members else key.created
    lag = max(0.0, (now - began).total_seconds())
    return HoldingRecord(member=me, ski=ski.hex(), state="held", lag_seconds=round(lag, 4))


def writing(view: View, me: str, do: Do, ski: bytes, now: datetime) -> Writing:
    """What the step `do` of `reconcile.plan` writes; it must be one that writes."""
    path = holding_path(ski, me)
    if do is Do.REPORT:
        return decided(view, {path: held(view, ski, me, now)})
    if do is Do.RETRACT:
        return decided(view, {path: None})
    if do is Do.CONFIRM:
        return decided(view, {path: HoldingRecord(member=me, ski=ski.hex(), state="erased")})
    return _moved(view, view.keys[ski], do, now)


def _moved(view: View, key: ManagedKey, do: Do, now: datetime) -> Writing:
    moved = replace(key, state=after(key.state, STEPS[do]), changed=now)
    path = paths.KEYS + key.ski.hex()
    if do is Do.DESTROY:
        return decided(view, {path: replace(moved, wrapped=b"", wrapped_under=0)})
    if do is not Do.ACTIVATE:
        return decided(view, {path: moved})
    enough = holders(view, key.ski)[: needed(view, key)]
    changes = {path: moved, **_becoming_current(view, key)}
    # The cluster's record is written whenever members come or go.
    based_on = (paths.CLUSTER, *(holding_path(key.ski, member) for member in enough))
    return decided(view, changes, *based_on)


def _becoming_current(view: View, key: ManagedKey) -> KeyChanges:
    """A label without a key that could ever sign gets this one; otherwise a rotation switches."""
    label = view.labels.get(key.label)
    if label is None:
        return {}
    current = view.keys.get(bytes.fromhex(label.current))
    if current is not None and current.state is not State.DESTROYED:
        return {}
    changed = label.model_copy(update={"current": key.ski.hex()})
    return {paths.LABELS + key.label: changed}
