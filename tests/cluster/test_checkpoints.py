"""Heads of chains are signed by all who see them, and a chain that goes back is noticed."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.auditing import Auditor, Auditors, auditors
from support.cluster import put

from offload.audit.checkpoint import statement
from offload.audit.log import AuditLog
from offload.audit.record import AuditRecord, Head, parse
from offload.audit.segment import lines_from, segments
from offload.catalogue.base import CatalogueUnavailable, Delete
from offload.catalogue.records import CheckpointRecord
from offload.cluster.checkpoints import EVERY_RECORDS, EVERY_SECONDS, Checkpoints


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Auditors]:
    async with asyncio.timeout(30), auditors(tmp_path, "a", "b", "c") as made:
        yield made


def _standing(auditor: Auditor, place: str) -> CheckpointRecord | None:
    body = auditor.node.view.raw("checkpoints/").get(f"checkpoints/{place}")
    return None if body is None else CheckpointRecord.model_validate_json(body)


def _covered(auditor: Auditor, place: str) -> int:
    record = _standing(auditor, place)
    assert record is not None
    return record.seq


def _records(log: AuditLog) -> list[AuditRecord]:
    return [parse(content) for content in lines_from(log.directory, 1)]


def _events(log: AuditLog) -> list[object]:
    return [record.fields.get("event") for record in _records(log)]


async def test_a_checkpoint_covers_the_log_and_is_countersigned(cluster: Auditors) -> None:
    a = cluster.members["a"]
    a.log.append("management", {"act": "key.create"})
    await cluster.turn()
    head = a.log.head()
    assert _events(a.log) == ["chain begun", None, "checkpoint"]
    for place in ("a", "a/b", "a/c"):
        record = _standing(a, place)
        assert record is not None
        assert (record.worker, record.seq, record.hash) == ("a", *head)
    assert _standing(a, "b") is None


async def test_nothing_is_written_while_nothing_changes(cluster: Auditors) -> None:
    a = cluster.members["a"]
    a.log.append("management", {})
    await cluster.turn()
    revision, head = a.node.view.revision, a.log.head()
    cluster.clock.forward(1000)
    await cluster.turn()
    assert (a.node.view.revision, a.log.head()) == (revision, head)


async def test_it_is_due_after_a_time_or_a_number_of_records(cluster: Auditors) -> None:
    a = cluster.members["a"]
    a.log.append("management", {})
    await cluster.turn()
    covered = a.log.head().seq
    a.log.append("management", {})
    cluster.clock.forward(EVERY_SECONDS - 1)
    await cluster.turn()
    assert _covered(a, "a/b") == covered
    cluster.clock.forward(1)
    await cluster.turn()
    assert _covered(a, "a/b") == covered + 2
    a.log.append("signature", *[{}] * EVERY_RECORDS)
    await cluster.turn()
    assert _covered(a, "a/b") == covered + 3 + EVERY_RECORDS


async def test_a_restarted_member_goes_on(cluster: Auditors) -> None:
    a = cluster.members["a"]
    a.log.append("management", {})
    await cluster.turn()
    again = Checkpoints(a.node, a.log)
    await again.turn()
    a.log.append("management", {})
    cluster.clock.forward(EVERY_SECONDS)
    await again.turn()
    assert again.problems == {}
    assert _covered(a, "a") == a.log.head().seq


async def test_a_log_begun_anew_is_noticed_by_its_own_worker(cluster: Auditors) -> None:
    a = cluster.members["a"]
    a.log.append("management", {}, {}, {})
    await cluster.turn()
    before = _standing(a, "a")
    a.log.close()
    shutil.rmtree(a.log.directory)
    anew = AuditLog(a.log.directory, "a", cluster.clock, cluster="test")
    anew.append("management", {})
    again = Checkpoints(a.node, anew)
    for _ in range(3):
        cluster.clock.forward(EVERY_SECONDS)
        await again.turn()
    assert "it ends at record" in again.problems["a"]
    assert _events(anew) == ["chain begun", None, "checkpoint refused"]
    anew.append("management", *[{}] * 10)
    await Checkpoints(a.node, anew).turn()
    assert _standing(a, "a") == before
    assert _events(anew).count("checkpoint refused") == 2
    anew.close()


async def test_a_chain_that_goes_back_is_not_countersigned(cluster: Auditors) -> None:
    a, b = cluster.members["a"], cluster.members["b"]
    a.log.append("management", {}, {}, {})
    await cluster.turn()
    seen = _standing(b, "a/b")
    for number, head in enumerate((Head(2, "ab" * 32), Head(5, "ab" * 32)), 2):
        record = statement("a", head, cluster.clock()).model_copy(update={"version": number})
        await b.node.view.reached(await put(cluster.catalogue, "a", {"checkpoints/a": record}))
        await b.checkpoints.turn()
        assert b.checkpoints.problems.keys() == {"a"}
        assert _standing(b, "a/b") == seen
    (refused,) = [one for one in _records(b.log) if one.fields["event"] == "checkpoint refused"]
    assert (refused.fields["member"], refused.fields["seq"]) == ("a", 2)
    true = statement("a", a.log.head(), cluster.clock()).model_copy(update={"version": 9})
    await b.node.view.reached(await put(cluster.catalogue, "a", {"checkpoints/a": true}))
    await b.checkpoints.turn()
    assert b.checkpoints.problems == {}


async def test_what_another_says_of_a_chain_is_not_countersigned(cluster: Auditors) -> None:
    b = cluster.members["b"]
    record = statement("a", Head(9, "ab" * 32), cluster.clock())
    await b.node.view.reached(await put(cluster.catalogue, "c", {"checkpoints/a": record}))
    await b.checkpoints.turn()
    assert "not signed by 'a'" in b.checkpoints.problems["a"]
    assert _standing(b, "a/b") is None


async def test_a_countersignature_taken_away_is_given_again(cluster: Auditors) -> None:
    a, b = cluster.members["a"], cluster.members["b"]
    a.log.append("management", {})
    await cluster.turn()
    await b.node.view.reached(await cluster.catalogue.commit([Delete("checkpoints/a/b")]))
    assert _standing(b, "a/b") is None
    await b.checkpoints.turn()
    assert _covered(b, "a/b") == a.log.head().seq


async def test_a_catalogue_that_is_down_is_asked_again(
    cluster: Auditors, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = cluster.members["a"]
    a.log.append("management", {})

    async def _down(*_: object, **__: object) -> int:
        raise CatalogueUnavailable("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(a.node.catalogue, "commit", _down)
        for _ in range(3):
            await a.checkpoints.turn()
    assert _standing(a, "a") is None
    assert _events(a.log).count("checkpoint") == 1
    await a.checkpoints.turn()
    assert _covered(a, "a") == a.log.head().seq


async def test_a_log_that_cannot_be_written_does_not_end_it(cluster: Auditors) -> None:
    a = cluster.members["a"]
    a.log.append("management", {})
    a.log.close()
    segments(a.log.directory)[-1].unlink()
    await a.checkpoints.turn()
    assert _standing(a, "a") is None


async def test_it_runs_until_it_is_cancelled(cluster: Auditors) -> None:
    a = cluster.members["a"]
    a.log.append("management", {})
    task = asyncio.create_task(a.checkpoints.run())
    await a.node.view.until(lambda view: bool(view.raw("checkpoints/a")))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
