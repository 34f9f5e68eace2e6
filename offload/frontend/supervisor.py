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
from offload.config import ConfigurationError
from offload.frontend import systemd
from offload.frontend.backoff import Backoff
from offload.frontend.directory.board import Board
from offload.frontend.listeners import Bound, ListenError, Listeners
from offload.frontend.process import Entry, Process
from offload.frontend.signals import Signals
from offload.frontend.status import Status
from offload.observe import log, multiprocess
from offload.observe.log import get_logger

if TYPE_CHECKING:
    from offload.config import Frontend, FrontendCluster, Log, Settings

Build = Callable[["Frontend"], Any]
"""Makes what the serving processes share, the sites' contexts; raises StartError."""
Load = Callable[[], "Settings"]
"""Reads the configuration anew; raises ConfigurationError."""
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


_CANDIDATE_SECONDS = 30.0
"""How long a new generation has to become ready before it is given up."""
_RING_AGAIN = 1.0
"""Seconds: until then those that retire may have taken a bell that was for their successors."""


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


@dataclass(slots=True)
class Generation:
    """The serving processes of one configuration; `adopted` is called when they have taken over."""

    serving: list[Role]
    drain_timeout: float
    adopted: Callable[[], None]
    ready: set[str] = field(default_factory=set)


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
        reload: Callable[[], Generation],
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
        self._reload = reload
        self._candidate: Generation | None = None
        self._candidate_deadline = math.inf
        self._reload_again = False
        self._retired: list[Role] = []
        self._ring_at = math.inf
        self._ring: Callable[[], None] = _silence
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
            while any(role.process for role in self._all()) or self._phase is Phase.RUNNING:
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
        for role in self._all():
            if role.process is None:
                continue
            if role.process.ready_fd in readable:
                self._on_ready(role, role.process)
            if role.process.pidfd in readable:
                self._on_death(role, role.process)
        self._on_time()
        if self._phase is not Phase.RUNNING and not any(
            role.process for role in (*self._serving, *self._retired)
        ):
            self._end_attendants()

    def _wait(self) -> set[int]:
        poll = select.poll()
        poll.register(self._signals.fileno(), select.POLLIN)
        for role in self._all():
            if role.process is not None:
                poll.register(role.process.pidfd, select.POLLIN)
                if role.process.ready_fd is not None:
                    poll.register(role.process.ready_fd, select.POLLIN)
        times = [role.restart_at for role in self._roles if role.restart_at is not None]
        own = self._deadline, self._next_watchdog, self._candidate_deadline, self._ring_at
        next_time = min([*own, *times])
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
        for role in self._all():
            if role.process is not None:
                role.process.forget()

    def _all(self) -> list[Role]:
        candidates = [] if self._candidate is None else self._candidate.serving
        return [*self._roles, *candidates, *self._retired]

    def _on_ready(self, role: Role, process: Process) -> None:
        if not process.take_ready():
            return
        if role in self._retired:
            return
        role.ready(True)
        self._log.info("process ready", role=role.name, pid=process.pid)
        if self._phase is Phase.RUNNING and self._status.all_ready() and not self._announced:
            self._announced = True
            systemd.notify("READY=1")
            self._log.info("ready", processes=len(self._serving))
        if self._candidate is not None and role in self._candidate.serving:
            self._candidate.ready.add(role.name)
            if len(self._candidate.ready) == len(self._candidate.serving):
                self._adopt(self._candidate)

    def _on_death(self, role: Role, process: Process) -> None:
        code = process.reap()
        role.process = None
        if role in self._retired:
            self._retired.remove(role)
            self._died(role.name, process.pid, False)
            self._log.info("process ended", role=role.name, pid=process.pid, status=code)
            return
        if self._candidate is not None and role in self._candidate.serving:
            self._died(role.name, process.pid, False)
            self._give_up(f"a new process ended with {code} before it served")
            return
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
            self._begin_reload()
        elif number == signal.SIGUSR1:
            self._log.info("logs go to standard error; there is no file to reopen")

    def _on_time(self) -> None:
        now = self._clock()
        if now >= self._next_watchdog and self._watchdog is not None:
            self._next_watchdog = now + self._watchdog
            systemd.notify("WATCHDOG=1")
        if now >= self._candidate_deadline:
            self._give_up("the new processes did not become ready in time")
        if now >= self._ring_at:
            self._ring_at = math.inf
            self._ring()
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
        for role in self._all() if kill else (*self._serving, *self._retired):
            if role.process is not None:
                role.process.signal(signal.SIGKILL if kill else signal.SIGTERM)

    def _drain(self) -> None:
        self._status.set_draining()
        systemd.notify("STOPPING=1")
        self._deadline = self._clock() + self._drain_timeout + _GRACE
        for role in self._roles:
            role.restart_at = None
        if self._candidate is not None:
            self._give_up("the front-end is stopping")
        for role in (*self._serving, *self._retired):
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

    def _begin_reload(self) -> None:
        """Start processes with the configuration as it is now; those that serve know nothing."""
        if self._phase is not Phase.RUNNING:
            return
        if self._candidate is not None:
            self._reload_again = True
            return
        self._say_reloading()
        try:
            candidate = self._reload()
        except (StartError, ConfigurationError) as error:
            self._kept(str(error))
            return
        self._candidate = candidate
        self._candidate_deadline = self._clock() + _CANDIDATE_SECONDS
        for role in candidate.serving:
            self._start(role)
            if role.process is None:
                self._give_up("a process cannot be started")
                return

    def _adopt(self, candidate: Generation) -> None:
        """The new processes serve: the old ones take no more, and end when their clients have."""
        self._candidate, self._candidate_deadline = None, math.inf
        old, self._serving = self._serving, candidate.serving
        self._roles = [*self._attendants, *self._serving]
        self._drain_timeout = candidate.drain_timeout
        self._retire(old)
        self._ring, self._ring_at = candidate.adopted, self._clock() + _RING_AGAIN
        self._ring()
        self._log = get_logger("supervisor")
        self._log.info("reloaded", processes=len(self._serving))
        systemd.notify("READY=1")
        self._reload_once_more()

    def _give_up(self, reason: str) -> None:
        """The old configuration stays; what the new processes had accepted they serve."""
        candidate, self._candidate, self._candidate_deadline = self._candidate, None, math.inf
        if candidate is not None:
            self._retire(candidate.serving)
        self._kept(reason)
        self._reload_once_more()

    def _kept(self, reason: str) -> None:
        self._log.error("reload failed; the old configuration stays in force", reason=reason)
        if self._phase is Phase.RUNNING:
            systemd.notify("READY=1")

    def _reload_once_more(self) -> None:
        if self._reload_again:
            self._reload_again = False
            self._begin_reload()

    def _retire(self, roles: Sequence[Role]) -> None:
        for role in roles:
            role.restart_at = None
            if role.process is not None:
                role.process.signal(signal.SIGUSR2)
                self._retired.append(role)

    def _say_reloading(self) -> None:
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        systemd.notify(f"RELOADING=1\nMONOTONIC_USEC={microseconds}")

    def _kill_rest(self) -> None:
        for role in self._all():
            if role.process is not None:
                role.process.signal(signal.SIGKILL)
                role.process.reap()
                role.process = None


class Reloading:
    """What HUP asks for: the next generation, made of the configuration as it is then.

    Raises StartError or ConfigurationError, with nothing changed.
    """

    def __init__(
        self,
        settings: Settings,
        built: Any,
        load: Load,
        build: Build,
        generation: Callable[[Log, Frontend, Any], Generation],
    ) -> None:
        self._settings, self._built = settings, built
        self._load, self._build, self._generation = load, build, generation

    def __call__(self) -> Generation:
        settings = self._load()
        old, new = self._settings.frontend, settings.frontend
        if old is None or new is None:
            raise StartError("the configuration has no [frontend] table; add one")
        if fixed := _changed(old, new):
            raise StartError(f"{', '.join(fixed)} cannot change while it runs; restart it")
        built = self._build(new)
        if isinstance(built, _sites()):
            built.succeed(self._built)
        made = self._generation(settings.log, new, built)
        self._settings, self._built = settings, built
        gc.collect()
        gc.freeze()
        return made


def _changed(old: Frontend, new: Frontend) -> list[str]:
    """Settings that belong to the supervisor and its attendants, and differ."""
    fixed = "admin", "backlog", "cluster", "process_count"
    names = [f"frontend.{name}" for name in fixed if getattr(old, name) != getattr(new, name)]
    if [str(each) for each in old.listen] != [str(each) for each in new.listen]:
        names.append("frontend.listen")
    return names


def _sites() -> type[Any]:
    from offload.tls.site import Sites

    return Sites


def run(
    settings: Settings,
    load: Load,
    *,
    serve: Serve | None = None,
    build: Build | None = None,
) -> int:
    """Run the front-end in the foreground until it is told to stop; return the exit code.

    Must come before anything imports the metrics. What keeps it from starting is logged, with its
    remedy, and gives exit code 1. HUP has `load` read the configuration anew. `serve`
    and `build` are the product's own unless given.
    """
    logger = get_logger("supervisor")
    signals = Signals((signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1))
    try:
        directory = multiprocess.prepare()
        try:
            return _run(settings, load, serve, build or _build, signals)
        finally:
            multiprocess.remove(directory)
    except (StartError, ListenError, multiprocess.MetricsDirectoryError) as error:
        logger.error("cannot start", reason=str(error))
        return 1
    finally:
        signals.close()


def _run(
    settings: Settings, load: Load, serve: Serve | None, build: Build, signals: Signals
) -> int:
    frontend = settings.frontend
    if frontend is None:
        raise StartError("the configuration has no [frontend] table; add one")
    count = frontend.process_count
    _set_resource_limits()
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
    life = serve or partial(_serve, board)
    generation = partial(_generation, life, status, board, listeners, admin_listeners)
    reloading = Reloading(settings, built, load, build, generation)
    serving = generation(settings.log, frontend, built).serving
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
        reload=reloading,
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


def _generation(
    life: Serve,
    status: Status,
    board: Board | None,
    listeners: Listeners,
    admin_listeners: Listeners,
    logged: Log,
    frontend: Frontend,
    built: Any,
) -> Generation:
    """The serving processes of one configuration, none of them started."""

    def configured(*arguments: Any) -> int:
        log.configure(logged.level, logged.format)
        return life(*arguments)

    def adopted() -> None:
        log.configure(logged.level, logged.format)
        if board is not None:
            board.ring_all()

    serving = [
        _serving_role(index, frontend, configured, built, status, board, listeners, admin_listeners)
        for index in range(frontend.process_count)
    ]
    return Generation(serving, frontend.drain_timeout, adopted)


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


def _silence() -> None:
    """Nobody is to be told."""


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


def _set_resource_limits() -> None:
    # As many connections as the operator allows, rather than the shell's customary 1024.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # A dump would hold the secrets of sessions and the keys of tickets.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
