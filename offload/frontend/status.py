"""What the supervisor lets the admin process know: who is ready, and whether we are draining."""

from __future__ import annotations

import mmap


class Status:
    """One byte for draining and one for each serving process, in memory shared over fork.

    Written by the supervisor alone, so that a process that dies cannot leave a lie behind.
    """

    __slots__ = ("_count", "_shared")

    def __init__(self, count: int) -> None:
        self._count = count
        self._shared = mmap.mmap(-1, 1 + count)

    def all_ready(self) -> bool:
        """Whether every serving process has reported that it accepts connections."""
        return self._shared[1 : 1 + self._count] == b"\1" * self._count

    def accepting(self) -> bool:
        """Whether new clients should be sent here: all are ready and none is draining."""
        return self.all_ready() and not self._shared[0]

    def set_ready(self, index: int, ready: bool) -> None:
        """Note whether serving process `index` accepts connections."""
        self._shared[1 + index] = ready

    def set_draining(self) -> None:
        """Note that the front-end is about to stop."""
        self._shared[0] = 1
