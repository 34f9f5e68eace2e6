"""A timer that writes this process's metrics out at a steady pace."""

import asyncio

from offload.observe import metrics


class Flusher:
    """Flushes the metrics every `interval` seconds from `start` until `stop`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, interval: float = 1.0) -> None:
        self._loop = loop
        self._interval = interval
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Flush now and from now on."""
        metrics.flush()
        self._timer = self._loop.call_later(self._interval, self.start)

    def stop(self) -> None:
        """Flush a last time and end; harmless when not started."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        metrics.flush()
