"""A token of SoftHSM2, an HSM in software, for one worker of the demonstration."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from offload.cli.failure import Failure
from offload.cli.files import write_secret

_LABEL = "offload-demo"
_PLACES = ("softhsm", "x86_64-linux-gnu/softhsm", "aarch64-linux-gnu/softhsm")


@dataclass(frozen=True, slots=True)
class Hsm:
    """table: the worker's token as in its configuration; environment: for its processes."""

    table: Mapping[str, Any]
    environment: Mapping[str, str]


def missing() -> str:
    """What of SoftHSM2 is not installed, with the remedy; '' if all is there."""
    if find_spec("pkcs11") is None:
        return "python-pkcs11 is not installed (pip install 'offload[pkcs11]')"
    if shutil.which("softhsm2-util") is None or _module() is None:
        return "SoftHSM2 is not installed (apt-get install softhsm2)"
    return ""


def make(directory: Path) -> Hsm:
    """A new token with a new PIN, in a directory that is made here; raises Failure."""
    module = _module()
    if module is None:
        raise Failure(missing())
    tokens, configuration = directory / "tokens", directory / "softhsm2.conf"
    tokens.mkdir(mode=0o700, parents=True)
    configuration.write_text(f"directories.tokendir = {tokens}\nlog.level = ERROR\n")
    environment = {"SOFTHSM2_CONF": str(configuration)}
    pin = secrets.token_hex(16)
    made = subprocess.run(
        [
            *("softhsm2-util", "--init-token", "--free", "--label", _LABEL),
            *("--so-pin", secrets.token_hex(16), "--pin", pin),
        ],
        env={**os.environ, **environment},
        check=False,
        capture_output=True,
        text=True,
    )
    if made.returncode:
        raise Failure(f"softhsm2-util made no token: {made.stderr.strip() or made.stdout.strip()}")
    write_secret(directory / "pin", f"{pin}\n".encode())
    table = {
        "kind": "pkcs11",
        "module": str(module),
        "token_label": _LABEL,
        "pin_file": str(directory / "pin"),
    }
    return Hsm(table, environment)


def _module() -> Path | None:
    paths = (Path("/usr/lib", place, "libsofthsm2.so") for place in _PLACES)
    return next((path for path in paths if path.exists()), None)
