"""Reading the front-end's admin endpoint: readiness, and who signed."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections import Counter

from prometheus_client.parser import text_string_to_metric_families

_SECONDS = 5.0


def is_ready(url: str) -> bool:
    """Whether /readyz at the admin address `url` says so."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=_SECONDS) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except OSError:
        return False


def signatures(url: str) -> Counter[str]:
    """Worker -> how many signatures it has made, by the front-end's metrics."""
    made: Counter[str] = Counter()
    try:
        with urllib.request.urlopen(f"{url}/metrics", timeout=_SECONDS) as answer:  # noqa: S310
            text = answer.read().decode()
    except OSError:
        return made
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "offload_signing_operations_total" and _answered(sample.labels):
                made[sample.labels["worker"]] += int(sample.value)
    return made


def _answered(labels: dict[str, str]) -> bool:
    return labels.get("worker", "none") != "none" and labels.get("outcome") == "ok"
