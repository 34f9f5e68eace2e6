"""What an auditor sees of a member's log, and of those of the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest
from support.auditing import Auditor, Auditors, auditors
from support.cluster import authority, put

from offload.audit.checkpoint import statement
from offload.audit.record import Head
from offload.audit.segment import segments
from offload.audit.verify import verify_files
from offload.catalogue.base import CatalogueUnavailable, Put
from offload.cluster import audit_service
from offload.cluster.actor import Actor
from offload.cluster.acts import Act, ExportAudit, ShowAudit, VerifyAudit
from offload.cluster.failures import Unavailable
from offload.cluster.views import AuditExport, AuditPage, AuditVerification, ChainView
from offload.keys.role import Role

ADA = Actor("ada", Role.AUDITOR)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Auditors]:
    async with asyncio.timeout(30), auditors(tmp_path, "a", "b") as made:
        for number in range(24):
            made.members["a"].log.append("management", {"number": number})
        yield made


async def _ask(auditor: Auditor, act: Act) -> object:
    return await auditor.service.handlers[type(act)](ADA, act)


async def _page(auditor: Auditor, act: ShowAudit) -> AuditPage:
    return cast(AuditPage, await _ask(auditor, act))


async def _verification(auditor: Auditor) -> AuditVerification:
    return cast(AuditVerification, await _ask(auditor, VerifyAudit()))


async def _chain(auditor: Auditor, worker: str) -> ChainView:
    return next(one for one in (await _verification(auditor)).chains if one.worker == worker)


def _numbers(page: AuditPage) -> list[int]:
    return [record.seq for record in page.records]


async def test_the_newest_records_come_first_and_lead_to_the_older(cluster: Auditors) -> None:
    a = cluster.members["a"]
    page = await _page(a, ShowAudit(limit=10))
    assert (_numbers(page), page.older, page.newer, page.last) == (list(range(16, 26)), 16, 0, 25)
    page = await _page(a, ShowAudit(limit=10, before=page.older))
    assert (_numbers(page), page.older, page.newer) == (list(range(6, 16)), 6, 15)
    page = await _page(a, ShowAudit(limit=10, before=page.older))
    assert (_numbers(page), page.older, page.newer) == ([1, 2, 3, 4, 5], 0, 5)


async def test_a_log_is_followed_from_a_record_on(cluster: Auditors) -> None:
    a = cluster.members["a"]
    seen, after = [], 0
    while True:
        page = await _page(a, ShowAudit(limit=7, after=after))
        seen += _numbers(page)
        if not page.newer:
            break
        after = page.newer
    assert seen == list(range(1, 26))
    assert _numbers(await _page(a, ShowAudit(after=25))) == []


async def test_an_empty_log_has_an_empty_page(cluster: Auditors) -> None:
    page = await _page(cluster.members["b"], ShowAudit())
    assert (page.records, page.older, page.newer, page.last) == ((), 0, 0, 0)


async def test_segments_that_were_taken_away_are_left_out(cluster: Auditors) -> None:
    a = cluster.members["a"]
    await cluster.turn()
    first, second = segments(a.log.directory)[:2]
    first.unlink()
    beginning = int(second.stem.removeprefix("audit-"))
    page = await _page(a, ShowAudit(limit=1000))
    assert (_numbers(page)[0], page.older) == (beginning, 0)
    assert (await _chain(a, "a")).state == "verified"


async def test_a_damaged_record_is_shown_as_such(cluster: Auditors) -> None:
    a = cluster.members["a"]
    _change(a)
    record = (await _page(a, ShowAudit(after=2, limit=1))).records[0]
    assert (record.seq, record.fields) == (3, {})
    assert "was changed" in record.damage


def _change(auditor: Auditor) -> None:
    path = segments(auditor.log.directory)[0]
    path.write_bytes(path.read_bytes().replace(b'"number":1}', b'"number":7}'))


async def test_whole_logs_are_verified_and_countersigned(cluster: Auditors) -> None:
    a, b = cluster.members["a"], cluster.members["b"]
    await cluster.turn()
    verified = await _verification(a)
    assert verified.whole
    own = verified.chains[0]
    assert (own.worker, own.state, own.last, own.covered) == ("a", "verified", 26, 26)
    assert own.countersigned == {"b": 26}
    other = await _chain(b, "a")
    assert (other.state, other.last, other.covered) == ("countersigned", 0, 26)
    assert (await _chain(a, "b")).state == "unknown"


async def test_a_changed_record_is_named(cluster: Auditors) -> None:
    a = cluster.members["a"]
    _change(a)
    verified = await _verification(a)
    assert not verified.whole
    assert verified.chains[0].state == "bad"
    assert "audit-0000000000000001.jsonl:3: record 3" in verified.chains[0].problem


async def test_checkpoints_that_contradict_each_other_are_named(cluster: Auditors) -> None:
    a, b = cluster.members["a"], cluster.members["b"]
    await cluster.turn()
    for number, head in enumerate((Head(26, "ab" * 32), Head(9, "ab" * 32)), 5):
        record = statement("a", head, cluster.clock()).model_copy(update={"version": number})
        await b.node.view.reached(await put(cluster.catalogue, "a", {"checkpoints/a": record}))
        assert (await _chain(b, "a")).state == "bad"
    assert "'b' saw record 26" in (await _chain(b, "a")).problem
    assert (await _chain(a, "a")).state == "bad"


async def test_a_checkpoint_that_nobody_signed_is_named(cluster: Auditors) -> None:
    b = cluster.members["b"]
    await cluster.catalogue.commit([Put("checkpoints/a/b", b"{}")])
    chain = await _chain(b, "a")
    assert (chain.state, "not signed" in chain.problem) == ("bad", True)


async def test_an_export_is_verified_elsewhere(cluster: Auditors, tmp_path: Path) -> None:
    a = cluster.members["a"]
    await cluster.turn()
    a.log.append("management", {"number": 99})
    answer = cast(AuditExport, await _ask(a, ExportAudit()))
    assert (answer.worker, answer.first, answer.last, answer.next) == ("a", 1, 27, 0)
    file = tmp_path / "export"
    file.write_text(answer.content)
    report = verify_files([file], authority().certificate)
    assert report.bad is None
    assert (report.cluster, report.records, report.checkpoints) == ("test", 27, {"a": 27, "b": 26})
    file.write_text(answer.content.rpartition("{")[0])
    assert verify_files([file], authority().certificate).bad is not None


async def test_a_large_log_is_exported_in_parts(
    cluster: Auditors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_service, "MAX_EXPORT", 2000)
    a = cluster.members["a"]
    files: list[Path] = []
    after = 0
    while not files or after:
        answer = cast(AuditExport, await _ask(a, ExportAudit(after=after)))
        after = answer.next
        files.append(tmp_path / str(len(files)))
        files[-1].write_text(answer.content)
    assert len(files) > 2
    report = verify_files(files, authority().certificate)
    assert (report.bad, report.records) == (None, 25)
    assert verify_files(files[:-1], authority().certificate).bad is not None


async def test_without_the_catalogue_or_the_log_it_says_so(
    cluster: Auditors, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = cluster.members["a"]

    async def _down(*_: object, **__: object) -> None:
        raise CatalogueUnavailable("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(a.node.catalogue, "list", _down)
        for act in (VerifyAudit(), ExportAudit()):
            with pytest.raises(Unavailable, match="no answer"):
                await _ask(a, act)
    for path in segments(a.log.directory):
        path.unlink()
    acts: tuple[Act, ...] = (VerifyAudit(), ExportAudit(), ShowAudit())
    for asked in acts:
        with pytest.raises(Unavailable):
            await _ask(a, asked)
