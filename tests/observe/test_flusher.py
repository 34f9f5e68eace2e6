"""The flusher writes on its timer and once more at the end."""

import asyncio

from offload.observe import metrics
from offload.observe.flusher import Flusher


def _read(reason: str) -> float | None:
    return metrics.REGISTRY.get_sample_value("offload_connection_errors_total", {"reason": reason})


async def test_flushes_until_stopped() -> None:
    tally = metrics.CONNECTION_ERRORS.labels("flusher-test")
    flusher = Flusher(asyncio.get_running_loop(), interval=0.001)
    flusher.start()
    tally.inc()
    # The loop runs timers in order of their time: by then the flusher's second turn has come.
    await asyncio.sleep(0.01)
    assert _read("flusher-test") == 1
    tally.inc()
    flusher.stop()
    assert _read("flusher-test") == 2
    flusher.stop()
