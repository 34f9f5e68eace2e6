"""The files of a chain: segments named by the sequence number of their first record."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from offload.audit.record import MAX_LINE

_NAME = re.compile(r"audit-(\d{16})\.jsonl")


def segment_name(first: int) -> str:
    """The file of the records from `first` on."""
    return f"audit-{first:016}.jsonl"


def first_records(directory: Path) -> list[int]:
    """The numbers by which the segments in a directory are named, ascending."""
    matches = (_NAME.fullmatch(path.name) for path in directory.iterdir())
    return sorted(int(match[1]) for match in matches if match)


def segments(directory: Path) -> list[Path]:
    """The segments in a directory, in order."""
    return [directory / segment_name(first) for first in first_records(directory)]


def lines(path: Path) -> Iterator[bytes]:
    """The lines of a file with their newlines; a longer one than any record comes in pieces.

    The last one has no newline if it is being written now, or was torn by a crash.
    """
    with path.open("rb") as file:
        while content := file.readline(MAX_LINE):
            yield content


def lines_from(directory: Path, seq: int) -> Iterator[bytes]:
    """The complete lines from the record `seq` on, through all segments.

    A record is found by its place, not by what it says: one that was changed is there too.
    """
    firsts = first_records(directory)
    start = max(bisect_right(firsts, seq) - 1, 0)
    for first in firsts[start:]:
        content = lines(directory / segment_name(first))
        for text in islice(content, max(seq - first, 0), None):
            if text.endswith(b"\n"):
                yield text
