"""How many members hold a key, and how many must."""

from __future__ import annotations

from offload.cluster.view import View
from offload.keys.managed import ManagedKey
from offload.keys.state import State

PROMISED = (State.PRE_ACTIVE, State.ACTIVE, State.SUSPENDED)
"""States in which a key is to be on as many members as the cluster's policy says."""


def holders(view: View, ski: bytes) -> tuple[str, ...]:
    """The present members whose tokens hold the key, in order of their names."""
    present = view.present
    holdings = view.holdings.get(ski, {})
    return tuple(
        name
        for name in present
        if (holding := holdings.get(name)) is not None and holding.state == "held"
    )


def needed(view: View, key: ManagedKey) -> int:
    """How many members must hold the key before it is usable."""
    return min(view.cluster.copies, len(view.present)) if key.replicated else 1


def is_short(view: View, key: ManagedKey) -> bool:
    """Whether fewer members hold the key than is promised for its state."""
    return key.state in PROMISED and len(holders(view, key.ski)) < needed(view, key)


def expected(view: View, key: ManagedKey) -> tuple[str, ...]:
    """The members that are to hold the key."""
    if key.state is State.DESTROYED:
        return ()
    if key.replicated:
        return view.present
    return (key.home,) if key.home in view.present else ()
