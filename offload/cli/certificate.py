"""`offload certificate`: certificates and requests for keys that stay in the token."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from offload.cli.failure import Failure
from offload.cli.tokens import (
    DEFAULT_PATH,
    ConfigOption,
    PassphraseOption,
    TokenOption,
    chosen,
    opened,
)

if TYPE_CHECKING:
    from offload.cluster.token_key import TokenKey
    from offload.token.base import Token

app = typer.Typer(help="Certificates for keys in a token.", rich_markup_mode=None)

KeyArgument = Annotated[str, typer.Argument(help="The key's label or id.")]
NamesOption = Annotated[
    list[str],
    typer.Option("--name", "-n", help="A DNS name or IP address; give it once for each."),
]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write there, not to standard output."),
]


@app.command("self-sign")
def self_sign(
    key: KeyArgument,
    name: NamesOption,
    days: Annotated[
        int, typer.Option("--days", min=1, max=3650, help="How long it is valid.")
    ] = 90,
    output: OutputOption = None,
    config: ConfigOption = DEFAULT_PATH,
    token: TokenOption = None,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Make a certificate that the key signs itself; for tests and private use."""
    from offload.cluster.authority import pem
    from offload.cluster.certification import BadSignature, self_signed

    names = [_name(text) for text in name]
    with opened(config, token, passphrase_file) as held:
        try:
            made = self_signed(_token_key(held, key), names, datetime.now(UTC), days)
        except BadSignature as error:
            raise Failure(str(error), "check the token; its key or device may be broken") from error
    _deliver(pem(made), output)


@app.command("request")
def request(
    key: KeyArgument,
    name: NamesOption,
    output: OutputOption = None,
    config: ConfigOption = DEFAULT_PATH,
    token: TokenOption = None,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Make a certification request (CSR) to send to a certificate authority."""
    from cryptography.hazmat.primitives.serialization import Encoding

    from offload.cluster import certification

    names = [_name(text) for text in name]
    with opened(config, token, passphrase_file) as held:
        try:
            made = certification.request(_token_key(held, key), names)
        except certification.BadSignature as error:
            raise Failure(str(error), "check the token; its key or device may be broken") from error
    _deliver(made.public_bytes(Encoding.PEM), output)


def _name(text: str) -> str:
    from offload.config import site_name

    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    try:
        return site_name(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _token_key(held: Token, key: str) -> TokenKey:
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    from offload.cluster.token_key import token_key

    record = chosen(held, key)
    return token_key(
        load_der_public_key(record.public_key),
        lambda scheme, content: held.sign(record.ski, scheme, content),
    )


def _deliver(content: bytes, output: Path | None) -> None:
    from offload.cli.files import write_public

    if output is None:
        typer.echo(content.decode(), nl=False)
    else:
        write_public(output, content)
