"""Carries a decision into the catalogue, whatever else happens at the same moment."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from offload.catalogue.base import CatalogueUnavailable, Conflict
from offload.cluster.changes import Writing
from offload.cluster.failures import Unavailable
from offload.cluster.node import Node


class Unsure(Unavailable):
    """Nobody knows whether it was done."""


PATIENCE = 15.0
"""Seconds; an etcd cluster has chosen another leader long before."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0

Decide = Callable[[bool], Writing | None]
"""From the view as it is now: what to write, None if nothing. The argument says whether an earlier
attempt may have been applied, so that what is found may be one's own doing. Raises ManagementError.
"""


async def persist(node: Node, decide: Decide, seconds: float = PATIENCE) -> None:
    """Decide and write until it is done; decides anew when somebody else was quicker, and when the
    catalogue did not answer. Raises Unavailable after that time, and what `decide` raises.
    """
    unsure, pause = False, _FIRST_PAUSE
    try:
        async with asyncio.timeout(seconds):
            while (writing := decide(unsure)) is not None:
                try:
                    await node.write(writing.changes, checks=writing.checks)
                except Conflict:
                    await catch_up(node)
                except CatalogueUnavailable:
                    unsure = True
                    await asyncio.sleep(pause * (0.5 + node.random.random()))
                    pause = min(_LONGEST_PAUSE, 2 * pause)
                else:
                    return
    except TimeoutError:
        if not unsure:
            raise Unavailable("others change the same all the time: try again later") from None
        raise Unsure(
            "the catalogue does not answer: try again later; it may have been done nevertheless,"
            " so look before repeating it"
        ) from None


async def catch_up(node: Node) -> None:
    """Wait for the view to see what stood in the way."""
    revision = node.view.revision
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LONGEST_PAUSE):
            await node.view.reached(revision + 1)
