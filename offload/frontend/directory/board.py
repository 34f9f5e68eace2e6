"""What the front-end's processes tell each other: memory shared by fork, and bells."""

from __future__ import annotations

import mmap
import os
import zlib
from contextlib import suppress
from struct import Struct

ROW_SIZE = 1 << 20
"""Bytes; memory that nobody has written costs nothing."""
_HEAD = Struct("<II")


class Board:
    """A row of bytes for each serving process, written by itself alone; a bell for each, and one
    for the clerk. Make it before the first fork.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._memory = mmap.mmap(-1, rows * ROW_SIZE + 1)
        self._bells = [os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(rows + 1)]

    @property
    def settled(self) -> bool:
        """Whether the clerk has said that the directory's file is as good as can be had now."""
        return self._memory[-1] == 1

    def settle(self) -> None:
        """Say so."""
        self._memory[-1] = 1

    def write(self, row: int, content: bytes) -> None:
        """Replace a row. Raises ValueError for one that is too long."""
        if len(content) > ROW_SIZE - _HEAD.size:
            raise ValueError(f"{len(content)} bytes are too many for a row")
        start = row * ROW_SIZE
        self.clear(row)
        self._memory[start + _HEAD.size : start + _HEAD.size + len(content)] = content
        # A process that dies halfway leaves a row that does not fit its head.
        _HEAD.pack_into(self._memory, start, len(content), zlib.crc32(content))

    def read(self) -> list[bytes]:
        """The rows that stand, in order."""
        return [row for row in map(self._read, range(self._rows)) if row]

    def clear(self, row: int) -> None:
        """The process of that row is gone."""
        _HEAD.pack_into(self._memory, row * ROW_SIZE, 0, 0)

    def ring(self, row: int) -> None:
        """Wake the process of that row."""
        with suppress(BlockingIOError):  # nobody has answered for long: it is awake already
            os.eventfd_write(self._bells[row], 1)

    def ring_all(self) -> None:
        """Wake all serving processes."""
        for row in range(self._rows):
            self.ring(row)

    def ring_clerk(self) -> None:
        """Wake the clerk."""
        self.ring(self._rows)

    def bell(self, row: int) -> int:
        """A descriptor that is readable when the process of that row was woken."""
        return self._bells[row]

    @property
    def clerks_bell(self) -> int:
        """As `bell`, the clerk's."""
        return self._bells[self._rows]

    def answer(self, bell: int) -> None:
        """Take note of the ringing."""
        with suppress(BlockingIOError):
            os.eventfd_read(bell)

    def close(self) -> None:
        """Release the descriptors."""
        for bell in self._bells:
            os.close(bell)

    def _read(self, row: int) -> bytes:
        start = row * ROW_SIZE
        length, check = _HEAD.unpack_from(self._memory, start)
        if length > ROW_SIZE - _HEAD.size:
            return b""
        content = self._memory[start + _HEAD.size : start + _HEAD.size + length]
        return content if zlib.crc32(content) == check else b""
