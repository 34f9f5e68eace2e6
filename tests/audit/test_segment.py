from pathlib import Path

from offload.audit.record import MAX_LINE
from offload.audit.segment import first_records, lines, lines_from, segment_name, segments


def _write(directory: Path, first: int, content: bytes) -> None:
    (directory / segment_name(first)).write_bytes(content)


def test_segments_are_in_the_order_of_their_records(tmp_path: Path) -> None:
    for first in (100, 1, 20):
        _write(tmp_path, first, b"")
    (tmp_path / "notes.txt").touch()
    assert first_records(tmp_path) == [1, 20, 100]
    assert segments(tmp_path)[-1] == tmp_path / "audit-0000000000000100.jsonl"


def test_records_are_found_by_their_place_through_all_segments(tmp_path: Path) -> None:
    _write(tmp_path, 1, b"a\nb\nc\n")
    _write(tmp_path, 4, b"d\ne\n")
    assert list(lines_from(tmp_path, 0)) == [b"a\n", b"b\n", b"c\n", b"d\n", b"e\n"]
    assert list(lines_from(tmp_path, 3)) == [b"c\n", b"d\n", b"e\n"]
    assert list(lines_from(tmp_path, 5)) == [b"e\n"]
    assert list(lines_from(tmp_path, 6)) == []


def test_a_record_being_written_is_left_out(tmp_path: Path) -> None:
    _write(tmp_path, 1, b"a\nb")
    assert list(lines_from(tmp_path, 1)) == [b"a\n"]
    assert list(lines(tmp_path / segment_name(1))) == [b"a\n", b"b"]


def test_a_line_without_end_comes_in_pieces(tmp_path: Path) -> None:
    _write(tmp_path, 1, b"x" * (MAX_LINE + 1))
    assert [len(piece) for piece in lines(tmp_path / segment_name(1))] == [MAX_LINE, 1]


def test_an_empty_directory_has_no_records(tmp_path: Path) -> None:
    assert list(lines_from(tmp_path, 1)) == []
