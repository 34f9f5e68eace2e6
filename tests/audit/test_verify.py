from collections.abc import Callable
from pathlib import Path

import pytest
from support.audit import Clock, append_checkpoint, exported
from support.cluster import authority, identity

from offload.audit.checkpoint import Evidence
from offload.audit.log import AuditLog
from offload.audit.segment import segments
from offload.audit.verify import verify_directory, verify_files
from offload.cluster.authority import Authority

CERTIFICATE = authority().certificate


@pytest.fixture
def filled(open_log: Callable[..., AuditLog], clock: Clock) -> AuditLog:
    log = open_log(segment_bytes=3000)
    for number in range(20):
        log.append("management", {"number": number})
    append_checkpoint(log, clock)
    log.append("management", {"number": 20})
    return log


@pytest.fixture
def export(filled: AuditLog, clock: Clock, tmp_path: Path) -> Path:
    path = tmp_path / "export.jsonl"
    path.write_bytes(exported(filled, clock, "w2"))
    return path


def test_an_export_is_verified_with_the_authority_alone(export: Path) -> None:
    report = verify_files([export], CERTIFICATE)
    assert report.bad is None
    assert (report.worker, report.records, report.checkpoints) == ("w1", 23, {"w1": 23, "w2": 23})


def test_the_bad_record_is_named_by_file_line_and_number(export: Path) -> None:
    lines = export.read_bytes().splitlines(keepends=True)
    lines[5] = lines[5].replace(b'"number":3', b'"number":4')
    export.write_bytes(b"".join(lines))
    bad = verify_files([export], CERTIFICATE).bad
    assert bad is not None
    assert bad[:3] == (str(export), 6, 5)
    assert "was changed" in bad.text


def test_a_cut_export_is_found(export: Path) -> None:
    lines = export.read_bytes().splitlines(keepends=True)
    export.write_bytes(b"".join(lines[:-1]))
    bad = verify_files([export], CERTIFICATE).bad
    assert bad is not None
    assert "cut off" in bad.text


def test_an_export_of_another_cluster_is_refused(export: Path, clock: Clock) -> None:
    bad = verify_files([export], Authority.create("other", clock()).certificate).bad
    assert bad is not None
    assert (bad.line, "no certificate of this cluster" in bad.text) == (1, True)


def test_an_export_without_its_first_line_is_no_export(export: Path, filled: AuditLog) -> None:
    lines = export.read_bytes().splitlines(keepends=True)
    export.write_bytes(lines[0].replace(b"{", b"(", 1) + b"".join(lines[1:]))
    bad = verify_files([export], CERTIFICATE).bad
    assert bad is not None
    assert bad.line == 1


def test_segments_and_their_directory_are_verified(filled: AuditLog) -> None:
    files = segments(filled.directory)
    assert len(files) > 2
    assert verify_files(files, CERTIFICATE).bad is None
    report = verify_files([filled.directory], CERTIFICATE, worker="w1")
    assert (report.bad, report.records, report.covered) == (None, 23, 21)
    bad = verify_files([files[0], *files[2:]], CERTIFICATE).bad
    assert bad is not None
    assert (bad.file, bad.line) == (str(files[2]), 1)


def test_an_export_in_parts_is_one_log(filled: AuditLog, clock: Clock, tmp_path: Path) -> None:
    header, *lines = exported(filled, clock).splitlines(keepends=True)
    parts = [tmp_path / "1", tmp_path / "2"]
    parts[0].write_bytes(header + b"".join(lines[:10]))
    parts[1].write_bytes(header + b"".join(lines[10:]))
    assert verify_files(parts, CERTIFICATE).bad is None
    assert verify_files(parts[:1], CERTIFICATE).bad is not None
    assert verify_files(parts[1:], CERTIFICATE).bad is not None
    assert verify_files(parts[1:], CERTIFICATE, first=11).bad is None


def test_a_worker_verifies_its_own_log_up_to_where_it_was(filled: AuditLog) -> None:
    evidence = Evidence(CERTIFICATE)
    evidence.admit("w1", identity("w1").certificate.decode())
    report = verify_directory(filled.directory, evidence, "w1", 10)
    assert (report.bad, report.records) == (None, 10)
    report = verify_directory(filled.directory, evidence, "w1", 23)
    assert (report.bad, report.records) == (None, 23)
    report = verify_directory(filled.directory, evidence, "w2", 23)
    assert report.bad is not None
    assert report.bad.file == segments(filled.directory)[0].name


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        verify_files([tmp_path / "none"], CERTIFICATE)
