"""How long workers take, by algorithm: who is far slower than the others, and what is late.

Latencies are samples, seconds from sending to the answer without the way to another zone.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Final

from offload.keys.algorithm import Algorithm

SAMPLES: Final = 64
# Fewer say nothing.
LEAST_SAMPLES: Final = 8
MEMORY_SECONDS: Final = 10.0
# Far slower: so many times what the others take, and so much more, since below that the noise of a
# busy machine is larger than the signature.
FAR: Final = 4.0
FAR_SECONDS: Final = 0.003

Sample = tuple[Algorithm, float]
Medians = Mapping[Algorithm, float]


class Latencies:
    """What one worker took of late."""

    __slots__ = ("_windows",)

    def __init__(self) -> None:
        self._windows: dict[Algorithm, deque[tuple[float, float]]] = {}

    def add(self, samples: Iterable[Sample], now: float) -> None:
        """Take samples and forget what is too old."""
        for algorithm, latency in samples:
            window = self._windows.get(algorithm)
            if window is None:
                window = self._windows[algorithm] = deque(maxlen=SAMPLES)
            window.append((now, latency))
        for window in self._windows.values():
            while window and window[0][0] < now - MEMORY_SECONDS:
                window.popleft()

    def clear(self) -> None:
        """Forget everything."""
        self._windows.clear()

    def values(self, algorithm: Algorithm) -> list[float]:
        """The samples of an algorithm."""
        return [latency for _, latency in self._windows.get(algorithm, ())]

    @property
    def algorithms(self) -> tuple[Algorithm, ...]:
        """What there may be samples of."""
        return tuple(self._windows)

    def medians(self) -> dict[Algorithm, float]:
        """The median for each algorithm of which there are samples enough."""
        return {
            algorithm: median(latency for _, latency in window)
            for algorithm, window in self._windows.items()
            if len(window) >= LEAST_SAMPLES
        }


def limits(others: Sequence[Medians]) -> dict[Algorithm, float]:
    """For each algorithm, the latency beyond which one is far slower than these others."""
    found: dict[Algorithm, list[float]] = {}
    for medians in others:
        for algorithm, latency in medians.items():
            found.setdefault(algorithm, []).append(latency)
    return {
        algorithm: max(FAR * middle, middle + FAR_SECONDS)
        for algorithm, middle in ((each, median(values)) for each, values in found.items())
    }


def is_far(medians: Medians, others: Medians) -> bool:
    """Whether it is beyond the `limits` of the others for any algorithm."""
    return any(
        algorithm in others and latency > others[algorithm]
        for algorithm, latency in medians.items()
    )


def percentile_95(workers: Iterable[Latencies], algorithm: Algorithm) -> float | None:
    """What 95 of 100 answers do not exceed, over all workers; None while there are too few."""
    values = sorted(value for worker in workers for value in worker.values(algorithm))
    if len(values) < LEAST_SAMPLES:
        return None
    return values[min(len(values) * 95 // 100, len(values) - 1)]
