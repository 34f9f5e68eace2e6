"""Configuration files, as commands take and show them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from offload.cli.failure import Complaint, Failure, render

if TYPE_CHECKING:
    from offload.config import Role, Settings

DEFAULT_PATH = Path("/etc/offload/offload.toml")

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", metavar="FILE", help="The configuration file.")
]


def loaded(path: Path, role: Role | None = None, *, files: bool = True) -> Settings:
    """As `config.load()`, but raises Failure with one complaint for each problem."""
    from offload.config import ConfigurationError, load

    try:
        return load(path, role=role, files=files)
    except ConfigurationError as error:
        first, *rest = [
            Complaint(f"{path}: {problem._replace(remedy='')}", problem.remedy)
            for problem in error.problems
        ]
        raise Failure(*first, *rest) from None


def warn(path: Path, settings: Settings) -> None:
    """Say on standard error what will need care soon, though it stops nothing."""
    from offload import config_files

    for problem in config_files.warnings(settings):
        complaint = Complaint(f"{path}: {problem.key}: {problem.text}", problem.remedy)
        typer.echo(render(complaint, "warning"), err=True)


def effective(path: Path, settings: Settings) -> str:
    """The configuration in force, as TOML: defaults and environment included, secrets masked."""
    from offload.cli.toml import dumps

    return f"# {path}, with defaults and environment\n" + dumps(
        settings.model_dump(mode="json", exclude_none=True)
    )
