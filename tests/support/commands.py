"""Commands run in this process, on a cluster of one worker: with its files, or over REST."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from offload.admin.manager import Manager
from offload.cli import main
from offload.cli.cluster_create import create
from offload.cli.member_plan import MemberPlan
from offload.config import load
from offload.token.opening import open_token
from support.ports import free_port

OFFICER, KEY_USER = "olga", "kim"
_WAIT_SECONDS = 30.0


class Commands:
    """Runs them with the same options each time."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *options: str) -> None:
        self._capsys, self._options = capsys, options

    def with_options(self, *options: str) -> Commands:
        """The same, with other ones."""
        return Commands(self._capsys, *options)

    def __call__(self, *arguments: object) -> list[str]:
        """The lines on standard output of a command that succeeds."""
        code = main.run([*map(str, arguments), *self._options])
        output, errors = self._capsys.readouterr()
        assert code == 0, errors
        return output.splitlines()

    def json(self, *arguments: object) -> Any:
        """What a command that succeeds prints for programs: one value, or a list of several."""
        values = [json.loads(line) for line in self(*arguments, "--json")]
        return values[0] if len(values) == 1 else values

    def refused(self, *arguments: object, code: int = 1) -> str:
        """Standard error of a command that fails."""
        assert main.run([*map(str, arguments), *self._options]) == code
        output, errors = self._capsys.readouterr()
        assert output.strip() == ""
        return errors


def found(directory: Path) -> None:
    """A cluster of worker-1, with an officer and a key user."""
    plan = MemberPlan("worker-1", zone="a", api=f"127.0.0.1:{free_port()}")
    asyncio.run(create(directory, "example", OFFICER, plan, datetime.now(UTC), (), (KEY_USER,)))


class Running:
    """The worker's management, in a loop of its own beside commands that block."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))

    def __enter__(self) -> Running:
        self._thread.start()
        assert self._ready.wait(_WAIT_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._managing.cancel)
        self._thread.join()
        self._loop.close()

    async def _run(self) -> None:
        worker = load(self.directory / "worker.toml").worker
        assert worker is not None
        assert worker.cluster is not None
        assert worker.cluster.api is not None
        token = open_token(worker.token)
        host, port = str(worker.cluster.api).rsplit(":", 1)
        api = socket.create_server((host, int(port)))
        self._managing = asyncio.ensure_future(Manager(worker, token, api, lambda: True).run())
        self._loop.call_soon(self._ready.set)
        await asyncio.gather(self._managing, return_exceptions=True)
        api.close()
        token.close()
