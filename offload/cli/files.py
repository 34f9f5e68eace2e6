"""Writing files that are secret, and files that are not."""

from __future__ import annotations

import os
from pathlib import Path

from offload.cli.failure import Failure


def write_secret(path: Path, content: bytes) -> None:
    """Make `path`, readable by its owner alone; raises Failure if it exists."""
    _write(path, content, 0o600)


def write_public(path: Path, content: bytes) -> None:
    """Make `path`, readable by everybody; raises Failure if it exists."""
    _write(path, content, 0o644)


def _write(path: Path, content: bytes, mode: int) -> None:
    try:
        # O_EXCL: nothing is overwritten, and no link that somebody put there is followed.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError:
        raise Failure(f"{path} exists already", "name another file, or remove it") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
