"""A worker as the pool sees it: its links, the work it has, and how fast it does that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from itertools import islice
from math import inf, isfinite
from typing import Final, NamedTuple, Protocol

from offload.keys.algorithm import Algorithm
from offload.pool.health import Health, Phase, Reason
from offload.pool.hedge import FIRST_DELAY
from offload.pool.latency import Latencies, Sample
from offload.pool.link import Answers, Link
from offload.pool.meter import WorkerMeter
from offload.pool.operation import SigningOperation
from offload.pool.rate import RateEstimator
from offload.pool.spec import WorkerSpec
from offload.wire.error import ErrorCode
from offload.wire.message import Signature

# What says something of the key or of the request, and nothing of the worker.
_NO_FAULT: Final = frozenset(
    {
        ErrorCode.KEY_NOT_FOUND,
        ErrorCode.CERT_NOT_FOUND,
        ErrorCode.FORMAT,
        ErrorCode.BAD_OPCODE,
        ErrorCode.UNEXPECTED_OPCODE,
    }
)
# So many of the oldest operations are looked at for one that is late.
_LATE_LIMIT: Final = 256
# Between two ticks: more would say no more, and would have to be sorted.
_SAMPLES_A_TICK: Final = 32


def _load(link: Link) -> int:
    return len(link.pending)


class WorkerStatus(NamedTuple):
    """A snapshot of one worker: rate in CPU-µs of work per second; latency, distance in seconds;
    share: with what chance it is a candidate, 0 while it is ejected.
    """

    name: str
    address: str
    links: int
    in_flight: int
    outstanding: float
    rate: float
    latency: float
    zone: str
    distance: float
    phase: Phase
    share: float


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
        """A link broke or fell silent with these unanswered."""

    def worker_ailing(self, worker: RemoteWorker, reason: Reason, now: float) -> None:
        """The worker ought to be ejected."""


class RemoteWorker:
    """A `choice.Candidate` that can be sent operations while it is `usable`.

    distance: the measured round trip to a worker of another zone, 0 to one of our own or where
    either zone is not known. A worker that has been told to `retire` is given no more work, and
    closes its links when nothing is under way on them.
    """

    __slots__ = (
        "_away",
        "_clock",
        "_estimator",
        "_links",
        "_loop",
        "_meter",
        "_owner",
        "_remote",
        "_retiring",
        "_samples",
        "_usable",
        "distance",
        "health",
        "in_flight",
        "latencies",
        "limits",
        "name",
        "outstanding",
        "rate",
        "spec",
    )

    def __init__(
        self,
        spec: WorkerSpec,
        owner: RemoteOwner,
        meter: WorkerMeter,
        *,
        zone: str = "",
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
    ) -> None:
        """zone: the front-end's own."""
        self.spec = spec
        self.name = spec.name
        self._remote = bool(zone and spec.zone) and zone != spec.zone
        self._retiring = False
        self.distance = 0.0
        self._owner = owner
        self._meter = meter
        self._loop = loop
        self._clock = clock
        self._estimator = RateEstimator(clock(), spec.capacity)
        self._links: list[Link] = []
        self._usable: list[Link] = []
        self._samples: list[Sample] = []
        # Whether it was linked before and is not now.
        self._away = False
        self.health = Health()
        self.latencies = Latencies()
        # Beyond these an answer is far slower than those of its peers.
        self.limits: Mapping[Algorithm, float] = {}
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
            str(self.spec.address),
            len(self._usable),
            self.in_flight,
            self.outstanding,
            self.rate,
            self._estimator.latency,
            self.spec.zone,
            self.distance,
            self.health.phase,
            self.health.share,
        )

    @property
    def gone(self) -> bool:
        """Whether it has retired and no link is left."""
        return self._retiring and not self._links

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

    def replace(self, operation: SigningOperation, copy: SigningOperation) -> None:
        """Have `copy` under way here in place of `operation`, which is."""
        assert operation.link is not None
        copy.sent, copy.worker = operation.sent, self.name
        operation.link.replace(operation, copy)

    def oldest(self, now: float) -> float:
        """When the operation was sent that has been under way for longest; `now` without any."""
        firsts = (next(iter(link.pending.values()), None) for link in self._links)
        return min((each.sent for each in firsts if each is not None), default=now)

    def late(
        self, now: float, delays: Mapping[Algorithm, float], least: float
    ) -> list[SigningOperation]:
        """What takes longer than `delays` say and is nobody else's yet; `least` is the least."""
        found = []
        for link in self._links:
            # In the order in which they were sent; what is ahead of all says enough.
            for operation in islice(link.pending.values(), _LATE_LIMIT):
                age = now - operation.sent
                if age < least:
                    break
                if operation.hedge is None and age >= delays.get(operation.algorithm, FIRST_DELAY):
                    found.append(operation)
        return found

    def withdraw(self, operation: SigningOperation, now: float) -> None:
        """Wait no longer for an operation if it is under way here."""
        if operation.link is not None and operation.link in self._links:
            operation.link.withdraw(operation)
            self._release(operation)
            self._measure(0.0, now)

    def failed(self, now: float) -> None:
        """It did not do what it was asked to."""
        if self.health.failed(now):
            self._owner.worker_ailing(self, Reason.FAILURES, now)

    def eject(self, reason: Reason, now: float) -> None:
        """Be no candidate for a while."""
        self.health.eject(reason, now)
        self.latencies.clear()
        self._samples.clear()
        self._meter.ejected(reason)

    def step(self, now: float) -> bool:
        """Go on with its return; True when its phase has changed."""
        changed = self.health.step(now)
        if changed and self.health.phase is Phase.RETURNING:
            self._forget(now)
        return changed

    def tick(self, now: float) -> None:
        """Called at a steady pace."""
        for link in list(self._links):
            link.tick()
        if self.in_flight:
            self._measure(0.0, now)
        else:
            self._estimator.idle(now)
            self.rate = self._estimator.rate
        self._locate()
        self.latencies.add(self._samples, now)
        self._samples.clear()
        if not self._retiring:
            self._report()
        elif not self.in_flight:
            self._leave()

    def retire(self) -> None:
        """Take no more work; `gone` is true when what is under way has ended."""
        self._retiring = True
        # The metric stays, since values live in files by label; at nothing, which is the truth.
        self._meter.state(0, 0, 0.0, 0.0)
        if not self.in_flight:
            self._leave()

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
        if self._retiring:
            return
        self._usable = [link for link in self._links if link.usable]
        self._locate()
        if self._usable and self._away:
            self._return()
        elif not self._usable:
            self._away = self._away or not link.paused
        self._report()
        self._owner.worker_changed()

    def link_answered(self, answers: Answers, now: float) -> None:
        work = 0.0
        for operation, message in answers:
            self._release(operation)
            if message.__class__ is Signature:
                work += operation.cost
        # Before the callbacks, which may send the next operations.
        self._measure(work, now)
        self._learn(answers, now)
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
                self._refused(operation, message.code, now)

    def link_muted(self, link: Link, operations: list[SigningOperation]) -> None:
        self._hand_back(operations, "the worker has fallen silent")

    def link_lost(self, link: Link, operations: list[SigningOperation], reason: str) -> None:
        if link in self._links:
            self._links.remove(link)
        if operations:
            self._hand_back(operations, reason)

    def _hand_back(self, operations: list[SigningOperation], reason: str) -> None:
        now = self._clock()
        self._measure(0.0, now)
        for operation in operations:
            self._release(operation)
        if not self._retiring:
            self.failed(now)
        self._owner.worker_lost(self, operations, reason)

    def _refused(self, operation: SigningOperation, code: int, now: float) -> None:
        if code not in _NO_FAULT:
            self.failed(now)
        self._owner.worker_refused(self, operation, code, now)

    def _learn(self, answers: Answers, now: float) -> None:
        last = answers[-1][0]
        latency = now - last.sent
        self._estimator.answered(latency)
        if len(self._samples) < _SAMPLES_A_TICK:
            self._samples.append((last.algorithm, latency - self.distance))
        if self.health.eventful:
            self._judge(answers, now)

    def _judge(self, answers: Answers, now: float) -> None:
        """Tell its health of what it did well; too late is not well."""
        for operation, message in answers:
            limit = self.limits.get(operation.algorithm, inf)
            if message.__class__ is not Signature:
                continue
            if self.health.share or now - operation.sent - self.distance <= limit:
                self.health.succeeded(operation.sent)
            else:
                self.health.failed(now)

    def _return(self) -> None:
        """It was away and is linked again: what was measured before says little now."""
        now = self._clock()
        self._away = False
        self.health.come_back(now)
        self._forget(now)

    def _forget(self, now: float) -> None:
        self.latencies.clear()
        self._samples.clear()
        if not self.in_flight:
            self._estimator = RateEstimator(now, self.spec.capacity)
            self.rate = self._estimator.rate

    def _report(self) -> None:
        share = self.health.share if self._usable else 0.0
        self._meter.state(self.in_flight, len(self._usable), self.rate, share)

    def _leave(self) -> None:
        """Say goodbye; whoever does not answer by the next tick is left without."""
        for link in list(self._links):
            if link.closing:
                link.abort("closed by this side")
            else:
                link.close()

    def _locate(self) -> None:
        if self._remote:
            nearest = min((link.round_trip for link in self._links), default=self.distance)
            self.distance = nearest if isfinite(nearest) else self.distance

    def _release(self, operation: SigningOperation) -> None:
        self.in_flight -= 1
        # Sums of floats drift; nothing in flight is nothing outstanding.
        self.outstanding = self.outstanding - operation.cost if self.in_flight else 0.0

    def _measure(self, work: float, now: float) -> None:
        self._estimator.busy(work, now)
        self.rate = self._estimator.rate
