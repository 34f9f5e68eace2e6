import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from offload.audit.chain import Chain
from offload.audit.record import NOTHING, Head, line
from offload.audit.segment import first_records, segment_name
from offload.audit.sink import AuditUnavailable

_TIME = "2026-11-24T01:02:03.000004Z"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state" / "audit"


@pytest.fixture
def chain(directory: Path) -> Iterator[Chain]:
    chain = Chain(directory, 1 << 20)
    yield chain
    chain.close()


def _append(chain: Chain, count: int = 1) -> None:
    with chain.locked():
        _write(chain, count)


def _write(chain: Chain, count: int = 1) -> None:
    lines, head = [], chain.head
    for _ in range(count):
        made, head = line(head, _TIME, "w1", "system", "{}")
        lines.append(made)
    chain.write(b"".join(lines), head)


def _head(directory: Path) -> tuple[Head, bytes]:
    chain = Chain(directory, 1 << 20)
    try:
        with chain.locked():
            return chain.head, chain.torn
    finally:
        chain.close()


def _newest(directory: Path) -> Path:
    return directory / segment_name(first_records(directory)[-1])


def test_a_new_chain_has_nothing(chain: Chain, directory: Path) -> None:
    with chain.locked():
        assert (chain.head, chain.torn) == (NOTHING, b"")
    assert directory.stat().st_mode & 0o777 == 0o700
    assert _newest(directory).stat().st_mode & 0o777 == 0o600


def test_two_see_what_the_other_appended(chain: Chain, directory: Path) -> None:
    other = Chain(directory, 1 << 20)
    for number in range(10):
        _append(chain if number % 2 else other, 3)
    with chain.locked():
        assert chain.head.seq == 30
    other.close()
    assert _head(directory)[0].seq == 30


def test_segments_continue_each_other_and_are_followed(directory: Path) -> None:
    one, other = Chain(directory, 500), Chain(directory, 500)
    _append(other)
    for _ in range(20):
        _append(one)
    with other.locked():
        assert other.head.seq == 21
    _append(other)
    one.close()
    other.close()
    assert _head(directory)[0].seq == 22
    assert len(first_records(directory)) > 2


def test_an_empty_newest_segment_continues_the_one_before(directory: Path, chain: Chain) -> None:
    _append(chain, 3)
    (directory / segment_name(4)).touch(0o600)
    assert _head(directory)[0].seq == 3
    _append(chain)
    assert _newest(directory).stat().st_size > 0


def test_a_chain_without_its_end_is_refused(directory: Path, chain: Chain) -> None:
    (directory / segment_name(9)).touch(0o600)
    (directory / segment_name(1)).unlink(missing_ok=True)
    with pytest.raises(AuditUnavailable, match="lacks the segment before"), chain.locked():
        pass


@pytest.mark.parametrize("rest", [b"{", b'{"seq":4,"time"', b"\0" * 4096, b"\0\0\n\0"])
def test_a_torn_end_is_shown_until_it_is_overwritten(
    directory: Path, chain: Chain, rest: bytes
) -> None:
    _append(chain, 3)
    with _newest(directory).open("ab") as file:
        file.write(rest)
    assert _head(directory) == (chain.head, rest)
    assert _head(directory) == (chain.head, rest)
    with chain.locked():
        assert chain.torn == rest
        _write(chain)
    head, torn = _head(directory)
    assert (head.seq, torn) == (4, b"")


def test_a_torn_first_record_leaves_an_empty_chain(directory: Path, chain: Chain) -> None:
    with chain.locked():
        pass
    _newest(directory).write_bytes(b'{"seq":1,')
    assert _head(directory) == (NOTHING, b'{"seq":1,')


def test_a_changed_last_record_is_not_taken_for_a_torn_one(directory: Path, chain: Chain) -> None:
    _append(chain, 3)
    content = _newest(directory).read_bytes()
    _newest(directory).write_bytes(content[:-100] + b"!" + content[-99:])
    with pytest.raises(AuditUnavailable, match="not as it was written"):
        _head(directory)
    assert len(_newest(directory).read_bytes()) == len(content)


def test_records_that_vanish_are_noticed(directory: Path, chain: Chain) -> None:
    _append(chain, 3)
    os.truncate(_newest(directory), 0)
    with pytest.raises(AuditUnavailable, match="gone"), chain.locked():
        pass


def test_a_deleted_file_is_noticed(directory: Path, chain: Chain) -> None:
    _append(chain)
    _newest(directory).unlink()
    with pytest.raises(AuditUnavailable, match="deleted"), chain.locked():
        pass


def test_what_could_not_be_made_durable_is_taken_back(
    directory: Path, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    _append(chain)
    before = _newest(directory).read_bytes()

    def _fail(descriptor: int) -> None:
        raise OSError(5, "input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", _fail)
        with pytest.raises(OSError, match="input/output"):
            _append(chain)
    assert _newest(directory).read_bytes() == before


def test_torn_bytes_outlive_a_write_that_fails(
    directory: Path, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    _append(chain)
    with _newest(directory).open("ab") as file:
        file.write(b'{"seq":2,')

    def _fail(descriptor: int, content: bytes, position: int) -> int:
        raise OSError(28, "no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", _fail)
        with pytest.raises(OSError, match="no space"):
            _append(chain)
    assert _head(directory) == (chain.head, b'{"seq":2,')


class _Status:
    def __init__(self, flags: int, free: int) -> None:
        self.f_flag, self.f_bavail, self.f_frsize = flags, free, 1


@pytest.mark.parametrize(
    ("status", "text"),
    [(_Status(os.ST_RDONLY, 1 << 30), "read-only"), (_Status(0, 1 << 19), "full")],
)
def test_the_room_is_checked(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, status: _Status, text: str
) -> None:
    chain.check_room()
    monkeypatch.setattr(os, "fstatvfs", lambda descriptor: status)
    with pytest.raises(AuditUnavailable, match=text):
        chain.check_room()
