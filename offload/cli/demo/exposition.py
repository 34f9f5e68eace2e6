"""Reading an admin endpoint: readiness, links to workers, and who signed."""

from __future__ import annotations

import urllib.request
from collections import Counter
from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

_SECONDS = 5.0


def is_ready(url: str) -> bool:
    """Whether /readyz at the admin address `url` says so."""
    try:
        _get(f"{url}/readyz")
    except OSError:
        return False
    return True


def links(url: str) -> Counter[str]:
    """Worker -> how many links to it the front-end's processes have."""
    up: Counter[str] = Counter()
    for sample in _samples(url, "offload_pool_links"):
        up[sample.labels["worker"]] += int(sample.value)
    return up


def signatures(url: str) -> Counter[str]:
    """Worker -> how many good signatures the front-end has had from it."""
    made: Counter[str] = Counter()
    for sample in _samples(url, "offload_signing_operations_total"):
        if sample.labels["outcome"] == "ok":
            made[sample.labels["worker"]] += int(sample.value)
    return made


def _samples(url: str, name: str) -> Iterator[Sample]:
    """The samples of a metric; none where there is no answer, as at a start or an end."""
    try:
        text = _get(f"{url}/metrics")
    except OSError:
        return
    for family in text_string_to_metric_families(text):
        yield from (sample for sample in family.samples if sample.name == name)


def _get(url: str) -> str:
    """Raises OSError, also on any status but 2xx."""
    with urllib.request.urlopen(url, timeout=_SECONDS) as answer:  # noqa: S310 - our own address
        text: str = answer.read().decode()
    return text
