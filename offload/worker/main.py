"""`offload worker`: from settings to a running worker, or to a message that says why not."""

import os
import socket
import sys
from contextlib import nullcontext
from functools import partial
from typing import NamedTuple

from OpenSSL import SSL

from offload.config import Settings, Worker
from offload.observe import log, multiprocess
from offload.tls.mutual import CredentialsUnusable, server_context
from offload.token.base import Token, TokenError
from offload.token.passphrase import read_passphrase
from offload.token.software import SoftwareToken
from offload.worker.board import Board
from offload.worker.hardening import HardeningError, forbid_dumps
from offload.worker.listener import ListenError, listen


class _Ready(NamedTuple):
    """All that can be found wrong before anything serves."""

    token: Token
    context: SSL.Context
    listener: socket.socket
    admin: socket.socket | None


def run(settings: Settings) -> int:
    """Serve until TERM or INT; returns the exit code, 1 with a message if it cannot start.

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
        with ready.listener, ready.admin or nullcontext():
            return _supervise(worker, ready)
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
    token = SoftwareToken.open(
        worker.token.directory, read_passphrase(worker.token.passphrase_file)
    )
    listener = listen(worker.listen)
    try:
        return _Ready(token, context, listener, listen(worker.admin) if worker.admin else None)
    except ListenError:
        listener.close()
        raise


def _supervise(worker: Worker, ready: _Ready) -> int:
    # Imported now: these count in metrics, whose directory had to be prepared first.
    from offload.worker import admin, serving
    from offload.worker.supervisor import Supervisor

    processes = worker.processes or len(os.sched_getaffinity(0))
    board = Board(processes)

    def serve(intake: socket.socket, row: int) -> None:
        serving.serve(worker, ready.token, ready.context, intake, board, row)

    supervisor = Supervisor(
        ready.listener,
        serve,
        board,
        processes=processes,
        drain_timeout=worker.drain_timeout,
        admin=partial(admin.serve, ready.admin, board) if ready.admin else None,
    )
    log.get_logger(__name__).info(
        "worker started",
        worker=worker.name,
        listen=str(worker.listen),
        processes=processes,
        keys=len(ready.token.keys()),
    )
    return supervisor.run()
