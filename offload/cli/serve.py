"""`offload frontend` and `offload worker`: the two servers."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from offload.cli.failure import Failure
from offload.cli.settings import DEFAULT_PATH, ConfigOption, effective, loaded, warn

if TYPE_CHECKING:
    from offload.config import Role, Settings, Worker
    from offload.token.base import ReplicatedToken

TestOption = Annotated[bool, typer.Option("--test", "-t", help="Check the configuration and exit.")]
DumpOption = Annotated[
    bool, typer.Option("--dump", "-T", help="Check it, print the effective one and exit.")
]


def frontend(
    config: ConfigOption = DEFAULT_PATH, test: TestOption = False, dump: DumpOption = False
) -> int:
    """Run a front-end: terminates client TLS, asks workers for signatures."""
    if test or dump:
        return _tested("frontend", config, dump)
    from offload import provider

    # The library reads its configuration when it is loaded, so the environment comes first.
    with _provider_failures():
        provider.ensure()
    settings = loaded(config, "frontend")
    with _provider_failures():
        provider.check()
    from offload.frontend.supervisor import run
    from offload.observe import log

    log.configure(settings.log.level, settings.log.format)

    def load() -> Settings:
        from offload.config import load as read

        return read(config, role="frontend")

    return run(settings, load)


def worker(
    config: ConfigOption = DEFAULT_PATH, test: TestOption = False, dump: DumpOption = False
) -> int:
    """Run a worker: holds the private keys, signs TLS handshakes and nothing else."""
    if test or dump:
        return _tested("worker", config, dump)
    settings = loaded(config, "worker")
    from offload.token.base import TokenError
    from offload.worker.main import run

    try:
        return run(settings, _manage)
    except TokenError as error:
        raise Failure(str(error)) from error


def _manage(
    worker: Worker,
    token: ReplicatedToken,
    api: socket.socket | None,
    ready: Callable[[], bool],
) -> None:
    """In a process of its own: only there are its libraries loaded."""
    from offload.admin.manager import manage

    manage(worker, token, api, ready)


def _tested(role: Role, config: Path, dump: bool) -> int:
    settings = loaded(config, role)
    warn(config, settings)
    if dump:
        typer.echo(effective(config, settings), nl=False)
    else:
        typer.echo(f"{config}: the configuration is good")
    return 0


@contextmanager
def _provider_failures() -> Iterator[None]:
    from offload import provider

    try:
        yield
    except provider.ProviderUnavailable as error:
        raise Failure(str(error)) from error
