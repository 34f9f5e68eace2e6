"""The directory's file: what the clerk has verified, for the serving processes and the next start.

It holds the values as the members signed them, so whoever reads it verifies them again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

NAME = "directory.json"
_FORMAT = 1


class Saved(NamedTuple):
    """values: by path, sealed; alive: names of members."""

    values: dict[str, bytes]
    alive: tuple[str, ...]


class DirectoryFile:
    """One file, replaced as a whole, so that no reader sees half of it."""

    def __init__(self, state: Path) -> None:
        """`state` is the directory that it stands in."""
        self.path = state / NAME

    def save(self, values: Mapping[str, bytes], alive: Iterable[str]) -> None:
        """Replace it, durably. Raises OSError."""
        content = json.dumps(
            {
                "format": _FORMAT,
                "values": {path: value.decode() for path, value in values.items()},
                "alive": sorted(alive),
            }
        )
        temporary = self.path.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with open(descriptor, "w") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            temporary.replace(self.path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise

    def load(self) -> Saved | None:
        """What stands in it; None where there is none. Raises OSError, ValueError."""
        try:
            content = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return None
        try:
            if content["format"] != _FORMAT:
                raise ValueError(f"{self.path} was written by another version; remove it")
            values = {str(path): str(value).encode() for path, value in content["values"].items()}
            return Saved(values, tuple(str(name) for name in content["alive"]))
        except (KeyError, TypeError, AttributeError):
            raise ValueError(f"{self.path} is not what it should be; remove it") from None
