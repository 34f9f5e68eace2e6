"""What the worker's processes know of each other: memory shared by fork, one row for each."""

import mmap
from enum import IntEnum


class State(IntEnum):
    """What a serving process is doing."""

    DOWN = 0
    SERVING = 1
    DRAINING = 2


class Board:
    """Number of links and state of each serving process; each writes its own row only.

    A row is two machine words, so that no lock is needed.
    """

    def __init__(self, rows: int) -> None:
        self._cells = memoryview(mmap.mmap(-1, 16 * rows)).cast("Q")
        self._rows = rows

    def set_links(self, row: int, count: int) -> None:
        """Say how many links the process has."""
        self._cells[2 * row] = count

    def set_state(self, row: int, state: State) -> None:
        """Say what the process is doing."""
        self._cells[2 * row + 1] = state

    def links(self, row: int) -> int:
        """How many links the process has."""
        return self._cells[2 * row]

    def state(self, row: int) -> State:
        """What the process is doing."""
        return State(self._cells[2 * row + 1])

    def clear(self, row: int) -> None:
        """The process is gone."""
        self.set_links(row, 0)
        self.set_state(row, State.DOWN)

    def ready(self) -> bool:
        """Whether a process is serving."""
        return any(self.state(row) is State.SERVING for row in range(self._rows))
