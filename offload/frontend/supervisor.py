"""The front-end's parent process: builds, binds, forks, watches, and forks again.

Nouns: a `Role` is a process that there shall be (serving 0, serving 1, ..., and their attendants:
admin, and in a cluster the directory's); the
`Supervisor` keeps each role filled until it is told to stop; `run` makes both from the settings.

It has neither event loop nor threads, so that it can fork whenever a process has died, and it
does whatever can fail before the first fork. Contexts made here are shared by all serving
processes, and with them the keys of session tickets.
"""

from __future__ import annotations

import gc
import math
import platform
import resource
import select
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from offload import __version__
from offload.frontend import systemd
from offload.frontend.backoff import Backoff
from offload.frontend.directory.board import Board
from offload.frontend.listeners import Bound, ListenError, Listeners
from offload.frontend.process import Entry, Process
from offload.frontend.signals import Signals
from offload.frontend.status import Status
from offload.observe import multiprocess
from offload.observe.log import get_logger

if TYPE_CHECKING:
    from offload.config import Frontend, FrontendCluster, Settings

Build = Callable[["Frontend"], Any]
"""Makes what the serving processes share, the sites' contexts; raises StartError."""
Serve = Callable[["Frontend", Any, list[Bound], int, int], int]
"""A serving process's life: settings, what was built, its sockets, its index, ready_fd.

It calls `listen` on the sockets, which may be paused, and writes one byte to `ready_fd` when it
accepts; TERM drains it, within the drain timeout, and a second TERM ends it at once.
"""

# A process closes what is left by itself at the drain deadline, then it is told again, then killed.
_GRACE = 1.0
# A role that waits longer than this for its restart leaves its connections to the others.
_PAUSE_AFTER = 1.0
_ADMIN_BACKLOG = 128


class StartError(Exception):
    """The front-end cannot be started; the text has the reason and the remedy."""


class Phase(IntEnum):
    """The supervisor's states; it only ever goes on to a later one."""

    RUNNING = 0
    DRAINING = 1  # told to end: TERM was sent once
    STOPPING = 2  # told to end at once: TERM was sent twice
    KILLING = 3


@dataclass(slots=True)
class Role:
    """A process that there shall be; `pause` stops its listening until it listens again itself."""

    name: str
    entry: Entry
    ready: Callable[[bool], None]
    pause: Callable[[], None]
    backoff: Backoff = field(default_factory=Backoff)
    process: Process | None = None
    restart_at: float | None = None


class Supervisor:
    """Keeps `serving` and `attendants` running until TERM or INT, then ends them in that order.

    `draining` is called once when draining begins, `died` after each death with the role's name,
    the process id and whether it will be started again; `drain_timeout` is in seconds.
    """

    def __init__(
        self,
        serving: Sequence[Role],
        attendants: Sequence[Role],
        status: Status,
        signals: Signals,
        drain_timeout: float,
        *,
        draining: Callable[[], None],
        died: Callable[[str, int, bool], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._serving = list(serving)
        self._attendants = list(attendants)
        # What others wait for first.
        self._roles = [*attendants, *serving]
        self._status = status
        self._signals = signals
        self._drain_timeout = drain_timeout
        self._draining = draining
        self._died = died
        self._clock = clock
        self._log = get_logger("supervisor")
        self._phase = Phase.RUNNING
        self._announced = False
        self._deadline = math.inf
        self._watchdog = systemd.watchdog_interval()
        self._next_watchdog = clock() if self._watchdog else math.inf

    def run(self) -> int:
        """Return the exit code when the last process has ended."""
        try:
            for role in self._roles:
                self._start(role)
            while any(role.process for role in self._roles) or self._phase is Phase.RUNNING:
                self._turn()
        finally:
            self._kill_rest()
        self._log.info("stopped")
        return 0

    def _turn(self) -> None:
        """Wait for the next event, and do what it asks for."""
        readable = self._wait()
        for number in self._signals.taken():
            self._on_signal(number)
        for role in self._roles:
            if role.process is None:
                continue
            if role.process.ready_fd in readable:
                self._on_ready(role, role.process)
            if role.process.pidfd in readable:
                self._on_death(role, role.process)
        self._on_time()
        if self._phase is not Phase.RUNNING and not any(role.process for role in self._serving):
            self._end_attendants()

    def _wait(self) -> set[int]:
        poll = select.poll()
        poll.register(self._signals.fileno(), select.POLLIN)
        for role in self._roles:
            if role.process is not None:
                poll.register(role.process.pidfd, select.POLLIN)
                if role.process.ready_fd is not None:
                    poll.register(role.process.ready_fd, select.POLLIN)
        times = [role.restart_at for role in self._roles if role.restart_at is not None]
        next_time = min([self._deadline, self._next_watchdog, *times])
        pause = None
        if next_time < math.inf:
            pause = max(0, math.ceil((next_time - self._clock()) * 1000))
        return {descriptor for descriptor, _ in poll.poll(pause)}

    def _start(self, role: Role) -> None:
        """Fork a process for the role; on failure try again later."""
        role.restart_at = None
        now = self._clock()
        try:
            role.process = Process.fork(role.entry, self._signals, now, self._forget_all)
        except OSError as error:
            self._log.error("cannot start process", role=role.name, reason=str(error))
            self._schedule(role, 0.0)
            return
        self._log.debug("process started", role=role.name, pid=role.process.pid)

    def _forget_all(self) -> None:
        """In a child: close what belongs to its siblings."""
        for role in self._roles:
            if role.process is not None:
                role.process.forget()

    def _on_ready(self, role: Role, process: Process) -> None:
        if not process.take_ready():
            return
        role.ready(True)
        self._log.info("process ready", role=role.name, pid=process.pid)
        if self._phase is Phase.RUNNING and self._status.all_ready() and not self._announced:
            self._announced = True
            systemd.notify("READY=1")
            self._log.info("ready", processes=len(self._serving))

    def _on_death(self, role: Role, process: Process) -> None:
        code = process.reap()
        role.process = None
        role.ready(False)
        self._died(role.name, process.pid, self._phase is Phase.RUNNING)
        if self._phase is not Phase.RUNNING:
            self._log.info("process ended", role=role.name, pid=process.pid, status=code)
            return
        self._log.error("process died", role=role.name, pid=process.pid, status=code)
        self._schedule(role, self._clock() - process.started)

    def _schedule(self, role: Role, lived: float) -> None:
        pause = role.backoff.died(lived)
        role.restart_at = self._clock() + pause
        if pause > _PAUSE_AFTER:
            role.pause()
            self._log.error("process keeps dying", role=role.name, restart_in=pause)

    def _on_signal(self, number: signal.Signals) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self._advance(number.name)
        elif number == signal.SIGHUP:
            self._log.warning("reload is not supported yet; restart to use a new configuration")
        elif number == signal.SIGUSR1:
            self._log.info("logs go to standard error; there is no file to reopen")

    def _on_time(self) -> None:
        now = self._clock()
        if now >= self._next_watchdog and self._watchdog is not None:
            self._next_watchdog = now + self._watchdog
            systemd.notify("WATCHDOG=1")
        if now >= self._deadline:
            self._advance("deadline")
        for role in self._roles:
            if role.restart_at is not None and now >= role.restart_at:
                self._start(role)

    def _advance(self, reason: str) -> None:
        """Go on to the next phase of ending; `reason` is a signal's name or "deadline"."""
        self._phase = Phase(min(self._phase + 1, Phase.KILLING))
        self._log.info("stopping", phase=self._phase.name.lower(), reason=reason)
        if self._phase is Phase.DRAINING:
            self._drain()
            return
        kill = self._phase is Phase.KILLING
        # The last deadline stays in force: what cannot be killed now is tried again.
        self._deadline = self._clock() + _GRACE
        for role in self._roles if kill else self._serving:
            if role.process is not None:
                role.process.signal(signal.SIGKILL if kill else signal.SIGTERM)

    def _drain(self) -> None:
        self._status.set_draining()
        systemd.notify("STOPPING=1")
        self._deadline = self._clock() + self._drain_timeout + _GRACE
        for role in self._roles:
            role.restart_at = None
        for role in self._serving:
            if role.process is not None:
                role.process.signal(signal.SIGTERM)
        # Only now: a process that is about to end takes what is queued on its own descriptor.
        self._draining()

    def _end_attendants(self) -> None:
        """They go last, so that the drain can be watched to its end."""
        left = [role.process for role in self._attendants if role.process is not None]
        for process in left:
            process.signal(signal.SIGTERM)
        if left and self._phase is Phase.DRAINING:
            self._phase = Phase.STOPPING
            self._deadline = self._clock() + _GRACE

    def _kill_rest(self) -> None:
        for role in self._roles:
            if role.process is not None:
                role.process.signal(signal.SIGKILL)
                role.process.reap()
                role.process = None


def run(settings: Settings, *, serve: Serve | None = None, build: Build | None = None) -> int:
    """Run the front-end in the foreground until it is told to stop; return the exit code.

    Must come before anything imports the metrics. What keeps it from starting is logged, with its
    remedy, and gives exit code 1. `serve` and `build` are the product's own unless given.
    """
    log = get_logger("supervisor")
    signals = Signals((signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1))
    try:
        directory = multiprocess.prepare()
        try:
            return _run(settings, serve, build or _build, signals)
        finally:
            multiprocess.remove(directory)
    except (StartError, ListenError, multiprocess.MetricsDirectoryError) as error:
        log.error("cannot start", reason=str(error))
        return 1
    finally:
        signals.close()


def _run(settings: Settings, serve: Serve | None, build: Build, signals: Signals) -> int:
    frontend = settings.frontend
    if frontend is None:
        raise StartError("the configuration has no [frontend] table; add one")
    count = frontend.process_count
    _raise_descriptor_limit()
    _forbid_core_dumps()
    built = build(frontend)
    listeners = Listeners.bind(frontend.listen, count, frontend.backlog)
    try:
        admins = [] if frontend.admin is None else [frontend.admin]
        admin_listeners = Listeners.bind(admins, 1, _ADMIN_BACKLOG)
    except BaseException:
        listeners.close()
        raise
    status = Status(count)
    board = None if frontend.cluster is None else Board(count)
    serve = serve or partial(_serve, board)
    serving = [
        _serving_role(index, frontend, serve, built, status, board, listeners, admin_listeners)
        for index in range(count)
    ]
    attendants = [_admin_role(status, board, listeners, admin_listeners)] if admins else []
    if frontend.cluster is not None and board is not None:
        clerk = _clerk_role(frontend, frontend.cluster, board, listeners, admin_listeners)
        attendants.append(clerk)
    supervisor = Supervisor(
        serving,
        attendants,
        status,
        signals,
        frontend.drain_timeout,
        draining=listeners.close,
        died=_count_death,
    )
    _set_build_info()
    get_logger("supervisor").info(
        "listening", addresses=listeners.names, admin=admin_listeners.names, processes=count
    )
    # What lives by now lives on: kept out of collections, its pages stay shared with the children.
    gc.collect()
    gc.freeze()
    try:
        return supervisor.run()
    finally:
        listeners.close()
        admin_listeners.close()


def _serving_role(
    index: int,
    frontend: Frontend,
    serve: Serve,
    built: Any,
    status: Status,
    board: Board | None,
    listeners: Listeners,
    admin_listeners: Listeners,
) -> Role:
    def ready(is_ready: bool) -> None:
        status.set_ready(index, is_ready)
        if board is not None and not is_ready:
            board.clear(index)
            board.ring_clerk()

    def entry(ready_fd: int) -> int:
        listeners.keep(index)
        admin_listeners.keep(None)
        return serve(frontend, built, listeners.bound(index, frontend.listen), index, ready_fd)

    return Role(
        name=f"serving-{index}",
        entry=entry,
        ready=ready,
        pause=lambda: listeners.pause(index),
    )


def _admin_role(
    status: Status, board: Board | None, listeners: Listeners, admin_listeners: Listeners
) -> Role:
    def entry(ready_fd: int) -> int:
        from offload.frontend import admin

        listeners.keep(None)
        return admin.serve(admin_listeners.of(0), status.accepting, ready_fd, board)

    return Role(name="admin", entry=entry, ready=_nothing, pause=lambda: None)


def _clerk_role(
    frontend: Frontend,
    cluster: FrontendCluster,
    board: Board,
    listeners: Listeners,
    admin_listeners: Listeners,
) -> Role:
    def entry(ready_fd: int) -> int:
        from offload.frontend.directory import process

        listeners.keep(None)
        admin_listeners.keep(None)
        return process.serve(frontend, cluster, board, ready_fd)

    return Role(name="directory", entry=entry, ready=_nothing, pause=lambda: None)


def _nothing(_ready: bool) -> None:
    """Nobody waits for an attendant."""


def _serve(
    board: Board | None,
    frontend: Frontend,
    built: Any,
    sockets: list[Bound],
    index: int,
    ready_fd: int,
) -> int:
    from offload.frontend import server

    return server.serve(frontend, built, sockets, index, ready_fd, board)


def _build(frontend: Frontend) -> Any:
    from offload import provider
    from offload.tls.site import SiteError, Sites

    # So that the children share the modules' pages and start at once.
    for module in ("admin", "directory.process", "server"):
        import_module(f"offload.frontend.{module}")
    try:
        provider.check()
        return Sites.from_settings(frontend.sites)
    except (provider.ProviderUnavailable, SiteError) as error:
        raise StartError(str(error)) from error


def _count_death(role: str, pid: int, restarts: bool) -> None:
    from offload.observe import metrics

    multiprocess.mark_dead(pid)
    if restarts:
        metrics.PROCESS_RESTARTS.labels(role.partition("-")[0]).inc()
    metrics.flush()


def _set_build_info() -> None:
    from cryptography.hazmat.backends.openssl.backend import backend

    from offload.observe import metrics

    openssl = backend.openssl_version_text()
    metrics.BUILD_INFO.labels(__version__, openssl, platform.python_version()).set(1)
    metrics.flush()


def _raise_descriptor_limit() -> None:
    """As many connections as the operator allows, rather than the shell's customary 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _forbid_core_dumps() -> None:
    """A dump would hold the secrets of sessions and the keys of tickets."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
