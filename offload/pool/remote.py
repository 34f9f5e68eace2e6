"""A worker as the pool sees it: its links, the work it has, and how fast it does that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple, Protocol

from offload.pool.link import Answers, Link
from offload.pool.meter import WorkerMeter
from offload.pool.operation import SigningOperation
from offload.pool.rate import RateEstimator
from offload.wire.message import Signature


def _load(link: Link) -> int:
    return len(link.pending)


class WorkerStatus(NamedTuple):
    """A snapshot of one worker: rate in CPU-µs of work per second, latency in seconds."""

    name: str
    address: str
    links: int
    in_flight: int
    outstanding: float
    rate: float
    latency: float


class RemoteOwner(Protocol):
    """Whom a worker reports to."""

    def worker_changed(self) -> None:
        """The worker has become usable or unusable."""

    def worker_refused(
        self, worker: RemoteWorker, operation: SigningOperation, code: int, now: float
    ) -> None:
        """The worker answered with an error."""

    def worker_lost(
        self, worker: RemoteWorker, operations: list[SigningOperation], reason: str
    ) -> None:
        """A link broke with these unanswered."""


class RemoteWorker:
    """A `choice.Candidate` that can be sent operations while it is `usable`."""

    __slots__ = (
        "_clock",
        "_estimator",
        "_links",
        "_loop",
        "_meter",
        "_owner",
        "_usable",
        "address",
        "in_flight",
        "name",
        "outstanding",
        "rate",
    )

    def __init__(
        self,
        name: str,
        address: str,
        owner: RemoteOwner,
        meter: WorkerMeter,
        *,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
    ) -> None:
        self.name = name
        self.address = address
        self._owner = owner
        self._meter = meter
        self._loop = loop
        self._clock = clock
        self._estimator = RateEstimator(clock())
        self._links: list[Link] = []
        self._usable: list[Link] = []
        self.in_flight = 0
        self.outstanding = 0.0
        self.rate = self._estimator.rate

    @property
    def usable(self) -> bool:
        """Whether an operation can be sent now."""
        return bool(self._usable)

    @property
    def status(self) -> WorkerStatus:
        return WorkerStatus(
            self.name,
            self.address,
            len(self._usable),
            self.in_flight,
            self.outstanding,
            self.rate,
            self._estimator.latency,
        )

    def new_link(self) -> Link:
        """A protocol for a connection to this worker."""
        return Link(self, self._loop, self._clock)

    def send(self, operation: SigningOperation, now: float) -> None:
        """Send an operation over the least loaded link; the worker must be usable."""
        if not self.in_flight:
            self._estimator.idle(now)
            self.rate = self._estimator.rate
        self.in_flight += 1
        self.outstanding += operation.cost
        operation.sent = now
        operation.worker = self.name
        links = self._usable
        link = links[0] if len(links) == 1 else min(links, key=_load)
        link.send(operation)

    def withdraw(self, operation: SigningOperation, now: float) -> None:
        """Wait no longer for an operation that is under way here."""
        if operation.link is not None:
            operation.link.withdraw(operation)
            self._release(operation)
            self._measure(0.0, now)

    def tick(self, now: float) -> None:
        """Called at a steady pace."""
        for link in list(self._links):
            link.tick()
        if self.in_flight:
            self._measure(0.0, now)
        else:
            self._estimator.idle(now)
            self.rate = self._estimator.rate
        self._meter.state(self.in_flight, len(self._usable), self.rate)

    def close(self) -> list[asyncio.Future[str]]:
        """Close all links; the futures resolve when they are closed."""
        for link in list(self._links):
            link.close()
        return [link.closed for link in self._links]

    def abort(self) -> None:
        """Close what links there are at once."""
        for link in list(self._links):
            link.abort("closed by this side")

    def link_opened(self, link: Link) -> None:
        self._links.append(link)

    def link_changed(self, link: Link) -> None:
        self._usable = [link for link in self._links if link.usable]
        self._meter.state(self.in_flight, len(self._usable), self.rate)
        self._owner.worker_changed()

    def link_answered(self, answers: Answers, now: float) -> None:
        work = 0.0
        for operation, message in answers:
            self._release(operation)
            if message.__class__ is Signature:
                work += operation.cost
        # Before the callbacks, which may send the next operations.
        self._measure(work, now)
        self._estimator.answered(now - answers[-1][0].sent)
        meter = self._meter
        for operation, message in answers:
            if not operation.pending:
                continue
            if isinstance(message, Signature):
                operation.pending = False
                meter.succeeded(operation.algorithm, now - operation.started)
                try:
                    operation.succeed(message.signature)
                except Exception as error:
                    self._loop.call_exception_handler(
                        {"message": "error in a signing operation's callback", "exception": error}
                    )
            else:
                self._owner.worker_refused(self, operation, message.code, now)

    def link_lost(self, link: Link, operations: list[SigningOperation], reason: str) -> None:
        if link in self._links:
            self._links.remove(link)
        if operations:
            self._measure(0.0, self._clock())
            for operation in operations:
                self._release(operation)
            self._owner.worker_lost(self, operations, reason)

    def _release(self, operation: SigningOperation) -> None:
        self.in_flight -= 1
        # Sums of floats drift; nothing in flight is nothing outstanding.
        self.outstanding = self.outstanding - operation.cost if self.in_flight else 0.0

    def _measure(self, work: float, now: float) -> None:
        self._estimator.busy(work, now)
        self.rate = self._estimator.rate
