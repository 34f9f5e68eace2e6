"""The text that a scrape reads: the sum over all processes of the command."""

from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from offload.observe import metrics, multiprocess

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST


def render() -> bytes:
    """Return the metrics in the Prometheus text format; blocks on reading files.

    Values of this process are as of its last `metrics.flush`.
    """
    where = multiprocess.directory()
    if where is None:
        return generate_latest(metrics.REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(where))
    return generate_latest(registry)
