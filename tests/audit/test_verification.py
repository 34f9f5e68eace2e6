"""Whatever is done to a log is found, and a log to which nothing was done is never accused."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.audit import append_checkpoint, countersigned
from support.cluster import NOW, authority, identity, signer

from offload.audit.checkpoint import Evidence, fields, statement
from offload.audit.log import AuditLog
from offload.audit.record import Head, line, parse
from offload.audit.report import Report
from offload.audit.segment import lines_from
from offload.audit.verification import Verification

RECORDS = 14


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[bytes], Evidence]:
    """A log with checkpoints in it, and w2's checkpoint of its end."""
    directory: Path = tmp_path_factory.mktemp("audit")
    log = AuditLog(directory, "w1", lambda: NOW, cluster="example")
    log.append("management", *({"act": "key.create", "number": number} for number in range(5)))
    append_checkpoint(log, lambda: NOW)
    log.append("signature", *({"site": "a.example", "number": number} for number in range(6)))
    append_checkpoint(log, lambda: NOW)
    log.close()
    lines = list(lines_from(directory, 1))
    assert len(lines) == RECORDS
    evidence = Evidence(authority().certificate)
    evidence.admit("w2", identity("w2").certificate.decode())
    path, envelope = countersigned(log, lambda: NOW, "w2")
    evidence.add(path, envelope.encode())
    log.close()
    return lines, evidence


Whole = tuple[list[bytes], Evidence]
_PLACES = st.integers(0, RECORDS - 1)


def _verified(
    lines: Iterable[bytes], evidence: Evidence, worker: str = "", first: int = 1
) -> Report:
    verification = Verification(evidence, worker, first)
    for number, content in enumerate(lines, 1):
        if not verification.take("log", number, content):
            break
    return verification.finish()


def _accused(lines: Iterable[bytes], evidence: Evidence) -> int:
    """The line of the first bad record."""
    report = _verified(lines, evidence)
    assert report.bad is not None
    return report.bad.line


def test_a_whole_log_is_not_accused(whole: Whole) -> None:
    report = _verified(*whole)
    assert report.bad is None
    assert report.warnings == []
    assert (report.worker, report.cluster, report.first, report.last) == ("w1", "example", 1, 14)
    assert report.checkpoints == {"w1": 13, "w2": 14}
    assert report.covered == RECORDS


@settings(max_examples=300)
@given(place=_PLACES, data=st.data())
def test_any_flipped_bit_is_found_at_its_record(
    whole: Whole, place: int, data: st.DataObject
) -> None:
    lines, evidence = whole
    changed = bytearray(lines[place])
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    text = b"".join([*lines[:place], bytes(changed), *lines[place + 1 :]])
    assert _accused(text.splitlines(keepends=True), evidence) in (place + 1, place + 2)


def test_any_record_taken_out_is_found_at_its_place(whole: Whole) -> None:
    lines, evidence = whole
    for place in range(RECORDS):
        accused = _accused(lines[:place] + lines[place + 1 :], evidence)
        assert accused == min(place + 1, RECORDS - 1)


def test_any_two_records_that_changed_places_are_found(whole: Whole) -> None:
    lines, evidence = whole
    for one in range(RECORDS):
        for other in range(one + 1, RECORDS):
            moved = list(lines)
            moved[one], moved[other] = moved[other], moved[one]
            assert _accused(moved, evidence) == one + 1


def test_any_record_written_anew_is_found_at_the_next(whole: Whole) -> None:
    lines, _ = whole
    nothing = Evidence(authority().certificate)
    for place in range(1, RECORDS - 1):
        before = parse(lines[place - 1]).head
        forged, _ = line(before, "2026-01-01T00:00:00.000000Z", "w1", "management", "{}")
        bad = _verified([*lines[:place], forged, *lines[place + 1 :]], nothing).bad
        assert bad is not None
        assert (bad.line, "one of them was replaced" in bad.text) == (place + 2, True)


@given(record=_PLACES, place=st.integers(0, RECORDS))
def test_any_record_put_in_again_is_found(whole: Whole, record: int, place: int) -> None:
    lines, evidence = whole
    accused = _accused([*lines[:place], lines[record], *lines[place:]], evidence)
    assert accused in (place + 1, place + 2)


@settings(max_examples=200)
@given(data=st.data())
def test_any_cut_is_found(whole: Whole, data: st.DataObject) -> None:
    lines, evidence = whole
    text = b"".join(lines)
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    report = _verified(cut.splitlines(keepends=True), evidence)
    assert report.bad is not None
    assert report.bad.seq == cut.count(b"\n") + 1


def test_a_cut_tail_is_named_with_who_saw_it(whole: Whole) -> None:
    lines, evidence = whole
    bad = _verified(lines[:9], evidence).bad
    assert bad is not None
    assert "signed by 'w2' covers record 14: records 10 to 14 were cut off" in bad.text


def test_a_log_written_anew_by_its_worker_is_found(whole: Whole, tmp_path: Path) -> None:
    log = AuditLog(tmp_path, "w1", lambda: NOW, cluster="example")
    log.append("management", *({"act": "key.show", "number": number} for number in range(13)))
    append_checkpoint(log, lambda: NOW)
    log.close()
    bad = _verified(lines_from(tmp_path, 1), whole[1]).bad
    assert bad is not None
    assert (bad.seq, "signed by 'w2' has another record" in bad.text) == (14, True)


def test_a_log_of_another_worker_is_found(whole: Whole) -> None:
    bad = _verified(*whole, worker="w9").bad
    assert bad is not None
    assert "it is of worker 'w1'" in bad.text


def test_a_part_must_be_asked_for(whole: Whole) -> None:
    lines, evidence = whole
    assert _verified(lines[3:], evidence).bad is not None
    report = _verified(lines[3:], evidence, first=4)
    assert (report.bad, report.first, report.records) == (None, 4, 11)


def test_nothing_is_no_log(whole: Whole) -> None:
    empty = _verified([], Evidence(authority().certificate)).bad
    assert empty is not None
    assert "no records" in empty.text
    assert _verified([], whole[1], worker="w1").bad is not None


@pytest.mark.parametrize(
    ("by", "head", "text"),
    [
        ("w2", None, "of 'w1' signed by 'w2'"),
        ("w1", Head(2, "ab" * 32), "of another record"),
        ("w1", Head(1, "ab" * 32), "of another record"),
    ],
)
def test_a_wrong_checkpoint_in_the_chain_is_found(
    tmp_path: Path, by: str, head: Head | None, text: str
) -> None:
    log = AuditLog(tmp_path, "w1", lambda: NOW, cluster="example")
    log.append("system", {})
    certificate = identity(by).certificate.decode()
    log.append_checkpoint(
        lambda true: fields(signer(by), statement("w1", head or true, NOW), certificate)
    )
    log.close()
    bad = _verified(lines_from(tmp_path, 1), Evidence(authority().certificate)).bad
    assert bad is not None
    assert bad.seq == 3
    assert text in bad.text or "not signed as it should be" in bad.text


def test_a_clock_that_goes_back_and_a_cut_are_warnings(tmp_path: Path) -> None:
    times = iter([NOW.replace(hour=2), NOW.replace(hour=1)])
    log = AuditLog(tmp_path, "w1", lambda: next(times), cluster="example")
    log.append("system", {})
    log.append("system", {"event": "torn record cut", "bytes": 7})
    log.close()
    report = _verified(lines_from(tmp_path, 1), Evidence(authority().certificate))
    assert report.bad is None
    assert [warning.seq for warning in report.warnings] == [3, 3]
    assert "clock went back" in report.warnings[0].text
    assert "7 bytes" in report.warnings[1].text
