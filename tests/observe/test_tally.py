"""Children count locally and write to the real metric only when flushed."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from offload.observe.tally import Distribution, Level, Tally


def test_tally_writes_what_is_pending_once() -> None:
    registry = CollectorRegistry()
    tally = Tally(Counter("things_total", "Things.", registry=registry))
    tally.inc()
    tally.inc(2)
    assert registry.get_sample_value("things_total") == 0
    tally.flush()
    tally.flush()
    assert registry.get_sample_value("things_total") == 3


def test_level_writes_its_value() -> None:
    registry = CollectorRegistry()
    level = Level(Gauge("open_things", "Things.", registry=registry))
    level.inc()
    level.inc(4)
    level.dec()
    level.flush()
    assert registry.get_sample_value("open_things") == 4
    level.set(0)
    level.flush()
    assert registry.get_sample_value("open_things") == 0


def test_distribution_exposes_what_the_library_would() -> None:
    bounds = (0.1, 1.0, 10.0)
    # On, below and above bounds: le is inclusive.
    values = (0.0, 0.1, 0.5, 1.0, 9.9, 10.0, 11.0)
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    distribution = Distribution(
        Histogram("wait_seconds", "Wait.", buckets=bounds, registry=ours), bounds
    )
    reference = Histogram("wait_seconds", "Wait.", buckets=bounds, registry=theirs)
    for value in values:
        distribution.observe(value)
        reference.observe(value)
    distribution.flush()
    distribution.flush()
    assert _samples(ours) == _samples(theirs)


def _samples(registry: CollectorRegistry) -> list[bytes]:
    return [line for line in generate_latest(registry).splitlines() if b"_created" not in line]
