"""The deadlines of all operations under way.

Every operation has the same time to live, so they fall due in the order in which they came: one
deque and one timer do, at a constant cost per operation. Ended operations leave when they reach
the front, which is soon: answers come about in the order of the questions.
"""

from collections import deque
from typing import Generic, Protocol, TypeVar


class Due(Protocol):
    """What can fall due: `deadline` in monotonic seconds, `pending` until it has ended."""

    @property
    def deadline(self) -> float: ...

    @property
    def pending(self) -> bool: ...


D = TypeVar("D", bound=Due)


class DeadlineQueue(Generic[D]):
    """Operations in the order of their deadlines."""

    __slots__ = ("_queue",)

    def __init__(self) -> None:
        self._queue: deque[D] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, operation: D) -> None:
        """Take an operation whose deadline is not before that of the last one."""
        queue = self._queue
        while queue and not queue[0].pending:
            queue.popleft()
        queue.append(operation)

    def prune(self) -> None:
        """Let go of ended operations."""
        queue = self._queue
        while queue and not queue[0].pending:
            queue.popleft()

    def next_due(self) -> float | None:
        """The first deadline of an operation that has not ended."""
        self.prune()
        return self._queue[0].deadline if self._queue else None

    def expire(self, now: float) -> list[D]:
        """Remove and return what has not ended by its deadline."""
        expired: list[D] = []
        queue = self._queue
        while queue and (not queue[0].pending or queue[0].deadline <= now):
            operation = queue.popleft()
            if operation.pending:
                expired.append(operation)
        return expired

    def clear(self) -> list[D]:
        """Remove and return everything that has not ended."""
        pending = [operation for operation in self._queue if operation.pending]
        self._queue.clear()
        return pending
