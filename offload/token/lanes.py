"""Sessions of an HSM, each in a thread of its own, so that a call that hangs holds up nobody.

A *lane* is a thread with one session. A caller borrows a lane, hands it a task and waits for the
answer, but not for ever: past the deadline it gets TokenUnavailable, while the thread stays in the
module, which nothing can interrupt. Such a lane is lent to nobody until its call returns; when all
are in there, callers are refused at once.

When a session turns out to be lost, every lane drops its own, one of them connects anew, and the
task is tried once more. A failed attempt to connect is not repeated before a while has passed, a
refused PIN never: an HSM locks itself after a few.
"""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

from offload.token.base import TokenError, TokenUnavailable, WrongPassphrase


class Session(Protocol):
    """What a connection opens."""

    def close(self) -> None:
        """End it."""


S = TypeVar("S", bound=Session)
S_co = TypeVar("S_co", covariant=True)
T = TypeVar("T")

PAUSE = 1.0
"""Seconds between attempts to connect."""


class Lost(Exception):
    """The session, the token or the library is gone; raised by a connection or by a task."""


class Connection(Protocol[S_co]):
    """A token that we are logged in to."""

    def open(self) -> S_co:
        """One more session; raises Lost."""

    def close(self) -> None:
        """Log out; raises nothing."""


class Lanes(Generic[S]):
    """At most `count` lanes to what `connect` connects to; every method for any thread."""

    def __init__(
        self,
        connect: Callable[[], Connection[S]],
        *,
        count: int,
        deadline: float,
        pause: float = PAUSE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`connect` raises Lost, or TokenError for what a later attempt will not mend.

        deadline, pause: seconds. Nothing is connected before the first task.
        """
        self._connect, self._clock = connect, clock
        self._count, self._deadline, self._pause = count, deadline, pause
        self._process = os.getpid()
        self._changed = threading.Condition()
        self._free: list[_Lane[S]] = []
        self._lanes = self._overdue = 0
        self._closed = False
        self._connecting = threading.Lock()
        self._connection: Connection[S] | None = None
        self._epoch = 0
        self._refused: TokenError | None = None
        self._not_before = 0.0

    def run(
        self, task: Callable[[S], T], *, repeat: bool = True, deadline: float | None = None
    ) -> T:
        """What `task` returns, given a session.

        It is tried again after a loss only with `repeat`; `deadline` (seconds) is for a task that
        takes longer than others. Raises TokenUnavailable, what connecting raised, and what the task
        raises.
        """
        seconds = self._deadline if deadline is None else max(deadline, self._deadline)
        end = self._clock() + seconds
        lane = self._borrow(end)
        job: _Job[S] = _Job(task, repeat)
        lane.jobs.put(job)
        try:
            answer: T = job.answer.result(max(0.0, end - self._clock()))
            return answer
        except TimeoutError:
            if not self._give_up(job):
                late: T = job.answer.result()
                return late
            raise TokenUnavailable(
                f"the HSM has not answered for {seconds:g} s: see to it or its network"
            ) from None

    def close(self) -> None:
        """Log out, and end the threads whose call returns."""
        with self._changed:
            self._closed = True
            free, self._free = self._free, []
            self._changed.notify_all()
        for lane in free:
            lane.jobs.put(None)
        for lane in free:
            lane.join(self._deadline)
        # Without waiting: a lane that hangs while it connects holds this lock.
        if self._connecting.acquire(blocking=False):
            try:
                self._disconnect()
            finally:
                self._connecting.release()

    def _borrow(self, end: float) -> "_Lane[S]":
        with self._changed:
            while True:
                self._require_usable()
                if self._free:
                    return self._free.pop()
                if self._lanes < self._count:
                    self._lanes += 1
                    return _Lane(self)
                if self._overdue >= self._count:
                    raise TokenUnavailable("every session hangs in the HSM: see to it")
                if not self._changed.wait(max(0.0, end - self._clock())):
                    raise TokenUnavailable("every session is in use: configure more of them")

    def _require_usable(self) -> None:
        if self._closed:
            raise TokenError("the token is closed: open it again")
        if os.getpid() != self._process:
            raise TokenError("the token was opened by another process: open it in this one")

    def give_back(self, lane: "_Lane[S]", job: "_Job[S]") -> bool:
        """The lane has done its job; says whether there may be more."""
        with self._changed:
            if job.given_up:
                self._overdue -= 1
            job.done = True
            if not self._closed:
                self._free.append(lane)
            self._changed.notify()
            return not self._closed

    def _give_up(self, job: "_Job[S]") -> bool:
        with self._changed:
            if job.done:
                return False
            job.given_up = True
            self._overdue += 1
            self._changed.notify_all()
            return True

    def session(self, held: tuple[int, S] | None) -> tuple[int, S]:
        """For a lane: `held` if that is good still, else a new session of the connection."""
        with self._connecting:
            if held is not None and held[0] == self._epoch:
                return held
            connection = self._connection or self._connected()
            epoch = self._epoch
        try:
            return epoch, connection.open()
        except Lost:
            self.lost(epoch)
            raise

    def lost(self, epoch: int) -> None:
        """For a lane: a session of that epoch turned out to be gone."""
        with self._connecting:
            if epoch == self._epoch:
                self._disconnect()

    def _connected(self) -> Connection[S]:
        if self._refused is not None and self._clock() < self._not_before:
            raise self._refused.with_traceback(None)
        try:
            self._connection = self._connect()
        except Lost as error:
            self._refuse(TokenUnavailable(str(error)), self._pause)
            raise TokenUnavailable(str(error)) from error
        except WrongPassphrase as error:
            self._refuse(error, float("inf"))
            raise
        self._refused = None
        return self._connection

    def _refuse(self, error: TokenError, pause: float) -> None:
        self._refused, self._not_before = error, self._clock() + pause

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        self._epoch += 1
        if connection is not None:
            connection.close()


class _Job(Generic[S]):
    """One task on its way through a lane."""

    def __init__(self, task: Callable[[S], Any], repeat: bool) -> None:
        self.task, self.repeat = task, repeat
        self.answer: Future[Any] = Future()
        self.done = self.given_up = False


class _Lane(Generic[S]):
    """A thread with a session, of which it knows how to get another."""

    def __init__(self, lanes: Lanes[S]) -> None:
        self._lanes = lanes
        self._held: tuple[int, S] | None = None
        self.jobs: SimpleQueue[_Job[S] | None] = SimpleQueue()
        # A thread that hangs in a module must not keep the process from ending.
        self._thread = threading.Thread(target=self._work, name="hsm-session", daemon=True)
        self._thread.start()

    def join(self, seconds: float) -> None:
        """Wait for the thread's end."""
        self._thread.join(seconds)

    def _work(self) -> None:
        while (job := self.jobs.get()) is not None:
            try:
                answer = self._perform(job)
            except BaseException as error:
                more = self._lanes.give_back(self, job)
                job.answer.set_exception(error)
            else:
                more = self._lanes.give_back(self, job)
                job.answer.set_result(answer)
            # Nothing of a caller is kept while the lane waits for the next.
            job = answer = None
            if not more:
                break
        self._end()

    def _end(self) -> None:
        # A module that is gone closes nothing any more; there is nobody left to tell.
        with suppress(Exception):
            if self._held is not None and self._lanes.session(self._held) is self._held:
                self._held[1].close()

    def _perform(self, job: _Job[S]) -> Any:
        try:
            return self._once(job.task)
        except Lost as error:
            if not job.repeat:
                raise TokenUnavailable(str(error)) from error
        try:
            return self._once(job.task)
        except Lost as error:
            raise TokenUnavailable(str(error)) from error

    def _once(self, task: Callable[[S], Any]) -> Any:
        self._held = epoch, session = self._lanes.session(self._held)
        try:
            return task(session)
        except Lost:
            self._held = None
            self._lanes.lost(epoch)
            raise
