"""Has orders signed without holding up the event loop.

What this processor signs by itself is signed on the loop, for a bounded time in each turn, so that
links are looked at in between: more cores are used by more processes, and threads beside the loop
cost an RSA-2048 signature two thirds of its own time again. What waits for an HSM goes to threads,
which wait side by side. Answers are handed back in batches, so that what follows (frames, writes,
metrics) is paid once for many.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from time import perf_counter
from typing import Generic, TypeVar

from offload.observe.log import get_logger
from offload.token.base import KeyNotFound, Token, TokenError
from offload.wire.error import ErrorCode
from offload.worker.order import Order

# Seconds of signing before the loop looks at its links again; a turn makes one signature at least.
TURN_SECONDS = 0.008

_log = get_logger(__name__)

Ticket = TypeVar("Ticket")
# Of each order: its ticket, itself, and the signature or why there is none.
Answer = tuple[Ticket, Order, bytes | ErrorCode]


class Signer(Generic[Ticket]):
    """Takes orders with tickets that mean something to the caller, and gives answers."""

    def __init__(
        self,
        token: Token,
        loop: asyncio.AbstractEventLoop,
        answered: Callable[[list[Answer[Ticket]]], None],
        *,
        threads: int,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        """`answered` is called on the loop with each batch; `threads` wait for an HSM."""
        self._token = token
        self._in_process = token.in_process
        self._clock = clock
        self._most = threads
        self._loop = loop
        self._answered = answered
        self._waiting: deque[tuple[Ticket, Order]] = deque()
        self._turn_due = False
        self._blocking: SimpleQueue[tuple[Ticket, Order] | None] = SimpleQueue()
        self._done: deque[Answer[Ticket]] = deque()
        self._woken = False
        self._threads: list[threading.Thread] = []

    def submit(self, orders: list[tuple[Ticket, Order]]) -> None:
        """Have them signed; called on the loop."""
        for job in orders:
            if job[1].algorithm in self._in_process:
                self._waiting.append(job)
            else:
                self._blocking.put(job)
                if not self._threads:
                    self._start_threads()
        if self._waiting and not self._turn_due:
            self._turn_due = True
            self._loop.call_soon(self._turn)

    def close(self) -> None:
        """End the threads once they have signed what was submitted; does not wait for them."""
        for _ in self._threads:
            self._blocking.put(None)

    def _turn(self) -> None:
        waiting, sign, clock = self._waiting, self._sign, self._clock
        answers = []
        end = clock() + TURN_SECONDS
        while waiting:
            ticket, order = waiting.popleft()
            answers.append((ticket, order, sign(order)))
            if clock() >= end:
                break
        self._turn_due = bool(waiting)
        if self._turn_due:
            self._loop.call_soon(self._turn)
        self._answered(answers)

    def _start_threads(self) -> None:
        self._threads = [
            threading.Thread(target=self._work, name=f"signer-{number}", daemon=True)
            for number in range(self._most)
        ]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        take, sign, done = self._blocking.get, self._sign, self._done
        while (job := take()) is not None:
            done.append((*job, sign(job[1])))
            # One wake-up serves all answers that are there by the time the loop comes round.
            if not self._woken:
                self._woken = True
                self._wake()

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._collect)
        except RuntimeError:
            # The loop was closed without waiting for this signature.
            _log.debug("signature came after the end")

    def _collect(self) -> None:
        # Cleared first: an answer appended after the loop below ends wakes the event loop again.
        self._woken = False
        done = self._done
        answers = []
        while done:
            answers.append(done.popleft())
        if answers:
            self._answered(answers)

    def _sign(self, order: Order) -> bytes | ErrorCode:
        ski, algorithm, scheme, content, prehashed, _ = order
        try:
            if prehashed:
                return self._token.sign_digest(ski, scheme, content)
            return self._token.sign(ski, scheme, content)
        except KeyNotFound:
            # It was there when the order was decided: removed meanwhile.
            return ErrorCode.KEY_NOT_FOUND
        except TokenError as error:
            _log.warning("token cannot sign", algorithm=str(algorithm), error=str(error))
            return ErrorCode.CRYPTO
        except Exception:
            # A thread that ended here would leave its share of every later order unanswered.
            _log.exception("signing broke", algorithm=str(algorithm))
            return ErrorCode.INTERNAL
