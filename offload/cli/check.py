"""`offload check`: is this configuration file good?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from offload.cli.settings import loaded, warn


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The configuration file.")],
    syntax: Annotated[
        bool,
        typer.Option("--syntax", help="Leave out the certificates and keys that it names."),
    ] = False,
) -> None:
    """Check a configuration file and everything that it names."""
    settings = loaded(file, files=not syntax)
    if not syntax:
        warn(file, settings)
    typer.echo(f"{file}: the configuration is good")
