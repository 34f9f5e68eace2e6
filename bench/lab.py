"""The place of one run: its directory, keys, backend and running processes, ended together."""

import itertools
import resource
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from bench.pki import Authority, PrivateKey, generate, write_key
from bench.process import Process, SubjectUnavailable, find

MEASURED_CORE = 0
LOAD_CORE = 1
READY_SECONDS = 15.0


class Lab:
    """Use as a context manager: leaving it ends every process and removes every file."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._keys: dict[str, tuple[Path, Path]] = {}
        self._serial = itertools.count()
        self.directory = Path(
            self._stack.enter_context(tempfile.TemporaryDirectory(prefix="offload-bench-"))
        )
        self.authority = Authority(self.directory)
        self._processes: list[Process] = []

    def __enter__(self) -> "Lab":
        _raise_file_limit()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # All at once, so that the waits for each overlap.
        for process in self._processes:
            process.ask_to_stop()
        self._stack.close()

    def start(self, name: str, command: Sequence[str], *, core: int) -> Process:
        """Start a process that ends with the run at the latest."""
        log = self.path(f"{name}.log")
        process = Process([find(command[0]), *command[1:]], core=core, log=log)
        self._processes.append(process)
        self._stack.callback(process.stop)
        return process

    def path(self, name: str) -> Path:
        """A file name of its own in the run's directory, the given name at its end."""
        return self.directory / f"{next(self._serial):03d}-{name}"

    def local_key(self, key: str) -> tuple[Path, Path]:
        """Certificate and private key files of this type for the peers, made on first use."""
        if key not in self._keys:
            private = generate(key)
            self._keys[key] = self.identity(f"local-{key}", private)
        return self._keys[key]

    def identity(self, name: str, private: PrivateKey) -> tuple[Path, Path]:
        """Certificate and key files for a private key."""
        certificate = self.path(f"{name}.pem")
        self.authority.issue(certificate, name, private.public_key())
        return certificate, write_key(self.path(f"{name}.key"), private)

    def client_context(self) -> ssl.SSLContext:
        """A TLS client that trusts this run's authority alone."""
        return ssl.create_default_context(cafile=str(self.authority.file))

    def wait_ready(self, process: Process, port: int, *, tls: bool = True) -> None:
        """Wait until the process answers a request; raises SubjectUnavailable if it does not."""
        self.wait(process, lambda: self.request(port, tls=tls))

    def wait_listening(self, process: Process, port: int) -> None:
        """Wait until the process accepts connections; raises SubjectUnavailable otherwise."""
        self.wait(process, lambda: socket.create_connection(("127.0.0.1", port), 5.0).close())

    def wait(self, process: Process, attempt: Callable[[], object]) -> None:
        """Repeat an attempt until it raises no OSError; raises SubjectUnavailable in the end."""
        deadline = time.monotonic() + READY_SECONDS
        problem: Exception | None = None
        while process.running and time.monotonic() < deadline:
            try:
                attempt()
                return
            except OSError as error:
                problem = error
                time.sleep(0.05)
        raise SubjectUnavailable(f"{process.last_words() or problem or 'it ended at once'}")

    def request(self, port: int, *, tls: bool = True) -> str:
        """One request to a loopback port; the negotiated cipher. Raises OSError on any failure."""
        with socket.create_connection(("127.0.0.1", port), 5.0) as plain:
            if not tls:
                _exchange(plain)
                return ""
            with self.client_context().wrap_socket(plain, server_hostname="localhost") as secure:
                _exchange(secure)
                cipher = secure.cipher()
                return f"{secure.version()} {cipher[0] if cipher else '?'}"

    def resumes(self, port: int) -> bool:
        """Whether a second connection with the first one's session is resumed."""
        context, session, reused = self.client_context(), None, False
        for _ in range(2):
            with (
                socket.create_connection(("127.0.0.1", port), 5.0) as plain,
                context.wrap_socket(plain, server_hostname="localhost", session=session) as secure,
            ):
                _exchange(secure)
                session, reused = secure.session, bool(secure.session_reused)
        return reused


def _exchange(connection: socket.socket) -> None:
    connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    if not connection.recv(4096).startswith(b"HTTP/1.1 200"):
        raise OSError("the answer was not a response of status 200")


def _raise_file_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
