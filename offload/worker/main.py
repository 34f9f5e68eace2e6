"""`offload worker`: from settings to a running worker, or to a message that says why not."""

import os
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from functools import partial
from typing import NamedTuple, Protocol

from OpenSSL import SSL

from offload.config import Settings, Worker
from offload.observe import log, multiprocess
from offload.tls.mutual import CredentialsUnusable, server_context
from offload.token.base import ReplicatedToken, TokenError
from offload.token.opening import opener, opens_before_fork
from offload.worker.board import Board
from offload.worker.hardening import HardeningError, forbid_dumps
from offload.worker.listener import ListenError, listen


class _Ready(NamedTuple):
    """All that can be found wrong before anything serves; `token` opens it in each process."""

    token: Callable[[], ReplicatedToken]
    context: SSL.Context
    listener: socket.socket
    admin: socket.socket | None
    api: socket.socket | None


class Manage(Protocol):
    """What the management process of a cluster's member does, until TERM."""

    def __call__(
        self,
        worker: Worker,
        token: ReplicatedToken,
        api: socket.socket | None,
        ready: Callable[[], bool],
    ) -> None:
        """`api` listens already, None where no REST is wanted; `ready`: whether anybody serves."""


def run(settings: Settings, manage: Manage | None = None) -> int:
    """Serve until TERM or INT; returns the exit code, 1 with a message if it cannot start.

    manage: run in a process of its own where there is a [worker.cluster] table.

    HUP takes in keys that were added to the token. Whatever can be wrong with the settings is
    found before the first process serves. Raises ValueError without a [worker] table.
    """
    worker = settings.worker
    if worker is None:
        raise ValueError("no [worker] table: add one to the configuration")
    log.configure(settings.log.level, settings.log.format)
    prepared = None
    try:
        if multiprocess.directory() is None:
            prepared = multiprocess.prepare()
        ready = _prepare(worker)
        with ready.listener, ready.admin or nullcontext(), ready.api or nullcontext():
            return _supervise(worker, ready, manage)
    except (
        TokenError,
        CredentialsUnusable,
        ListenError,
        HardeningError,
        multiprocess.MetricsDirectoryError,
    ) as error:
        sys.stderr.write(f"offload: error: {error}\n")
        return 1
    finally:
        if prepared is not None:
            multiprocess.remove(prepared)


def _prepare(worker: Worker) -> _Ready:
    forbid_dumps()
    context = server_context(worker.identity, worker.trust)
    token = opener(worker.token)
    api = worker.cluster.api if worker.cluster else None
    with ExitStack() as stack:
        listeners = [
            stack.enter_context(listen(address)) if address else None
            for address in (worker.listen, worker.admin, api)
        ]
        stack.pop_all()
    assert listeners[0] is not None
    return _Ready(token, context, listeners[0], listeners[1], listeners[2])


def _supervise(worker: Worker, ready: _Ready, manage: Manage | None) -> int:
    # Imported now: these count in metrics, whose directory had to be prepared first.
    from offload.worker import admin, serving
    from offload.worker.supervisor import Supervisor

    processes = worker.processes or len(os.sched_getaffinity(0))
    board = Board(processes)

    def serve(intake: socket.socket, row: int) -> None:
        serving.serve(worker, ready.token(), ready.context, intake, board, row)

    supervisor = Supervisor(
        ready.listener,
        serve,
        board,
        processes=processes,
        drain_timeout=worker.drain_timeout,
        admin=partial(admin.serve, ready.admin, board) if ready.admin else None,
        manage=(lambda: manage(worker, ready.token(), ready.api, board.ready))
        if manage and worker.cluster
        else None,
    )
    log.get_logger(__name__).info(
        "worker started",
        worker=worker.name,
        listen=str(worker.listen),
        processes=processes,
        # A token that is opened after the fork is not looked into by the supervisor.
        keys=len(ready.token().keys()) if opens_before_fork(worker.token) else None,
    )
    return supervisor.run()
