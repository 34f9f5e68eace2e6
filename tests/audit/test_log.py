import multiprocessing
import os
import resource
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from offload.audit.log import AuditLog
from offload.audit.record import NOTHING, AuditRecord, parse
from offload.audit.segment import lines_from, segments
from offload.audit.sink import AuditSink, AuditUnavailable


def _records(log: AuditLog) -> list[AuditRecord]:
    """Read by somebody else; the chain must be whole."""
    records = [parse(content) for content in lines_from(log.directory, 1)]
    head = NOTHING
    for record in records:
        assert (record.seq, record.prev) == (head.seq + 1, head.hash)
        head = record.head
    return records


def test_it_is_a_sink(log: AuditLog) -> None:
    sink: AuditSink = log
    sink.check()
    sink.append("management", {"act": "key.create", "outcome": "done"})


def test_the_first_record_names_worker_and_cluster(log: AuditLog) -> None:
    log.append("management", {"act": "key.create"}, {"act": "key.show"})
    first, second, third = _records(log)
    assert first.fields == {"event": "chain begun", "worker": "w1", "cluster": "example"}
    assert (second.kind, second.worker, second.fields) == (
        "management", "w1", {"act": "key.create"},
    )  # fmt: skip
    assert second.time == third.time == "2026-11-24T00:00:01.000000Z"


def test_it_goes_on_where_it_was_left(open_log: Callable[..., AuditLog]) -> None:
    first = open_log()
    first.append("system", {"event": "a"})
    first.close()
    second = open_log()
    second.append("system", {"event": "b"})
    assert [record.fields["event"] for record in _records(second)] == ["chain begun", "a", "b"]
    assert second.head() == _records(second)[-1].head


def test_segments_are_one_chain(open_log: Callable[..., AuditLog]) -> None:
    log = open_log(segment_bytes=2000)
    for number in range(40):
        log.append("system", {"number": number})
    assert len(_records(log)) == 41
    assert len(segments(log.directory)) > 3
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in segments(log.directory))


def test_whatever_is_said_is_one_line_each(log: AuditLog) -> None:
    log.append("management", {"a\n": "b\nc\u2028\ud800\0"}, {"x": "y" * 1_000_000}, {"z": b""})
    assert len(_records(log)) == 4


def test_nothing_and_unknown_kinds_are_not_recorded(log: AuditLog) -> None:
    log.append("system")
    assert log.head() == NOTHING
    with pytest.raises(ValueError, match="kind"):
        log.append("gossip", {})
    assert log.head() == NOTHING


def test_a_worker_of_no_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name"):
        AuditLog(tmp_path, 'w"1', lambda: datetime.now(UTC), cluster="example")


def test_a_torn_record_is_cut_and_the_cut_recorded(open_log: Callable[..., AuditLog]) -> None:
    first = open_log()
    first.append("system", {"event": "a"})
    first.close()
    torn = b'{"seq":3,"time":"2026'
    with segments(first.directory)[-1].open("ab") as file:
        file.write(torn)
    open_log().append("system", {"event": "b"})
    cut, last = _records(first)[-2:]
    assert cut.fields == {
        "event": "torn record cut",
        "bytes": len(torn),
        "sha256": sha256(torn).hexdigest(),
    }
    assert last.fields == {"event": "b"}


def test_a_checkpoint_speaks_of_the_record_before_it(log: AuditLog) -> None:
    log.append("system", {"event": "a"})
    head = log.append_checkpoint(lambda head: {"seq": head.seq, "hash": head.hash})
    *_, before, checkpoint = _records(log)
    assert checkpoint.fields == {"seq": before.seq, "hash": before.hash}
    assert head == checkpoint.head


def test_threads_append_to_one_chain(log: AuditLog) -> None:
    def _work(name: str) -> None:
        for number in range(20):
            log.append("system", {"thread": name, "number": number})

    threads = [threading.Thread(target=_work, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records = _records(log)[1:]
    assert len(records) == 80
    for name in "0123":
        numbers = [record.fields["number"] for record in records if record.fields["thread"] == name]
        assert numbers == list(range(20))


def test_what_waits_while_another_writes_is_written_together(
    log: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, go_on, syncs = threading.Event(), threading.Event(), []
    real = os.fdatasync

    def _slow(descriptor: int) -> None:
        syncs.append(descriptor)
        inside.set()
        assert go_on.wait(10)
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", _slow)
    threads = [
        threading.Thread(target=log.append, args=("system", {"n": n})) for n in range(5)
    ]  # fmt: skip
    threads[0].start()
    assert inside.wait(10)
    for thread in threads[1:]:
        thread.start()
    while len(log._waiting) < 4:
        pass
    go_on.set()
    for thread in threads:
        thread.join()
    assert len(_records(log)) == 6
    assert len(syncs) == 2


def _append_in_child(log: AuditLog, count: int) -> None:
    for number in range(count):
        log.append("signature", {"process": os.getpid(), "number": number})
    log.close()


def test_processes_append_to_one_chain_after_a_fork(open_log: Callable[..., AuditLog]) -> None:
    log = open_log(segment_bytes=8000)
    log.append("system", {"event": "before"})
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_append_in_child, args=(log, 25)) for _ in range(3)]
    for child in children:
        child.start()
    for number in range(25):
        log.append("system", {"number": number})
    for child in children:
        child.join()
        assert child.exitcode == 0
        child.close()
    assert len(_records(log)) == 102


def test_a_process_killed_while_writing_loses_nothing_that_it_said_was_written(
    open_log: Callable[..., AuditLog],
) -> None:
    log = open_log()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        number = 0
        while True:
            log.append("system", {"number": number})
            os.write(writer, b".")
            number += 1
    os.close(writer)
    acknowledged = 0
    while acknowledged < 50:
        acknowledged += len(os.read(reader, 50))
    os.kill(child, 9)
    os.waitpid(child, 0)
    while more := os.read(reader, 1000):
        acknowledged += len(more)
    os.close(reader)
    log.append("system", {"event": "after"})
    assert len(_records(log)) >= acknowledged + 2


@contextmanager
def _no_file_longer_than(size: int) -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_without_room_nothing_is_recorded_and_it_says_so(log: AuditLog) -> None:
    log.append("system", {"event": "a"})
    before = segments(log.directory)[0].read_bytes()
    with (
        _no_file_longer_than(len(before) + 100),
        pytest.raises(AuditUnavailable, match="cannot be written"),
    ):
        log.append("system", {"event": "b"})
    assert segments(log.directory)[0].read_bytes() == before
    log.append("system", {"event": "c"})
    assert [record.fields["event"] for record in _records(log)][1:] == ["a", "c"]


def test_a_directory_that_cannot_be_made_is_unavailable(tmp_path: Path, clock: object) -> None:
    (tmp_path / "file").touch()
    log = AuditLog(tmp_path / "file" / "w1", "w1", lambda: datetime.now(UTC), cluster="example")
    with pytest.raises(AuditUnavailable, match="not a directory"):
        log.check()
    with pytest.raises(AuditUnavailable, match="not a directory"):
        log.append("system", {})


def test_a_log_that_is_gone_is_not_begun_again(log: AuditLog) -> None:
    log.append("system", {"event": "a"})
    shutil.rmtree(log.directory)
    for _ in range(2):
        with pytest.raises(AuditUnavailable):
            log.check()
        with pytest.raises(AuditUnavailable):
            log.append("system", {"event": "b"})


def test_a_log_put_back_is_continued(log: AuditLog, tmp_path: Path) -> None:
    log.append("system", {"event": "a"})
    log.directory.rename(tmp_path / "aside")
    log.close()
    with pytest.raises(AuditUnavailable):
        log.check()
    shutil.rmtree(log.directory)
    (tmp_path / "aside").rename(log.directory)
    log.append("system", {"event": "b"})
    assert len(_records(log)) == 3


def test_an_older_copy_of_the_log_is_refused_while_it_runs(log: AuditLog) -> None:
    log.append("system", {"event": "a"})
    older = segments(log.directory)[0].read_bytes()
    log.append("system", {"event": "b"})
    segments(log.directory)[0].write_bytes(older)
    for _ in range(2):
        with pytest.raises(AuditUnavailable):
            log.append("system", {"event": "c"})


def test_a_broken_clock_records_nothing(tmp_path: Path) -> None:
    def _clock() -> datetime:
        raise RuntimeError("no clock")

    log = AuditLog(tmp_path, "w1", _clock, cluster="example")
    with pytest.raises(RuntimeError, match="no clock"):
        log.append("system", {})
    assert log.head() == NOTHING
    log.close()
