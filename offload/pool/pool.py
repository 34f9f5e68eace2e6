"""The pool of workers: takes signing operations and sees each of them through to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Final

from OpenSSL import SSL

from offload import config
from offload.keys.algorithm import Algorithm
from offload.observe.log import get_logger
from offload.pool.admission import comes_too_late, is_strained
from offload.pool.choice import choose
from offload.pool.connector import FAREWELL_SECONDS, Connector
from offload.pool.deadlines import DeadlineQueue
from offload.pool.errors import (
    DeadlineExceeded,
    LinkLost,
    NoCapacity,
    NoWorkerAvailable,
    PoolClosed,
    Refused,
    SigningError,
)
from offload.pool.health import Phase, Reason, may_eject
from offload.pool.hedge import FIRST_DELAY, Budget, Hedge, delay
from offload.pool.latency import is_far, limits, percentile_95
from offload.pool.meter import PoolMeter, PoolMetrics
from offload.pool.operation import SigningOperation, State
from offload.pool.refusals import Refusals
from offload.pool.remote import RemoteWorker, WorkerStatus
from offload.pool.spec import WorkerSpec
from offload.tls.mutual import client_context
from offload.wire.error import ErrorCode

TICK_SECONDS: Final = 0.5
# Operations that wait while no worker is up: a second's worth of handshakes, or thereabouts.
WAITING_LIMIT: Final = 4096
# A request at which workers break must not go round for ever.
SPARE_ATTEMPTS: Final = 2
# How often operations under way are looked at: for deadlines, and for those that are late.
SWEEP_SECONDS: Final = 0.01
# What starts first when a whole machine boots waits for the other.
FIRST_LINK_SECONDS: Final = 5.0

# Errors that lie in the request itself: every other worker would say the same.
_FINAL: Final = frozenset({ErrorCode.FORMAT, ErrorCode.UNEXPECTED_OPCODE})

_COST: Final = {algorithm: algorithm.cost for algorithm in Algorithm}

_log = get_logger("pool")


class Pool:
    """Links to all workers, and the operations under way.

    The workers are those of the settings until `set_workers` says otherwise. zone: the front-end's
    own; clock: monotonic seconds. Belongs to the thread of `loop`.
    """

    def __init__(
        self,
        settings: config.Pool,
        *,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        random: Random,
        metrics: PoolMetrics,
        zone: str = "",
        tick: float = TICK_SECONDS,
    ) -> None:
        self._settings = settings
        self._loop = loop
        self._clock = clock
        self._random = random
        self._tick_seconds = tick
        self._meter = PoolMeter(metrics)
        self._time_to_live = settings.deadline
        self._zone = zone
        self._context: SSL.Context | None = None
        self._workers: tuple[RemoteWorker, ...] = ()
        self._retiring: list[RemoteWorker] = []
        self._attempts = SPARE_ATTEMPTS
        self._usable: tuple[RemoteWorker, ...] = ()
        # Whether some worker is not to be had like any other: see `_candidates`.
        self._irregular = False
        # Whether some worker has a backlog: then an operation may come too late.
        self._strained = False
        self._budget = Budget(settings.hedge_budget)
        self._delays: dict[Algorithm, float] = {}
        self._least_delay = FIRST_DELAY
        self._submitted = 0
        # Since when no worker can be asked; None while one can.
        self._down_since: float | None = clock() + FIRST_LINK_SECONDS
        self._available = asyncio.Event()
        self._refusals = Refusals()
        self._deadlines: DeadlineQueue[SigningOperation] = DeadlineQueue()
        # A dictionary, because operations leave it from the middle too.
        self._waiting: dict[SigningOperation, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self._connectors: dict[RemoteWorker, list[asyncio.Task[None]]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def workers(self) -> tuple[WorkerStatus, ...]:
        """How each worker stands, in the order in which they were given."""
        return tuple(worker.status for worker in self._workers)

    @property
    def available(self) -> bool:
        """Whether some worker can be asked now."""
        return bool(self._usable)

    async def start(self) -> None:
        """Begin to connect; does not wait for a worker. Raises CredentialsUnusable."""
        self._context = client_context(self._settings.identity, self._settings.trust)
        self.set_workers([WorkerSpec(each.name, each.address) for each in self._settings.workers])
        self._ticker = self._loop.call_later(self._tick_seconds, self._tick)

    def set_workers(self, specs: Sequence[WorkerSpec]) -> None:
        """Have these workers from now on; their names differ. Call it after `start`.

        Who is new gets links. Who is missing is asked no more, and its links are closed when what
        is under way has been answered, or retried elsewhere. Who has changed is replaced.
        """
        if self._closed:
            return
        known = {worker.spec: worker for worker in self._workers}
        kept = {spec: known[spec] for spec in specs if spec in known}
        for worker in self._workers:
            if worker.spec not in kept:
                self._retire(worker)
        self._workers = tuple(kept.get(spec) or self._add(spec) for spec in specs)
        self._attempts = len(self._workers) + SPARE_ATTEMPTS
        self.worker_changed()

    async def wait_available(self) -> None:
        """Return once some worker can be asked."""
        await self._available.wait()

    def submit(self, operation: SigningOperation) -> None:
        """Ask for a signature; `done` is called later, never in this call, whatever happens.

        Raises AlreadyAsked or AlreadyCancelled, and nothing else.
        """
        now = self._clock()
        operation.ask(now, now + self._time_to_live)
        operation.cost = _COST[operation.algorithm]
        operation.tried = operation.refused = operation.exclude
        if self._closed:
            self._loop.call_soon(self._give_up, operation)
            return
        self._deadlines.add(operation)
        self._submitted += 1
        if self._timer is None:
            self._timer = self._loop.call_later(SWEEP_SECONDS, self._sweep)
        if self._irregular or self._strained or self._refusals:
            self._place(operation, now)
            return
        # The usual way, without a detour: all is well, nobody has refused anything of late.
        worker = choose(self._usable, operation.cost, operation.exclude, self._random)
        if worker is None:
            self._wait(operation, now)
            return
        operation.attempts = 1
        worker.send(operation, now)

    def report_bad_signature(self, operation: SigningOperation) -> None:
        """The signature which `operation.worker` gave does not verify: count and log it, and ask
        that worker no more for a while.

        To try again, submit `operation.elsewhere(done)`.
        """
        self._meter.rejected(operation.worker, operation.algorithm)
        _log.error(
            "worker gave a wrong signature", worker=operation.worker, key=operation.ski.hex(),
            algorithm=operation.algorithm.value,
        )  # fmt: skip
        for worker in self._workers:
            if worker.name == operation.worker:
                self.worker_ailing(worker, Reason.WRONG_SIGNATURE, self._clock())

    async def close(self) -> None:
        """Fail what is under way with PoolClosed and close the links; idempotent."""
        self._closed = True
        for timer in (self._timer, self._ticker):
            if timer is not None:
                timer.cancel()
        tasks = [task for tasks in self._connectors.values() for task in tasks]
        for task in tasks:
            task.cancel()
        for operation in self._deadlines.clear():
            self._withdraw(operation, self._clock())
            self._fail(operation, PoolClosed("pool of workers was closed"))
        await asyncio.gather(*tasks, *self._ending, return_exceptions=True)
        closing = [future for worker in self._all() for future in worker.close()]
        if closing:
            await asyncio.wait(closing, timeout=FAREWELL_SECONDS)
        for worker in self._all():
            worker.abort()

    def worker_changed(self) -> None:
        self._usable = tuple(worker for worker in self._workers if worker.usable)
        self._irregular = any(worker.health.share < 1.0 for worker in self._usable)
        if not self._usable:
            self._available.clear()
            if self._down_since is None:
                self._down_since = self._clock()
            return
        self._down_since = None
        self._available.set()
        if self._waiting and not self._closed:
            waiting, self._waiting = self._waiting, {}
            now = self._clock()
            for operation in waiting:
                if operation.state is State.CANCELLED:
                    operation.pending = False
                else:
                    self._place(operation, now)

    def worker_refused(
        self, worker: RemoteWorker, operation: SigningOperation, code: int, now: float
    ) -> None:
        error = Refused(worker.name, code)
        if code == ErrorCode.KEY_NOT_FOUND:
            self._refusals.add(operation.ski, worker.name, now)
        operation.refused |= {worker.name}
        operation.tried |= {worker.name}
        if code in _FINAL:
            self._fail(operation, error)
        else:
            self._retry(operation, error, now)

    def worker_lost(
        self, worker: RemoteWorker, operations: list[SigningOperation], reason: str
    ) -> None:
        now = self._clock()
        for operation in operations:
            operation.tried |= {worker.name}
            if operation.pending:
                self._retry(operation, LinkLost(worker.name, reason), now)

    def worker_ailing(self, worker: RemoteWorker, reason: Reason, now: float) -> None:
        health = worker.health
        if health.phase is Phase.EJECTED and health.reason is reason:
            health.failed(now)
            return
        others = ((w.health.phase, w.usable) for w in self._workers if w is not worker)
        if worker not in self._workers or not may_eject(others, self._settings.max_ejected):
            return
        worker.eject(reason, now)
        _log.warning("worker is ejected", worker=worker.name, reason=reason.value)
        self.worker_changed()

    def _add(self, spec: WorkerSpec) -> RemoteWorker:
        assert self._context is not None
        worker = RemoteWorker(
            spec,
            self,
            self._meter.of(spec.name),
            zone=self._zone,
            loop=self._loop,
            clock=self._clock,
        )
        self._connectors[worker] = [
            self._loop.create_task(
                Connector(
                    worker,
                    spec.address,
                    self._context,
                    loop=self._loop,
                    clock=self._clock,
                    random=self._random,
                ).run()
            )
            for _ in range(self._settings.links)
        ]
        return worker

    def _retire(self, worker: RemoteWorker) -> None:
        for task in self._connectors.pop(worker):
            task.cancel()
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        self._retiring.append(worker)
        worker.retire()

    def _all(self) -> Iterator[RemoteWorker]:
        yield from self._workers
        yield from self._retiring

    def _retry(self, operation: SigningOperation, error: SigningError, now: float) -> None:
        if operation.state is State.CANCELLED:
            operation.pending = False
        elif operation.hedge is not None or operation.attempts >= self._attempts or self._closed:
            self._fail(operation, error)
        else:
            operation.setback = error
            self._place(operation, now)

    def _place(self, operation: SigningOperation, now: float) -> None:
        """Send the operation to the best worker, or let it wait, or fail it."""
        worker = self._choose(operation, now)
        if worker is None:
            self._wait(operation, now)
            return
        if self._strained and not operation.attempts and self._is_too_late(worker, operation, now):
            # Perhaps within `submit`, where `done` must not be called.
            self._loop.call_soon(self._refuse, operation)
            return
        if operation.attempts:
            self._meter.retried(operation.setback.outcome if operation.setback else "none")
        operation.attempts += 1
        worker.send(operation, now)

    def _choose(self, operation: SigningOperation, now: float) -> RemoteWorker | None:
        usable, cost = self._usable, operation.cost
        if self._irregular:
            worker = choose(self._candidates(operation, now), cost, operation.tried, self._random)
            if worker is not None:
                worker.health.probed(now)
                return worker
        if self._refusals:
            ski = operation.ski
            having = [w for w in usable if not self._refusals.lacks(ski, w.name, now)]
            worker = choose(having, cost, operation.tried, self._random)
            if worker is not None:
                return worker
        worker = choose(usable, cost, operation.tried, self._random)
        if worker is None and operation.tried is not operation.refused:
            # Whose link broke may be asked again once nobody else is left.
            operation.tried = operation.refused
            worker = choose(usable, cost, operation.tried, self._random)
        return worker

    def _candidates(self, operation: SigningOperation, now: float) -> list[RemoteWorker]:
        """Who is to be asked before the others: one that is due for a probe, or those whose share
        it is, and who has not said that it lacks the key.
        """
        usable = self._usable
        if self._refusals:
            ski = operation.ski
            usable = tuple(w for w in usable if not self._refusals.lacks(ski, w.name, now))
        if not operation.attempts:
            for worker in usable:
                if worker.health.probe_due(now) and worker.name not in operation.tried:
                    return [worker]
        draw = self._random.random
        chosen = [w for w in usable if (share := w.health.share) >= 1.0 or draw() < share]
        if all(worker.name in operation.tried for worker in chosen):
            return [worker for worker in usable if worker.health.share]
        return chosen

    def _is_too_late(self, worker: RemoteWorker, operation: SigningOperation, now: float) -> bool:
        if not is_strained(worker.oldest(now), now, self._time_to_live):
            return False
        expected = (worker.outstanding + operation.cost) / worker.rate + worker.distance
        return comes_too_late(expected, operation.deadline - now)

    def _refuse(self, operation: SigningOperation) -> None:
        if operation.pending:
            self._fail(
                operation,
                NoCapacity(f"no worker would be done within {self._time_to_live:g} s; add workers"),
            )

    def _is_down(self, now: float) -> bool:
        """Whether every worker has been down for so long that nobody waits for one."""
        down_since = self._down_since
        return down_since is not None and now - down_since >= self._settings.outage_grace

    def _wait(self, operation: SigningOperation, now: float) -> None:
        # Without any worker: the cluster's are not known yet.
        hopeful = not self._workers or any(
            worker.name not in operation.refused for worker in self._workers
        )
        hopeful = hopeful and not self._closed and not self._is_down(now)
        if hopeful and len(self._waiting) < WAITING_LIMIT:
            self._waiting[operation] = None
            return
        # Perhaps within `submit`, where `done` must not be called.
        self._loop.call_soon(self._give_up, operation)

    def _give_up(self, operation: SigningOperation) -> None:
        if operation.pending:
            self._fail(operation, self._despair(operation))

    def _despair(self, operation: SigningOperation) -> SigningError:
        if self._closed:
            return PoolClosed("pool of workers was closed")
        if len(self._waiting) >= WAITING_LIMIT:
            return NoWorkerAvailable("no worker is up and too many operations wait; start workers")
        if self._is_down(self._clock()):
            return NoWorkerAvailable("every worker is down; see why their links are lost")
        return operation.setback or NoWorkerAvailable(
            "no worker is left that may be asked; configure more workers"
        )

    def _fail(self, operation: SigningOperation, error: SigningError) -> None:
        operation.pending = False
        if operation.state is State.CANCELLED:
            return
        if operation.hedge is None:  # else the operation is counted, not its copies
            self._meter.failed(operation.worker, operation.algorithm, error.outcome)
        try:
            operation.fail(error)
        except Exception as problem:
            self._loop.call_exception_handler(
                {"message": "error in a signing operation's callback", "exception": problem}
            )

    def _withdraw(self, operation: SigningOperation, now: float) -> None:
        """Take the operation out of where it is: under way, or waiting."""
        for worker in self._all():
            if worker.name == operation.worker:
                worker.withdraw(operation, now)
        self._waiting.pop(operation, None)

    def _blame(self, operation: SigningOperation, now: float) -> None:
        """Whoever has the operation has not answered in time."""
        for worker in self._workers:
            if operation.link is not None and worker.name == operation.worker:
                worker.failed(now)

    def _sweep(self) -> None:
        """Look at what is under way, as long as there is anything."""
        now = self._clock()
        for operation in self._deadlines.expire(now):
            self._blame(operation, now)
            self._withdraw(operation, now)
            error = DeadlineExceeded(
                f"no signature within {self._time_to_live:g} s;"
                " see whether the workers are up and keep up"
            )
            error.__cause__ = operation.setback
            self._fail(operation, error)
        self._strained = any(
            is_strained(worker.oldest(now), now, self._time_to_live) for worker in self._usable
        )
        self._hedge(now)
        if self._waiting:
            self._wait_no_more(now)
        if self._deadlines.next_due() is None or self._closed:
            self._timer = None
        else:
            self._timer = self._loop.call_later(SWEEP_SECONDS, self._sweep)

    def _wait_no_more(self, now: float) -> None:
        """End what has waited long enough for a worker that is down."""
        if self._down_since is not None and not self._is_down(now):
            return
        since = now if self._is_down(now) else now - self._settings.outage_grace
        for operation in [each for each in self._waiting if each.started <= since]:
            del self._waiting[operation]
            self._give_up(operation)

    def _hedge(self, now: float) -> None:
        """Send what is late to a second worker too, within the budget."""
        if not self._budget.earn(self._submitted) or self._strained:
            return
        sound = [worker for worker in self._usable if worker.health.share >= 1.0]
        for worker in self._usable if sound else ():
            for operation in worker.late(now, self._delays, self._least_delay):
                if operation.state is State.CANCELLED:
                    continue
                others = [other for other in sound if other is not worker]
                second = choose(others, operation.cost, operation.tried, self._random)
                if second is None:
                    continue
                if not self._budget.take():
                    return
                self._send_twice(operation, worker, second, now)

    def _send_twice(
        self, operation: SigningOperation, first: RemoteWorker, second: RemoteWorker, now: float
    ) -> None:
        hedge = Hedge(operation, self._both_lost, self._meter.hedged)
        for copy in (hedge.first, hedge.second):
            copy.ask(now, now + self._time_to_live)
            copy.started, copy.cost = operation.started, operation.cost
            self._deadlines.add(copy)
        operation.attempts += 1
        first.replace(operation, hedge.first)
        second.send(hedge.second, now)

    def _both_lost(self, operation: SigningOperation, error: SigningError) -> None:
        self._retry(operation, error, self._clock())

    def _tick(self) -> None:
        now = self._clock()
        for worker in list(self._all()):
            worker.tick(now)
        self._retiring = [worker for worker in self._retiring if not worker.gone]
        self._look(now)
        self._deadlines.prune()
        self._refusals.expire(now)
        self._ticker = self._loop.call_later(self._tick_seconds, self._tick)

    def _look(self, now: float) -> None:
        """Compare the workers' latencies, and go on with their return."""
        medians = {worker: worker.latencies.medians() for worker in self._workers}
        changed = False
        for worker, own in medians.items():
            worker.limits = limits([theirs for other, theirs in medians.items() if other != worker])
            if worker.health.seen(is_far(own, worker.limits)):
                self.worker_ailing(worker, Reason.LATENCY, now)
            changed |= worker.step(now)
        if changed:
            self.worker_changed()
        self._measure_delays()

    def _measure_delays(self) -> None:
        """After how long an operation of each algorithm is late."""
        workers = [worker.latencies for worker in self._workers]
        self._delays = {
            algorithm: delay(percentile_95(workers, algorithm), self._time_to_live)
            for algorithm in {each for worker in workers for each in worker.algorithms}
        }
        self._least_delay = min([*self._delays.values(), FIRST_DELAY])
