"""`offload certificate`: certificates and requests for keys that stay in their tokens."""

from __future__ import annotations

import ipaddress
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from offload.cli.caller import Call, built, server_command
from offload.cli.failure import Failure
from offload.cli.tokens import PassphraseOption, TokenOption, chosen, opened, token_of

if TYPE_CHECKING:
    from offload.cluster.token_key import TokenKey
    from offload.token.base import Token

app = typer.Typer(help="Certificates for keys.", rich_markup_mode=None)

KeyArgument = Annotated[str, typer.Argument(help="The key's label or id.")]
NamesOption = Annotated[
    list[str],
    typer.Option("--name", "-n", help="A DNS name or IP address; give it once for each."),
]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write there, not to standard output."),
]


@server_command(app, "self-sign")
def self_sign(
    call: Call,
    key: KeyArgument,
    name: NamesOption,
    days: Annotated[
        int, typer.Option("--days", min=1, max=3650, help="How long it is valid.")
    ] = 90,
    output: OutputOption = None,
    token: TokenOption = None,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Make a certificate that a token's key signs itself; for tests and private use."""
    from offload.cluster.authority import pem
    from offload.cluster.certification import BadSignature, self_signed

    names = [_name(text) for text in name]
    config = token_of(call, token, passphrase_file)
    if config is None:
        raise Failure(
            "a cluster's key signs a certificate of its own in a rotation alone",
            f"use 'offload key rotate {key} --issue self-signed', or have a request signed",
        )
    with opened(config, token, passphrase_file) as held:
        try:
            made = self_signed(_token_key(held, key), names, datetime.now(UTC), days)
        except BadSignature as error:
            raise Failure(str(error), "check the token; its key or device may be broken") from error
    _deliver(call, "certificate", pem(made), output)


@server_command(app, "request", writes=True)
def request(
    call: Call,
    key: KeyArgument,
    name: NamesOption,
    output: OutputOption = None,
    token: TokenOption = None,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Make a certification request (CSR) to send to a certificate authority."""
    from cryptography.hazmat.primitives.serialization import Encoding

    from offload.cluster import certification

    names = [_name(text) for text in name]
    config = token_of(call, token, passphrase_file)
    if config is None:
        _deliver_request(call, key, names, output)
        return
    with opened(config, token, passphrase_file) as held:
        try:
            made = certification.request(_token_key(held, key), names)
        except certification.BadSignature as error:
            raise Failure(str(error), "check the token; its key or device may be broken") from error
    _deliver(call, "request", made.public_bytes(Encoding.PEM), output)


@server_command(app, "install", writes=True)
def install(
    call: Call,
    key: KeyArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The chain (PEM), leaf first.")],
) -> None:
    """Have front-ends serve with a certificate, which is checked against the cluster's key."""
    from offload.cluster.acts import InstallCertificate

    act = built(InstallCertificate, key=key, chain=_text(file))
    call.done(act, f"installed the certificate of {key!r}")


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode("ascii")
    except UnicodeDecodeError:
        raise Failure(f"{file} is not PEM", "name a file with certificates in PEM") from None


def _deliver_request(call: Call, key: str, names: list[str], output: Path | None) -> None:
    from offload.cluster.acts import RequestCertificate
    from offload.cluster.views import RequestView

    view = call.perform(built(RequestCertificate, key=key, names=tuple(names)), RequestView)
    _deliver(call, "request", view.request.encode(), output)


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


def _deliver(call: Call, what: str, content: bytes, output: Path | None) -> None:
    """To the file if there is one, else to standard output."""
    from offload.cli.files import write_public

    if output is not None:
        write_public(output, content)
    if call.json:
        typer.echo(json.dumps({"file": str(output)} if output else {what: content.decode()}))
    elif output is None:
        typer.echo(content.decode(), nl=False)
