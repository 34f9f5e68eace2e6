"""`offload frontend` and `offload worker`: the two servers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from offload.cli.failure import Failure
from offload.cli.settings import DEFAULT_PATH, ConfigOption, effective, loaded, warn

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
    provider.ensure()
    settings = loaded(config)
    if settings.frontend is None:
        raise _missing("frontend", config)
    _check_provider()
    from offload.frontend.supervisor import run

    return run(settings)


def worker(
    config: ConfigOption = DEFAULT_PATH, test: TestOption = False, dump: DumpOption = False
) -> int:
    """Run a worker: holds the private keys, signs TLS handshakes and nothing else."""
    if test or dump:
        return _tested("worker", config, dump)
    settings = loaded(config)
    if settings.worker is None:
        raise _missing("worker", config)
    from offload.token.base import TokenError
    from offload.worker.main import run

    try:
        return run(settings)
    except TokenError as error:
        raise Failure(str(error)) from error


def _tested(role: str, config: Path, dump: bool) -> int:
    settings = loaded(config)
    if getattr(settings, role) is None:
        raise _missing(role, config)
    warn(config, settings)
    if dump:
        typer.echo(effective(config, settings), nl=False)
    else:
        typer.echo(f"{config}: the configuration is good")
    return 0


def _check_provider() -> None:
    from offload import provider

    try:
        provider.check()
    except provider.ProviderUnavailable as error:
        raise Failure(str(error)) from error


def _missing(role: str, config: Path) -> Failure:
    return Failure(
        f"{config}: has no [{role}] table", f"add one, or name the {role}'s own file with -c"
    )
