"""The passphrase that opens a token, kept in a file of its own."""

from pathlib import Path

from offload.token.base import TokenError, TokenNotFound
from offload.token.storage import read_private


def read_passphrase(path: Path) -> bytes:
    """The first line of the file, which only its owner may read; the line end is not part of it.

    Raises TokenNotFound, TokenInsecure, TokenError.
    """
    try:
        content = read_private(path, root_may_own=True)
    except TokenNotFound as error:
        raise TokenNotFound(f"{path} does not exist: put the token's passphrase there") from error
    passphrase = content.split(b"\n", 1)[0].rstrip(b"\r")
    if not passphrase:
        raise TokenError(f"{path} is empty: put the token's passphrase on its first line")
    return passphrase
