"""Decisions that are carried into the catalogue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import cast

import pytest
from support.members import members_in

from offload.catalogue.base import Catalogue, CatalogueUnavailable, Conflict, Unchanged, Write
from offload.cluster.changes import Writing, decided
from offload.cluster.failures import Unavailable
from offload.cluster.node import Node
from offload.cluster.persistence import Unsure, persist


class Failing:
    """Fails as told, then lets commits through; `applied`: those that failed were applied."""

    def __init__(self, node: Node, errors: list[Exception], *, applied: bool = False) -> None:
        self.errors, self._applied, self._catalogue = errors, applied, node.catalogue
        node.catalogue = cast(Catalogue, self)

    async def commit(self, writes: Sequence[Write], checks: Sequence[Unchanged] = ()) -> int:
        if not self.errors:
            return await self._catalogue.commit(writes, checks)
        if self._applied:
            await self._catalogue.commit(writes, checks)
        raise self.errors.pop(0)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with members_in(tmp_path) as members:
        yield await members.found()


def write_note(node: Node, seen: list[bool]) -> Writing | None:
    def done() -> bool:
        return node.view.at("notes/x") is not None

    return None if seen[-1] and done() else decided(node.view, {"notes/x": b"{}"})


@pytest.mark.parametrize("applied", [False, True])
async def test_asks_again_when_nobody_knows(node: Node, applied: bool) -> None:
    Failing(node, [CatalogueUnavailable("away")] * 2, applied=applied)
    seen: list[bool] = []

    def decide(unsure: bool) -> Writing | None:
        seen.append(unsure)
        return write_note(node, seen)

    async with asyncio.timeout(10):
        await persist(node, decide)
        await node.view.until(lambda view: view.at("notes/x") == b"{}")
    assert seen[0] is False
    assert all(seen[1:])


async def test_decides_anew_after_a_conflict(node: Node) -> None:
    Failing(node, [Conflict("somebody was quicker")])
    seen: list[bool] = []

    def decide(unsure: bool) -> Writing | None:
        seen.append(unsure)
        return decided(node.view, {"notes/x": b"{}"})

    await persist(node, decide)
    assert seen == [False, False]


async def test_gives_up_and_says_whether_it_may_have_been_done(node: Node) -> None:
    Failing(node, [Conflict("somebody was quicker")] * 100)
    with pytest.raises(Unavailable, match="others change the same") as caught:
        await persist(node, lambda _: decided(node.view, {"notes/x": b"{}"}), 0.05)
    assert not isinstance(caught.value, Unsure)
    Failing(node, [CatalogueUnavailable("away")] * 100)
    with pytest.raises(Unsure, match="may have been done"):
        await persist(node, lambda _: decided(node.view, {"notes/x": b"{}"}), 0.05)


async def test_what_the_decision_raises_ends_it(node: Node) -> None:
    def decide(unsure: bool) -> Writing | None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await persist(node, decide)
    await persist(node, lambda _: None)
