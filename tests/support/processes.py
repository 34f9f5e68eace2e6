"""Real processes for tests: bounded waits, output kept, ended by their own process group."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_POLL_SECONDS = 0.02


class Spawned:
    """A started command. Its standard output and error go to one file, read by `output`."""

    def __init__(
        self,
        arguments: Sequence[str | Path],
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.arguments = [str(argument) for argument in arguments]
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                self.arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def output(self) -> str:
        """Everything that it has printed so far."""
        return self._log.read_text(errors="replace")

    def wait(self, timeout: float = 20.0) -> int:
        """Return its exit status; raises subprocess.TimeoutExpired."""
        return self.process.wait(timeout)

    def wait_for_output(self, pattern: str, timeout: float = 20.0) -> re.Match[str]:
        """Return the first match of the regular expression in its output.

        Raises AssertionError, with the output, when it ends or `timeout` seconds pass without one.
        """
        deadline = time.monotonic() + timeout
        while True:
            ended = self.process.poll() is not None
            match = re.search(pattern, self.output, re.MULTILINE)
            if match:
                return match
            self._check(ended, deadline, f"no {pattern!r}")

    def wait_for_port(self, port: int, timeout: float = 20.0) -> None:
        """Return when something accepts connections on 127.0.0.1:`port`."""
        deadline = time.monotonic() + timeout
        while True:
            ended = self.process.poll() is not None
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                self._check(ended, deadline, f"nothing listens on port {port}")
            else:
                return

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the command itself, not to its children."""
        self.process.send_signal(number)

    def stop(self, timeout: float = 10.0) -> int:
        """End it with TERM, then its whole process group with KILL; return its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
        status = self.process.wait(timeout)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return status

    def _check(self, ended: bool, deadline: float, problem: str) -> None:
        command = self.arguments[0]
        if ended:
            raise AssertionError(
                f"{problem}: {command} ended with {self.process.returncode}:\n{self.output}"
            )
        if time.monotonic() > deadline:
            raise AssertionError(f"{problem}: {command} timed out:\n{self.output}")
        time.sleep(_POLL_SECONDS)


class Spawner:
    """Starts commands and ends them all, newest first; the `spawn` fixture."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._spawned: list[Spawned] = []

    def __call__(
        self,
        *arguments: str | Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Spawned:
        """Start a command; `env` is added to this process's environment."""
        log = self._directory / f"process-{len(self._spawned)}.log"
        spawned = Spawned(arguments, log, env, cwd)
        self._spawned.append(spawned)
        return spawned

    def stop(self) -> None:
        """End every command and print its output, which pytest shows when a test fails."""
        for spawned in reversed(self._spawned):
            status = spawned.stop()
            print(f"--- {' '.join(spawned.arguments)} (exit {status})\n{spawned.output}")
