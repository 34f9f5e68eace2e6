"""What the pool counts, in metrics of the test's own."""

import pytest
from prometheus_client import CollectorRegistry

from offload.keys.algorithm import Algorithm
from offload.observe.family import CounterFamily, GaugeFamily, HistogramFamily
from offload.pool.meter import PoolMeter


class Metrics:
    """The families that the pool needs, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.SIGNING_OPERATIONS = CounterFamily(
            registry, "operations_total", "-", "worker", "algorithm", "outcome"
        )
        self.SIGNING_SECONDS = HistogramFamily(
            registry, "seconds", "-", "worker", "algorithm", buckets=(0.001, 0.1)
        )
        self.SIGNING_IN_FLIGHT = GaugeFamily(registry, "in_flight", "-", "worker")
        self.SIGNING_RETRIES = CounterFamily(registry, "retries_total", "-", "reason")
        self.SIGNATURES_REJECTED = CounterFamily(
            registry, "rejected_total", "-", "worker", "algorithm"
        )
        self.POOL_LINKS = GaugeFamily(registry, "links", "-", "worker")
        self.POOL_MEASURED_RATE = GaugeFamily(registry, "rate", "-", "worker")
        self.POOL_SHARE = GaugeFamily(registry, "share", "-", "worker")
        self.SIGNING_HEDGES = CounterFamily(registry, "hedges_total", "-", "outcome")
        self.POOL_EJECTIONS = CounterFamily(registry, "ejections_total", "-", "worker", "reason")

    def value(self, name: str, **labels: str) -> float | None:
        """The value as it would be scraped."""
        for family in vars(self).values():
            if family is not self.registry:
                family.flush()
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def test_answers_are_counted_by_algorithm(metrics: Metrics) -> None:
    meter = PoolMeter(metrics).of("alpha")
    meter.succeeded(Algorithm.P_256, 0.0005)
    meter.succeeded(Algorithm.P_256, 0.05)
    meter.succeeded(Algorithm.RSA_2048, 0.05)
    p_256 = {"worker": "alpha", "algorithm": "p-256"}
    assert metrics.value("operations_total", outcome="ok", **p_256) == 2
    assert metrics.value("seconds_count", **p_256) == 2
    assert metrics.value("seconds_bucket", le="0.001", **p_256) == 1
    assert metrics.value("seconds_sum", worker="alpha", algorithm="rsa-2048") == 0.05


def test_failures_are_counted_by_the_last_worker_asked(metrics: Metrics) -> None:
    meter = PoolMeter(metrics)
    meter.failed("", Algorithm.P_256, "no_worker")
    meter.failed("alpha", Algorithm.P_256, "refused")
    for worker, outcome in (("none", "no_worker"), ("alpha", "refused")):
        labels = {"worker": worker, "algorithm": "p-256", "outcome": outcome}
        assert metrics.value("operations_total", **labels) == 1


def test_retries_rejections_and_state(metrics: Metrics) -> None:
    meter = PoolMeter(metrics)
    meter.retried("link_lost")
    meter.rejected("alpha", Algorithm.P_384)
    meter.hedged("won")
    assert metrics.value("hedges_total", outcome="won") == 1
    meter.of("alpha").state(in_flight=3, links=2, rate=5e5, share=0.25)
    meter.of("alpha").ejected("latency")
    assert metrics.value("share", worker="alpha") == 0.25
    assert metrics.value("ejections_total", worker="alpha", reason="latency") == 1
    assert metrics.value("retries_total", reason="link_lost") == 1
    assert metrics.value("rejected_total", worker="alpha", algorithm="p-384") == 1
    assert metrics.value("in_flight", worker="alpha") == 3
    assert metrics.value("links", worker="alpha") == 2
    assert metrics.value("rate", worker="alpha") == 5e5
