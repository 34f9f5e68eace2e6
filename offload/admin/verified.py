"""The file that says which values of the catalogue were verified in an earlier run.

It lies beside the local copy of the catalogue, in the worker's own directory: who can write there
could change that copy too. Without the file, or with half of it, more is verified, nothing less.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from offload.catalogue.verified import DIGEST, Verified
from offload.cluster.view import View
from offload.observe.log import get_logger

_EVERY_SECONDS: Final = 600.0

_log = get_logger(__name__)


class VerifiedFile:
    """Keeps `verified` in a file; `run` writes it once everything was read, and now and then."""

    def __init__(self, path: Path) -> None:
        """Read the file, if there is one that is ours alone."""
        self._path = path
        self.verified = Verified(_read(path))
        self._written: list[bytes] | None = None

    async def run(self, view: View, every: float = _EVERY_SECONDS) -> None:
        """Until cancelled; every: seconds."""
        await view.complete()
        self.verified.forget()
        self._written = []
        while True:
            await asyncio.to_thread(self.write)
            await asyncio.sleep(every)

    def write(self) -> None:
        """Write what has changed since; blocks, and raises nothing."""
        digests = self.verified.digests
        # Half of what there is would be less than what the file has.
        if self._written is None or digests == self._written:
            return
        try:
            _write(self._path, b"".join(digests))
        except OSError as error:
            _log.warning("what was verified is not remembered", error=str(error))
            return
        self._written = digests


def _read(path: Path) -> list[bytes]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return []
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
            _log.warning("a file that others can reach is not believed", path=str(path))
            return []
        content = file.read()
    return [content[at : at + DIGEST] for at in range(0, len(content) - DIGEST + 1, DIGEST)]


def _write(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
