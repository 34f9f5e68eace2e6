"""Keys that were made and never published are erased; nothing else ever is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.members import Members, members_in

from offload.catalogue import paths
from offload.catalogue.base import Delete
from offload.cluster.intents import IntentRecord, Intents, token_label
from offload.cluster.node import Node
from offload.keys.algorithm import Algorithm


@pytest.fixture
async def members(tmp_path: Path) -> AsyncIterator[Members]:
    async with members_in(tmp_path) as members:
        await members.found()
        yield members


async def intend(node: Node, label: str, began: datetime) -> None:
    path = Intents(node).path(label, 1)
    record = IntentRecord(member=node.name, label=label, generation=1, began=began)
    await node.write({path: record})


def labels(node: Node) -> set[str]:
    return {record.label for record in node.token.keys()}


async def test_what_was_never_published_goes_after_a_while(members: Members) -> None:
    node = members.nodes["worker-1"]
    members.clock.now = datetime.now(UTC)
    await intend(node, "lost", members.clock.now)
    node.token.generate(token_label("lost", 1), Algorithm.ED25519)
    node.token.generate(token_label("other", 1), Algorithm.ED25519)
    intents = Intents(node)
    await intents.clear()
    assert "lost@1" in labels(node)
    members.clock.forward(301)
    with intents.under_way("lost", 1):
        await intents.clear()
        assert "lost@1" in labels(node)
    await intents.clear()
    assert labels(node) == {"cluster-authority@1", "other@1"}
    assert not node.view.raw("intents/")


async def test_what_was_there_before_the_intent_stays(members: Members) -> None:
    node = members.nodes["worker-1"]
    node.token.generate(token_label("lost", 1), Algorithm.ED25519)
    members.clock.now = datetime.now(UTC) + timedelta(hours=1)
    await intend(node, "lost", members.clock.now)
    members.clock.forward(301)
    await Intents(node).clear()
    assert "lost@1" in labels(node)
    assert not node.view.raw("intents/")


async def test_what_was_published_stays(members: Members) -> None:
    node = members.nodes["worker-1"]
    await intend(node, "cluster-authority", members.clock.now)
    members.clock.forward(301)
    await Intents(node).clear()
    assert "cluster-authority@1" in labels(node)


async def test_what_was_published_stays_though_its_record_is_missing(members: Members) -> None:
    # Who runs the store could put an old intent back and hide the record.
    node = members.nodes["worker-1"]
    (ski,) = node.view.keys
    await intend(node, "cluster-authority", members.clock.now)
    await node.catalogue.commit([Delete(paths.KEYS + ski.hex())])
    members.clock.forward(301)
    await Intents(node).clear()
    assert "cluster-authority@1" in labels(node)


async def test_others_intents_are_theirs(members: Members) -> None:
    node = members.nodes["worker-1"]
    record = IntentRecord(member="x", label="lost", generation=1, began=members.clock.now)
    await node.write({"intents/x/lost@1": record, "intents/worker-1/odd@1": b"{}"})
    members.clock.forward(301)
    await Intents(node).clear()
    assert node.view.at("intents/x/lost@1") is not None
