"""Real tokens of SoftHSM2, for tests marked `needs("softhsm2-util")`.

SoftHSM reads its configuration and its tokens once in a process, so all tests of a process share
one directory of tokens, made ahead, of which each test takes new ones.
"""

import atexit
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

PIN = "1234"
_COUNT = 16


class HsmToken(NamedTuple):
    """An empty token: how to open it."""

    label: str
    module: str
    pin: bytes


def module() -> str:
    """SoftHSM's library."""
    for place in ("softhsm", "x86_64-linux-gnu/softhsm", "aarch64-linux-gnu/softhsm"):
        path = Path("/usr/lib", place, "libsofthsm2.so")
        if path.exists():
            return str(path)
    raise FileNotFoundError("libsofthsm2.so: run scripts/peers")


def make_tokens(directory: Path, labels: list[str]) -> Path:
    """Initialised tokens in `directory`; returns the configuration for SOFTHSM2_CONF."""
    tokens = directory / "tokens"
    tokens.mkdir(parents=True)
    configuration = directory / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {tokens}\nlog.level = ERROR\n")
    for label in labels:
        pins = ("--so-pin", "12345678", "--pin", PIN)
        subprocess.run(
            ["softhsm2-util", "--init-token", "--free", "--label", label, *pins],
            env={**os.environ, "SOFTHSM2_CONF": str(configuration)},
            check=True,
            capture_output=True,
        )
    return configuration


@cache
def _made() -> Iterator[str]:
    directory = Path(tempfile.mkdtemp(prefix="softhsm-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    labels = [f"token-{number}" for number in range(_COUNT)]
    os.environ["SOFTHSM2_CONF"] = str(make_tokens(directory, labels))
    return iter(labels)


def new_token() -> HsmToken:
    """One that no test of this process has had yet."""
    return HsmToken(next(_made()), module(), PIN.encode())
