"""A second worker for an operation that is late: the first signature counts.

A copy of the operation is at each of the two workers. Whichever loses stays under way until its
answer comes, so that what is known of its worker's load and latency stays true.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Final

from offload.pool.errors import SigningError
from offload.pool.operation import SigningOperation

# Late is what takes longer than 95 of 100, but not below this: a timer would not be worth it.
LEAST_DELAY: Final = 0.02
# Until enough was measured.
FIRST_DELAY: Final = 0.1
# Copies that may be sent at once: a worker that stops has this many operations, or thereabouts.
BURST: Final = 64.0
# What there is before anything was asked for.
FIRST_TOKENS: Final = 8.0


class Outcome(StrEnum):
    """How a hedge ended, as the metric names it."""

    WON = "won"
    LOST = "lost"
    FAILED = "failed"


class Budget:
    """So many copies for each operation, and no more: all being late is an overload, in which
    copies would only make it worse.
    """

    __slots__ = ("_counted", "_share", "_tokens")

    def __init__(self, share: float) -> None:
        """share: copies for each operation; 0 allows none at all."""
        self._share = share
        self._tokens = FIRST_TOKENS if share else 0.0
        self._counted = 0

    def earn(self, submitted: int) -> bool:
        """So many operations were asked for, all told; True when a copy may be sent."""
        earned = (submitted - self._counted) * self._share
        self._counted = submitted
        self._tokens = min(self._tokens + earned, BURST)
        return self._tokens >= 1

    def take(self) -> bool:
        """Send a copy; False when that is too many."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def delay(percentile_95: float | None, time_to_live: float) -> float:
    """After how many seconds an operation is late."""
    if percentile_95 is None:
        return FIRST_DELAY
    return min(max(percentile_95, LEAST_DELAY), time_to_live / 2)


class Hedge:
    """The two copies of one operation.

    lost: called with the operation when both have failed, with the last error. ended: called once
    with the outcome.
    """

    __slots__ = ("_ended", "_lost", "first", "operation", "second")

    def __init__(
        self,
        operation: SigningOperation,
        lost: Callable[[SigningOperation, SigningError], None],
        ended: Callable[[Outcome], None],
    ) -> None:
        self.operation = operation
        self._lost = lost
        self._ended = ended
        self.first = operation.copy(self._answered)
        self.second = operation.copy(self._answered)
        self.first.hedge = self.second.hedge = self

    def _answered(self, copy: SigningOperation) -> None:
        operation = self.operation
        other = self.first if copy is self.second else self.second
        signature, error = copy.signature, copy.error
        if signature is not None:
            # It may still be answered: then nobody is told.
            other.cancel()
            self._ended(Outcome.WON if copy is self.second else Outcome.LOST)
            if operation.pending:
                operation.pending = False
                operation.worker = copy.worker
                operation.succeed(signature)
            return
        operation.tried |= copy.tried
        operation.refused |= copy.refused
        if error is not None and other.error is not None:
            self._ended(Outcome.FAILED)
            if operation.pending:
                self._lost(operation, error)
