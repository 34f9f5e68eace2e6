"""Families hand out one cached child for each combination of label values."""

import pytest
from prometheus_client import CollectorRegistry

from offload.observe.family import CounterFamily, GaugeFamily, HistogramFamily


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def test_children_are_cached(registry: CollectorRegistry) -> None:
    family = CounterFamily(registry, "requests_total", "Requests.", "site", "outcome")
    assert family.labels("a", "ok") is family.labels("a", "ok")
    assert family.labels("a", "ok") is not family.labels("b", "ok")


def test_flush_writes_every_child(registry: CollectorRegistry) -> None:
    family = CounterFamily(registry, "requests_total", "Requests.", "site")
    family.labels("a").inc()
    family.labels("b").inc(5)
    family.flush()
    assert registry.get_sample_value("requests_total", {"site": "a"}) == 1
    assert registry.get_sample_value("requests_total", {"site": "b"}) == 5


def test_metric_without_labels_has_one_child(registry: CollectorRegistry) -> None:
    gauge = GaugeFamily(registry, "open_things", "Things.")
    gauge.labels().set(3)
    gauge.flush()
    assert registry.get_sample_value("open_things") == 3


def test_histogram_child_takes_the_familys_buckets(registry: CollectorRegistry) -> None:
    family = HistogramFamily(registry, "wait_seconds", "Wait.", "site", buckets=(1.0, 2.0))
    family.labels("a").observe(1.5)
    family.flush()
    value = registry.get_sample_value
    assert value("wait_seconds_bucket", {"site": "a", "le": "1.0"}) == 0
    assert value("wait_seconds_bucket", {"site": "a", "le": "2.0"}) == 1
    assert value("wait_seconds_sum", {"site": "a"}) == 1.5


@pytest.mark.parametrize("values", [(), ("a", "b")])
def test_wrong_number_of_labels_is_refused(
    registry: CollectorRegistry, values: tuple[str, ...]
) -> None:
    family = CounterFamily(registry, "requests_total", "Requests.", "site")
    with pytest.raises(ValueError, match="requests_total takes the labels"):
        family.labels(*values)
