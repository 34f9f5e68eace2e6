"""Starting a process on a core, and ending it and its children for certain."""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bench.cpu import pinned
from offload.cli.demo.ports import free_ports

STOP_SECONDS = 3.0
# nginx and haproxy live in /usr/sbin, which is not on every user's PATH.
MORE_PATH = "/usr/sbin:/sbin"


# Variables by which whoever runs the benchmark could change what is measured.
OURS = ("OFFLOAD_", "OPENSSL_CONF")


class SubjectUnavailable(Exception):
    """A subject, or a program that a measure needs, cannot run here; the text says why."""


class Process:
    """A running command in a process group of its own, its output in a log file."""

    def __init__(self, command: Sequence[str], *, core: int, log: Path) -> None:
        self.log = log
        with pinned(core), log.open("wb") as output:
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment(),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send the process itself a signal."""
        self._popen.send_signal(number)

    def last_words(self) -> str:
        """The end of what the process printed, for an error message."""
        return self.log.read_text(errors="replace").strip()[-300:]

    def ask_to_stop(self) -> None:
        """Send the request to end, without waiting for it."""
        if self.running:
            self._popen.terminate()

    def stop(self) -> None:
        """End the process: asked first, then forced together with its whole group."""
        if self.running:
            self._popen.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait(STOP_SECONDS)


def environment() -> dict[str, str]:
    """This process's environment without what configures the product or OpenSSL.

    Peers and loads must run as an operator's would, and the product as it starts by itself.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith(OURS)}


def find(program: str) -> str:
    """The path of a program; raises SubjectUnavailable."""
    path = shutil.which(program, path=f"{os.environ.get('PATH', '')}:{MORE_PATH}")
    if path is None:
        raise SubjectUnavailable(f"{program} is not installed")
    return path


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on just now."""
    return free_ports(1)[0]
