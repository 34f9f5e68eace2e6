"""The pool's metrics, with their labelled children at hand."""

from typing import Protocol

from offload.keys.algorithm import Algorithm
from offload.observe.family import CounterFamily, GaugeFamily, HistogramFamily
from offload.observe.tally import Distribution, Tally


class PoolMetrics(Protocol):
    """The part of `offload.observe.metrics` that the pool counts in."""

    SIGNING_OPERATIONS: CounterFamily
    SIGNING_SECONDS: HistogramFamily
    SIGNING_IN_FLIGHT: GaugeFamily
    SIGNING_RETRIES: CounterFamily
    SIGNATURES_REJECTED: CounterFamily
    POOL_LINKS: GaugeFamily
    POOL_MEASURED_RATE: GaugeFamily
    POOL_SHARE: GaugeFamily
    POOL_EJECTIONS: CounterFamily
    SIGNING_HEDGES: CounterFamily


class WorkerMeter:
    """What is counted of one worker; answers are counted in the hot path, the rest in ticks."""

    def __init__(self, metrics: PoolMetrics, worker: str) -> None:
        self._metrics = metrics
        self._worker = worker
        self._answers: dict[Algorithm, tuple[Tally, Distribution]] = {}
        self._in_flight = metrics.SIGNING_IN_FLIGHT.labels(worker)
        self._links = metrics.POOL_LINKS.labels(worker)
        self._rate = metrics.POOL_MEASURED_RATE.labels(worker)
        self._share = metrics.POOL_SHARE.labels(worker)

    def succeeded(self, algorithm: Algorithm, seconds: float) -> None:
        """A signature came, `seconds` after it was asked for."""
        children = self._answers.get(algorithm)
        if children is None:
            children = self._answers[algorithm] = (
                self._metrics.SIGNING_OPERATIONS.labels(self._worker, algorithm.value, "ok"),
                self._metrics.SIGNING_SECONDS.labels(self._worker, algorithm.value),
            )
        children[0].pending += 1
        children[1].observe(seconds)

    def ejected(self, reason: str) -> None:
        """The worker was ejected."""
        self._metrics.POOL_EJECTIONS.labels(self._worker, reason).inc()

    def state(self, in_flight: int, links: int, rate: float, share: float) -> None:
        """How the worker stands now."""
        self._share.value = share
        self._in_flight.value = in_flight
        self._links.value = links
        self._rate.value = rate


class PoolMeter:
    """What is counted of the pool as a whole, none of it in the hot path."""

    def __init__(self, metrics: PoolMetrics) -> None:
        self._metrics = metrics

    def of(self, worker: str) -> WorkerMeter:
        """The meter of one worker."""
        return WorkerMeter(self._metrics, worker)

    def failed(self, worker: str, algorithm: Algorithm, outcome: str) -> None:
        """An operation ended without a signature; `worker` was the last one asked, or ""."""
        self._metrics.SIGNING_OPERATIONS.labels(worker or "none", algorithm.value, outcome).inc()

    def retried(self, reason: str) -> None:
        """An operation goes to another worker."""
        self._metrics.SIGNING_RETRIES.labels(reason).inc()

    def hedged(self, outcome: str) -> None:
        """An operation that was sent to a second worker has come to its end."""
        self._metrics.SIGNING_HEDGES.labels(outcome).inc()

    def rejected(self, worker: str, algorithm: Algorithm) -> None:
        """A signature turned out to be wrong."""
        self._metrics.SIGNATURES_REJECTED.labels(worker, algorithm.value).inc()
