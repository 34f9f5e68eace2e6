"""What is declared is well named and bounded, and promtool agrees."""

import subprocess

import pytest

from offload.observe import exposition, metrics
from offload.observe.family import CounterFamily, Family, HistogramFamily
from offload.observe.tally import Distribution


@pytest.mark.parametrize("family", metrics.FAMILIES, ids=lambda family: family.name)
def test_names_follow_the_conventions(family: object) -> None:
    assert isinstance(family, Family)
    assert family.name.startswith("offload_")
    assert family.name.endswith("_total") == isinstance(family, CounterFamily)
    if isinstance(family, HistogramFamily):
        assert family.name.endswith("_seconds")
    # These would grow with what clients send.
    assert not {"server_name", "sni", "client", "address", "path"} & set(family.label_names)


def test_every_declaration_is_flushed() -> None:
    declared = [value for value in vars(metrics).values() if isinstance(value, Family)]
    assert {id(family) for family in declared} == {id(family) for family in metrics.FAMILIES}
    assert len(declared) > 20


def test_flush_reaches_the_registry() -> None:
    before = metrics.REGISTRY.get_sample_value("offload_connections_total") or 0
    metrics.CONNECTIONS_ACCEPTED.labels().inc()
    metrics.flush()
    assert metrics.REGISTRY.get_sample_value("offload_connections_total") == before + 1


@pytest.mark.needs("promtool")
def test_promtool_finds_nothing_to_complain_of() -> None:
    for family in metrics.FAMILIES:
        child = family.labels(*("x" for _ in family.label_names))
        if isinstance(child, Distribution):
            child.observe(0.01)
        else:
            child.inc()
    metrics.flush()
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=exposition.render(),
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
