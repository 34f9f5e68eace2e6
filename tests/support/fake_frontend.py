"""A front-end with the real supervisor and a small stand-in for the serving process.

Run as `python -m support.fake_frontend CONFIGURATION`. Each connection gets one line, the serving
process's index and id, and is then held open until the client closes it or sends a byte: "x" makes
the process exit, "k" makes it kill itself. With FAKE_CRASH=N in
the environment, serving process N exits as soon as it is started; with FAKE_CRASH_IF=PATH all do
once that file is there; with FAKE_STUBBORN=1 TERM is
ignored; with FAKE_SLOW=1 the first TERM is answered by staying, the second by leaving.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from offload import config
from offload.frontend import supervisor
from offload.frontend.listeners import Bound
from offload.observe import log


def serve(
    _settings: config.Frontend, built: Any, bound: list[Bound], index: int, ready_fd: int
) -> int:
    """Answer each connection with one line until TERM."""
    assert built == "built"
    crash = os.environ.get("FAKE_CRASH_IF")
    if os.environ.get("FAKE_CRASH") == str(index) or (crash and Path(crash).exists()):
        return 3
    sockets = [each.socket for each in bound]
    signal.signal(signal.SIGTERM, _on_term(sockets))
    signal.signal(signal.SIGUSR2, _on_term(sockets))
    with selectors.DefaultSelector() as selector:
        for listener in sockets:
            listener.listen(128)
            selector.register(listener, selectors.EVENT_READ, _accept)
        os.write(ready_fd, b"\1")
        while True:
            for key, _ in selector.select():
                key.data(selector, key.fileobj, index)


def _on_term(sockets: list[socket.socket]) -> Any:
    terms = 0

    def handle(*_: Any) -> None:
        nonlocal terms
        terms += 1
        print(f"TERM {terms} in {os.getpid()}", flush=True)
        for listener in sockets:
            listener.close()
        if "FAKE_STUBBORN" not in os.environ and ("FAKE_SLOW" not in os.environ or terms > 1):
            raise SystemExit(0)

    return handle


def _accept(selector: selectors.BaseSelector, listener: socket.socket, index: int) -> None:
    # The supervisor's copy of a closed listener may still wake the selector.
    if listener.fileno() < 0:
        return
    connection, _ = listener.accept()
    connection.sendall(f"{index} {os.getpid()}\n".encode())
    selector.register(connection, selectors.EVENT_READ, _command)


def _command(selector: selectors.BaseSelector, connection: socket.socket, _index: int) -> None:
    command = connection.recv(1)
    if command == b"x":
        os._exit(9)
    if command == b"k":
        os.kill(os.getpid(), signal.SIGKILL)
    selector.unregister(connection)
    connection.close()


def main() -> int:
    """Run the supervisor with the stand-in."""
    log.configure("debug", "text")
    settings = config.load(sys.argv[1], files=False)

    def load() -> config.Settings:
        return config.load(sys.argv[1], files=False)

    return supervisor.run(settings, load, serve=serve, build=lambda _frontend: "built")


if __name__ == "__main__":
    sys.exit(main())
