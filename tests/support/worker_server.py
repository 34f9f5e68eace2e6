"""A worker's server on the test's own loop."""

import asyncio
import socket

from offload.worker.server import Server


class Running:
    """A server behind a listening socket on the test's own loop."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        self.server.accept(self._listener.accept()[0])

    def stop(self) -> None:
        """End the links and listen no more."""
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        self.server.close()
