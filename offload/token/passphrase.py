"""The passphrase or PIN that opens a token, kept in a file of its own."""

import os
from collections.abc import Mapping
from pathlib import Path

from offload.token.base import TokenError, TokenNotFound
from offload.token.storage import read_private


def read_passphrase(path: Path) -> bytes:
    """The first line of the file, which only its owner may read; the line end is not part of it.

    Raises TokenNotFound, TokenInsecure, TokenError.
    """
    return _first_line(path, "passphrase")


def read_pin(path: Path) -> bytes:
    """The PIN of an HSM, by the same rules."""
    return _first_line(path, "PIN")


def credential(name: str, environment: Mapping[str, str] | None = None) -> Path:
    """The file of a systemd credential (LoadCredential=, systemd.exec(5)); raises TokenNotFound."""
    directory = (os.environ if environment is None else environment).get("CREDENTIALS_DIRECTORY")
    if not directory:
        raise TokenNotFound(
            f"there is no systemd credential {name!r}: write LoadCredential={name}:/PATH into the"
            " unit, or name a file in the configuration"
        )
    return Path(directory) / name


def _first_line(path: Path, what: str) -> bytes:
    try:
        content = read_private(path, root_may_own=True)
    except TokenNotFound as error:
        raise TokenNotFound(f"{path} does not exist: put the token's {what} there") from error
    line = content.split(b"\n", 1)[0].rstrip(b"\r")
    if not line:
        raise TokenError(f"{path} is empty: put the token's {what} on its first line")
    return line
