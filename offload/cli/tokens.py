"""Opening the token that a command works on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from offload.cli.failure import Failure
from offload.cli.settings import DEFAULT_PATH, loaded

if TYPE_CHECKING:
    from offload.cli.caller import Call
    from offload.config import TokenSettings
    from offload.keys.record import KeyRecord
    from offload.token.base import Token

TokenOption = Annotated[
    Path | None,
    typer.Option("--token", metavar="DIR", help="The token, instead of the configuration's."),
]
PassphraseOption = Annotated[
    Path | None,
    typer.Option("--passphrase-file", metavar="FILE", help="Goes with --token."),
]


def token_of(call: Call, token: Path | None, passphrase_file: Path | None) -> Path | None:
    """The configuration of a token to work on directly, None where a cluster is to be asked."""
    if token is not None or passphrase_file is not None:
        return call.config or DEFAULT_PATH
    return call.alone()


@contextmanager
def opened(config: Path, token: Path | None, passphrase_file: Path | None) -> Iterator[Token]:
    """The token that the options name; its errors inside the block become Failures."""
    from offload.token.base import TokenError
    from offload.token.opening import open_token

    settings = _settings(config, token, passphrase_file)
    try:
        held = open_token(settings)
        try:
            yield held
        finally:
            held.close()
    except TokenError as error:
        raise Failure(str(error)) from error


def _settings(config: Path, token: Path | None, passphrase_file: Path | None) -> TokenSettings:
    from offload.config import SoftwareTokenSettings

    if (token is None) != (passphrase_file is None):
        raise typer.BadParameter("'--token' and '--passphrase-file' go together")
    if token is not None and passphrase_file is not None:
        return SoftwareTokenSettings(directory=token, passphrase_file=passphrase_file)
    settings = loaded(config, "worker", files=False)
    assert settings.worker is not None
    return settings.worker.token


def chosen(token: Token, key: str) -> KeyRecord:
    """The key that `key` names by label or by identifier; raises Failure if there is none."""
    records = token.keys()
    for record in records:
        if key in (record.label, record.ski.hex()):
            return record
    raise Failure(f"the token has no key {key!r}", "see 'offload key list'")
