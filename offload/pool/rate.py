"""How fast one worker is, measured from what it does.

The rate is work completed over time spent with work outstanding, both fading with *busy* time, so
that a worker that rests is not taken for a slow one. What was measured fades with idle time too,
back to the first assumption, which the worker's capacity scales: a worker that once looked slow is
asked again some day.
"""

from math import exp

# A core of the machine where Algorithm.cost was measured does a CPU-µs each µs.
ASSUMED_RATE = 1e6
# The assumption weighs as much as this many busy seconds, and measurements fade over so many.
ASSUMED_SECONDS = 0.005
WINDOW_SECONDS = 1.0
IDLE_SECONDS = 30.0
# A worker that completes nothing must still have an expected time, however long.
LEAST_RATE = 1.0
# Gain of the smoothed round-trip time of RFC 6298, section 2.3.
LATENCY_GAIN = 1 / 8


class RateEstimator:
    """Rate in cost (CPU-µs) per second and latency in seconds of one worker."""

    __slots__ = ("_assumed", "_busy", "_since", "_work", "latency", "rate")

    def __init__(self, now: float, capacity: float = 1.0) -> None:
        """capacity: relative to a core of the machine where costs were measured."""
        self._assumed = ASSUMED_RATE * capacity
        self._work = self._assumed * ASSUMED_SECONDS
        self._busy = ASSUMED_SECONDS
        self._since = now
        self.rate = self._assumed
        self.latency = 0.0

    def idle(self, now: float) -> None:
        """The worker had nothing to do since the last call; call this when it gets work."""
        elapsed = now - self._since
        if elapsed <= 0:
            return
        self._since = now
        kept = exp(-elapsed / IDLE_SECONDS)
        self._work = self._work * kept + self._assumed * ASSUMED_SECONDS * (1 - kept)
        self._busy = self._busy * kept + ASSUMED_SECONDS * (1 - kept)
        self.rate = max(self._work / self._busy, LEAST_RATE)

    def busy(self, work: float, now: float) -> None:
        """The worker had something to do since the last call, and completed `work` of it."""
        elapsed = now - self._since
        if elapsed > 0:
            self._since = now
            kept = exp(-elapsed / WINDOW_SECONDS)
            self._work *= kept
            self._busy = self._busy * kept + elapsed
        self._work += work
        self.rate = max(self._work / self._busy, LEAST_RATE)

    def answered(self, latency: float) -> None:
        """One operation was answered `latency` seconds after it was sent."""
        if self.latency:
            self.latency += (latency - self.latency) * LATENCY_GAIN
        else:
            self.latency = latency
