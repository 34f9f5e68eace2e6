"""`offload init`: a state directory with everything to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def init(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="The directory to make; must not hold anything.")
    ],
) -> None:
    """Make a directory with a private CA, identities, a token and ready configurations."""
    from offload.cli import state

    state.create(directory, state.Plan())
    typer.echo(f"created {directory}; now run, each in a terminal of its own:")
    typer.echo(f"  offload worker -c {directory}/worker.toml")
    typer.echo(f"  offload frontend -c {directory}/frontend.toml")
    typer.echo("with a web server on 127.0.0.1:8080, the site is then at")
    typer.echo(f"  curl --cacert {directory / state.SITE_AUTHORITY} https://localhost:8443/")
    typer.echo(f"keep {directory}/authority off-line: who has its key can join the cluster")
