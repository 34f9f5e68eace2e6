"""Whether a worker may be asked, and for what share of its work: a state machine, given the time.

| phase     | becomes   | when                                                                  |
|-----------|-----------|-----------------------------------------------------------------------|
| SOUND     | EJECTED   | it fails time after time, is far slower than its peers, signs wrongly |
| EJECTED   | RETURNING | its time is over and it has answered some operations well, one a time |
| RETURNING | SOUND     | its share has grown to the whole                                      |
| RETURNING | EJECTED   | as from SOUND, but sooner                                             |
| any       | RETURNING | it was away, and is linked again                                      |

A worker that has fallen silent is not ejected: its link counts as down (`link`), as if it was away.
How many may be ejected at once is not for one worker to know: that is `may_eject`.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

# Failures in a row, with no success between.
FAILURES: Final = 5
FAILURES_WHILE_RETURNING: Final = 2
# Looks in a row at which it was far slower than its peers.
SLOW_LOOKS: Final = 2
# Good answers in a row, to operations sent one a time, before it comes back.
PROBES: Final = 3
PROBE_SECONDS: Final = 0.25
# How long until the first probe; doubled with each ejection that follows soon.
EJECTED_SECONDS: Final = 2.0
EJECTED_LIMIT: Final = 60.0
# Wrong signatures are no passing weakness.
DISTRUSTED_SECONDS: Final = 30.0
DISTRUSTED_LIMIT: Final = 600.0
# After so long without an ejection the next one is a first one.
FORGIVEN_SECONDS: Final = 60.0
RAMP_SECONDS: Final = 5.0
LEAST_SHARE: Final = 0.05


class Phase(StrEnum):
    """Where a worker stands."""

    SOUND = "sound"
    EJECTED = "ejected"
    RETURNING = "returning"


class Reason(StrEnum):
    """Why a worker was ejected."""

    FAILURES = "failures"
    LATENCY = "latency"
    WRONG_SIGNATURE = "wrong_signature"


class Health:
    """One worker's health. Times are monotonic seconds.

    share: the chance with which the worker is a candidate for an operation, 0 to 1. eventful:
    whether a success would change anything; where it is false none needs to be told.
    """

    __slots__ = (
        "_ejections",
        "_failures",
        "_good",
        "_probe_at",
        "_since",
        "_slow",
        "_until",
        "eventful",
        "phase",
        "reason",
        "share",
    )

    def __init__(self) -> None:
        self.phase = Phase.SOUND
        self.reason: Reason | None = None
        self.share = 1.0
        self.eventful = False
        self._failures = self._slow = self._good = self._ejections = 0
        self._since = self._until = self._probe_at = float("-inf")

    def succeeded(self, sent: float) -> None:
        """It answered well an operation that was sent then."""
        self._failures = 0
        if self.phase is Phase.EJECTED:
            # What was sent before says nothing about how it is now.
            if sent >= self._until:
                self._good += 1
        else:
            self.eventful = self.phase is not Phase.SOUND

    def failed(self, now: float) -> bool:
        """It failed; True when it ought to be ejected."""
        self.eventful = True
        if self.phase is Phase.EJECTED:
            self._postpone(now)
            return False
        self._failures += 1
        limit = FAILURES if self.phase is Phase.SOUND else FAILURES_WHILE_RETURNING
        return self._failures >= limit

    def seen(self, slow: bool) -> bool:
        """Its latency was looked at; True when it ought to be ejected."""
        self._slow = self._slow + 1 if slow and self.phase is not Phase.EJECTED else 0
        return self._slow >= SLOW_LOOKS

    def eject(self, reason: Reason, now: float) -> None:
        """Give it no work but probes, after a while."""
        if now - self._since > FORGIVEN_SECONDS and self.phase is Phase.SOUND:
            self._ejections = 0
        self._ejections += 1
        self.phase, self.reason, self.share = Phase.EJECTED, reason, 0.0
        self.eventful = True
        self._failures = self._slow = 0
        self._postpone(now)

    def probe_due(self, now: float) -> bool:
        """Whether it is to be sent one operation now, to see how it does."""
        return self.phase is Phase.EJECTED and now >= self._probe_at

    def probed(self, now: float) -> None:
        """It was sent one."""
        self._probe_at = now + PROBE_SECONDS

    def come_back(self, now: float) -> None:
        """It was away and is linked again. An ejected one stays ejected: the link is not why."""
        if self.phase is not Phase.EJECTED:
            self._return(now)

    def step(self, now: float) -> bool:
        """Go on with time; True when the phase has changed."""
        if self.phase is Phase.EJECTED and self._good >= PROBES:
            self._return(now)
            return True
        if self.phase is Phase.RETURNING:
            self.share = min(max((now - self._since) / RAMP_SECONDS, LEAST_SHARE), 1.0)
            if self.share >= 1.0:
                self.phase, self.reason, self._since = Phase.SOUND, None, now
                self.eventful = self._failures > 0
                return True
        return False

    def _return(self, now: float) -> None:
        self.phase, self.share, self._since = Phase.RETURNING, LEAST_SHARE, now
        self._failures = self._slow = 0
        self.eventful = True

    def _postpone(self, now: float) -> None:
        first, limit = EJECTED_SECONDS, EJECTED_LIMIT
        if self.reason is Reason.WRONG_SIGNATURE:
            first, limit = DISTRUSTED_SECONDS, DISTRUSTED_LIMIT
        self._good = 0
        # 2^16 times any of them is beyond its limit.
        self._until = now + min(first * 2 ** min(self._ejections - 1, 16), limit)
        self._probe_at = self._until


def may_eject(others: Iterable[tuple[Phase, bool]], most: float) -> bool:
    """Whether one more may be ejected: `others` are the other workers' phases and whether each is
    linked; `most` is the greatest share of all that may be out at once.

    Never the last one that is linked and not ejected.
    """
    count, out, left = 1, 1, 0
    for phase, linked in others:
        count += 1
        out += phase is Phase.EJECTED
        left += linked and phase is not Phase.EJECTED
    return left > 0 and out <= most * count
