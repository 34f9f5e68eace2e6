"""Building a directory that is there whole or not at all, and what goes into one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from offload.cli.failure import Failure
from offload.cli.files import write_public, write_secret
from offload.cli.toml import dumps
from offload.cluster.authority import Identity


@contextmanager
def built_beside(directory: Path) -> Iterator[Path]:
    """A place (0700) that becomes `directory` at the end of the block, or vanishes if that fails.

    Raises Failure if anything is in its place.
    """
    directory = directory.absolute()
    require_free(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        yield place
        try:
            # Replaces an empty directory, and fails if somebody has put something there since.
            place.rename(directory)
        except OSError:
            raise _occupied(directory) from None
    finally:
        shutil.rmtree(place, ignore_errors=True)


def require_free(directory: Path) -> None:
    """Raise Failure if there is anything but an empty directory."""
    if directory.is_symlink() or (directory.exists() and not _is_empty(directory)):
        raise _occupied(directory)


def write_identity(place: Path, folder: str, name: str, identity: Identity) -> None:
    """FOLDER/NAME.pem and .key below `place`."""
    write_public(place / folder / f"{name}.pem", identity.certificate)
    write_secret(place / folder / f"{name}.key", identity.key)


def write_configuration(path: Path, table: Mapping[str, Any], made_by: str) -> None:
    """`table` as TOML; `made_by` is the command that says so in it."""
    head = f"# Made by '{made_by}'. Paths are relative to this file.\n\n"
    write_public(path, (head + dumps(table)).encode())


def _is_empty(directory: Path) -> bool:
    return directory.is_dir() and not any(directory.iterdir())


def _occupied(directory: Path) -> Failure:
    return Failure(f"{directory} exists already", "name a directory that is empty or not there yet")
