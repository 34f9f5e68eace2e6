"""Removing a member: what stands against it, and the steps that leave it nothing new to read.

    sign anew    what it was the last to sign is signed by us
    removed      its record says so: nobody believes it or sends it work
    roll         the next cluster key is enclosed to the others alone; they wrap every key anew
    sign anew    what it wrote in between

Every step may be repeated, so a removal that was cut off is finished by asking for it again.
"""

from __future__ import annotations

from collections.abc import Sequence

from offload.catalogue import paths
from offload.catalogue.base import Conflict, Delete
from offload.catalogue.records import MemberRecord
from offload.cluster.copies import holders
from offload.cluster.failures import NotFound, Unavailable, WrongState
from offload.cluster.node import Node
from offload.cluster.rolling import begin_roll, behind, resign
from offload.cluster.view import View
from offload.keys.managed import ManagedKey
from offload.keys.state import State

_ATTEMPTS = 5
_NAMED = 5  # keys that an error's text names


async def remove(node: Node, name: str) -> MemberRecord:
    """Remove the member; returns its record as it is then.

    Raises NotFound, WrongState, Unavailable, CatalogueError, TokenError.
    """
    if name not in node.view.members:
        raise NotFound(f"there is no member {name!r}: see the list of members")
    refuse(node.view, node.name, name)
    await resign(node, name)
    await _exclude(node, name)
    await begin_roll(node, frozenset((name,)))
    await resign(node, name)
    return node.view.members[name]


async def _exclude(node: Node, name: str) -> None:
    for _ in range(_ATTEMPTS):
        view = node.view
        member = view.members[name]
        if member.state == "removed":
            return
        refuse(view, node.name, name)
        removed = member.model_copy(update={"state": "removed"})
        # The cluster's record is written whenever members come or go: who decides on the members
        # checks it. So two removals at once cannot both be the last but one.
        try:
            await node.write(
                {paths.MEMBERS + name: removed, paths.CLUSTER: view.cluster},
                also=[Delete(paths.ALIVE + name)],
            )
        except Conflict:
            await behind(view)
        else:
            return
    raise Unavailable("others change the members at the same moment: try again")


def refuse(view: View, me: str, name: str) -> None:
    """Raise WrongState if the member must not go; nothing is lost with one that went (no I/O)."""
    if name == me:
        raise WrongState(f"{name!r} does not remove itself: ask another worker; the last one stays")
    if me not in view.present:
        raise WrongState(f"{me!r} is no member any more: ask another worker")
    if name not in view.present:
        return
    bound = _bound_to(view, name)
    if bound:
        raise WrongState(
            f"{_listed(bound)} can be nowhere else than on {name!r}: destroy what is not needed any"
            " more, and make the others anew elsewhere"
        )
    alone = _held_alone(view, name)
    if alone:
        raise WrongState(f"{_listed(alone)} is on {name!r} alone so far: wait for its copies")


def _bound_to(view: View, name: str) -> list[ManagedKey]:
    return [
        key
        for key in view.keys.values()
        if not key.replicated and key.home == name and key.state is not State.DESTROYED
    ]


def _held_alone(view: View, name: str) -> list[ManagedKey]:
    return [
        key
        for key in view.keys.values()
        if key.replicated and key.state is not State.DESTROYED and holders(view, key.ski) == (name,)
    ]


def _listed(keys: Sequence[ManagedKey]) -> str:
    names = sorted(f"{key.label}@{key.generation}" for key in keys)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    noun = "key" if len(names) == 1 else "keys:"
    return f"{noun} {', '.join(names[:_NAMED])}{more}"
