from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random
from typing import cast

import pytest
from support.cluster import NOW, found, signer, verifier

from offload.audit.sink import FakeAuditSink
from offload.catalogue import paths
from offload.catalogue.fake import FakeCatalogue
from offload.catalogue.records import UsageRecord
from offload.cluster.node import Node
from offload.cluster.usage import Count, Ledger, UsageError, UsagePublisher
from offload.cluster.view import View
from offload.token.base import ReplicatedToken
from offload.token.fake import FakeToken

A, B = b"a" * 20, b"b" * 20


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "usage.db")
    yield ledger
    ledger.close()


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    catalogue = FakeCatalogue()
    await found(catalogue, "worker-1")
    view = await View.open(catalogue, verifier())
    node = Node(
        name="worker-1",
        catalogue=catalogue,
        view=view,
        signer=signer("worker-1"),
        token=cast(ReplicatedToken, FakeToken()),
        audit=FakeAuditSink(),
        clock=lambda: NOW,
        random=Random(1),
    )
    yield node
    await node.close()
    await view.close()
    await catalogue.close()


def published(node: Node) -> dict[str, int]:
    bodies = node.view.raw(paths.USAGE).values()
    records = [UsageRecord.model_validate_json(body) for body in bodies]
    return {record.ski: record.signatures for record in records}


def test_sums_grow_and_outlive_a_restart(ledger: Ledger, tmp_path: Path) -> None:
    ledger.add({A: 2, B: 10})
    ledger.add({A: 3})
    again = Ledger(tmp_path / "usage.db")
    assert again.unpublished(10) == [Count(B, 10), Count(A, 5)]
    again.close()


def test_what_is_published_is_not_told_again(ledger: Ledger) -> None:
    ledger.add({A: 2, B: 10})
    ledger.published([Count(B, 10)])
    assert ledger.unpublished(10) == [Count(A, 2)]
    ledger.add({B: 1})
    assert ledger.unpublished(1) == [Count(A, 2)]
    assert Count(B, 11) in ledger.unpublished(10)


def test_a_file_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "usage.db").write_bytes(b"x" * 4096)
    with pytest.raises(UsageError, match="cannot be used"):
        Ledger(tmp_path / "usage.db")


async def test_sums_are_published(node: Node, ledger: Ledger) -> None:
    publisher = UsagePublisher(node, ledger)
    ledger.add({A: 2, B: 10})
    await publisher.publish()
    assert published(node) == {A.hex(): 2, B.hex(): 10}
    ledger.add({A: 1})
    await publisher.publish()
    assert published(node) == {A.hex(): 3, B.hex(): 10}
    assert ledger.unpublished(10) == []
