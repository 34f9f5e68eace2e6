"""What a member has to do about a key, seen from what the catalogue and its token hold (no I/O).

    catalogue says           token holds it         token does not
    not destroyed            report it              unwrap it
    destroyed                erase it               confirm that it is erased

Every action may be repeated: if it was done already, nothing changes, and what is planned from a
view that is behind fails at the commit and is planned anew. So a member may stop anywhere.

One member moves a key on at once, its home; should that one be slow, every other may, a little
later.
"""

from __future__ import annotations

from collections.abc import Container
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from offload.cluster.copies import holders, needed
from offload.cluster.view import View
from offload.keys.managed import ManagedKey
from offload.keys.state import State, Step

GRACE = timedelta(seconds=2)
"""How long the others leave it to the one whose turn it is."""

_DESTROYABLE = (State.PRE_ACTIVE, State.SUSPENDED, State.DEACTIVATED, State.COMPROMISED)


class Do(StrEnum):
    """What to do about a key."""

    UNWRAP = "unwrap"
    """Take it into the token."""
    ERASE = "erase"
    """Take it out of the token."""
    WRAP = "wrap"
    """Wrap it anew, under the cluster key of today."""
    REPORT = "report"
    """Say that the token holds it."""
    RETRACT = "retract"
    """Say no longer that the token holds it."""
    CONFIRM = "confirm"
    """Say that the token has erased it."""
    ACTIVATE = "activate"
    DEACTIVATE = "deactivate"
    DESTROY = "destroy"


IN_TOKEN = (Do.UNWRAP, Do.ERASE, Do.WRAP)
"""Calls to the token, which block; everything else is a write to the catalogue."""
STEPS = {
    Do.ACTIVATE: Step.ACTIVATE,
    Do.DEACTIVATE: Step.DEACTIVATE,
    Do.DESTROY: Step.DESTROY,
}


class Plan(NamedTuple):
    """What to do now, in that order, and when to look again even if nothing changes."""

    actions: tuple[Do, ...] = ()
    again: datetime | None = None


class Standpoint(NamedTuple):
    """From where a member looks. held: SKIs in its token; cluster_keys: generations in its token;
    late: it has waited long for others to wrap keys anew.
    """

    view: View
    me: str
    held: Container[bytes]
    cluster_keys: Container[int]
    now: datetime
    late: bool = False


def plan(at: Standpoint, ski: bytes) -> Plan:
    """What `at.me` has to do about the key now."""
    key = at.view.keys.get(ski)
    if key is None:
        return Plan()
    holding = at.view.holdings.get(ski, {}).get(at.me)
    said = None if holding is None else holding.state
    held = ski in at.held
    if key.state is State.DESTROYED:
        return Plan(_of_destroyed(held, said))
    actions = _of_living(at, key, held, said)
    move = _next_move(at, key)
    if move is None:
        return Plan(actions)
    when, do = move
    when = when if _has_turn(at, key) else max(when, key.changed) + GRACE
    return Plan(actions, when) if when > at.now else Plan((*actions, do))


def _of_living(at: Standpoint, key: ManagedKey, held: bool, said: str | None) -> tuple[Do, ...]:
    actions: list[Do] = []
    if held and said != "held":
        actions.append(Do.REPORT)
    if not held and said == "held":
        actions.append(Do.RETRACT)
    if not held and key.replicated and key.wrapped_under in at.cluster_keys:
        actions.append(Do.UNWRAP)
    if held and _should_wrap(at, key):
        actions.append(Do.WRAP)
    return tuple(actions)


def _of_destroyed(held: bool, said: str | None) -> tuple[Do, ...]:
    if held:
        return (Do.ERASE, Do.CONFIRM)
    return (Do.CONFIRM,) if said == "held" else ()


def _should_wrap(at: Standpoint, key: ManagedKey) -> bool:
    today = at.view.cluster.cluster_key
    if not key.replicated or key.wrapped_under == today or today not in at.cluster_keys:
        return False
    # The work is shared out among those that hold the key.
    able = [name for name in holders(at.view, key.ski) if name in at.view.alive]
    return at.late or not able or able[key.ski[-1] % len(able)] == at.me


_Move = tuple[datetime, Do]


def _next_move(at: Standpoint, key: ManagedKey) -> _Move | None:
    """The first to come: a key that is to be destroyed is not activated before."""
    moves = [move for move in (_destruction(key), _deactivation(key), _activation(at, key)) if move]
    return min(moves, default=None, key=lambda move: move[0])


def _destruction(key: ManagedKey) -> _Move | None:
    if key.destroy_at is None or key.state not in _DESTROYABLE:
        return None
    return key.destroy_at, Do.DESTROY


def _deactivation(key: ManagedKey) -> _Move | None:
    if key.deactivates is None or key.state not in (State.ACTIVE, State.SUSPENDED):
        return None
    return key.deactivates, Do.DEACTIVATE


def _activation(at: Standpoint, key: ManagedKey) -> _Move | None:
    if key.state is not State.PRE_ACTIVE or key.destroy_at is not None:
        return None
    when = key.activates or key.changed
    if key.deactivates is not None and key.deactivates <= max(when, at.now):
        return None
    if len(holders(at.view, key.ski)) < needed(at.view, key):
        return None
    # A key that was made by a clock ahead of ours is wanted now all the same.
    return (when if key.activates else min(when, at.now)), Do.ACTIVATE


def _has_turn(at: Standpoint, key: ManagedKey) -> bool:
    if key.home in at.view.alive and key.home in at.view.present:
        return at.me == key.home
    able = [name for name in at.view.present if name in at.view.alive]
    return not able or at.me == able[0]
