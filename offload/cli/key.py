"""`offload key`: the keys in a worker's token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from offload.cli.tokens import (
    DEFAULT_PATH,
    ConfigOption,
    PassphraseOption,
    TokenOption,
    chosen,
    opened,
)

if TYPE_CHECKING:
    from offload.keys.algorithm import Algorithm
    from offload.keys.record import KeyRecord

app = typer.Typer(help="Create and show the keys in a token.", rich_markup_mode=None)

JSONOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command("create")
def create(
    label: Annotated[str, typer.Argument(help="A name for the key, unique in the token.")],
    algorithm: Annotated[
        str, typer.Option("--algorithm", "-a", help="Such as p-256, rsa-2048 or ed25519.")
    ] = "p-256",
    config: ConfigOption = DEFAULT_PATH,
    token: TokenOption = None,
    passphrase_file: PassphraseOption = None,
    json: JSONOption = False,
) -> None:
    """Make a new key in the token; it never leaves it."""
    kind = _algorithm(algorithm)
    with opened(config, token, passphrase_file) as held:
        record = held.generate(label, kind)
    if json:
        typer.echo(_json([record])[0])
    else:
        typer.echo(f"created {record.algorithm} key {record.label!r}, id {record.ski.hex()}")


@app.command("list")
def list_(
    config: ConfigOption = DEFAULT_PATH,
    token: TokenOption = None,
    passphrase_file: PassphraseOption = None,
    json: JSONOption = False,
) -> None:
    """List the keys of the token."""
    with opened(config, token, passphrase_file) as held:
        records = list(held.keys())
    if json:
        for line in _json(records):
            typer.echo(line)
    else:
        _print_table(records)


@app.command("show")
def show(
    key: Annotated[str, typer.Argument(help="The key's label or id.")],
    config: ConfigOption = DEFAULT_PATH,
    token: TokenOption = None,
    passphrase_file: PassphraseOption = None,
    json: JSONOption = False,
) -> None:
    """Show one key and its public half."""
    with opened(config, token, passphrase_file) as held:
        record = chosen(held, key)
    if json:
        typer.echo(_json([record])[0])
        return
    typer.echo(f"label      {record.label}")
    typer.echo(f"id         {record.ski.hex()}")
    typer.echo(f"algorithm  {record.algorithm}")
    typer.echo(f"created    {record.created:%Y-%m-%d %H:%M:%S} UTC")
    typer.echo(_pem(record), nl=False)


def _algorithm(text: str) -> Algorithm:
    from offload.keys.algorithm import Algorithm

    try:
        return Algorithm(text.lower())
    except ValueError:
        known = ", ".join(Algorithm)
        raise typer.BadParameter(f"unknown algorithm {text!r}: choose from {known}") from None


def _print_table(records: list[KeyRecord]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("LABEL", "ALGORITHM", "CREATED", "ID", box=None, pad_edge=False)
    for record in records:
        created = f"{record.created:%Y-%m-%d %H:%M}"
        table.add_row(record.label, str(record.algorithm), created, record.ski.hex())
    # Wider than any row: an identifier cut off at the terminal's edge could not be copied.
    Console(width=200, markup=False, highlight=False).print(table)


def _json(records: list[KeyRecord]) -> list[str]:
    import orjson

    return [
        orjson.dumps(
            {
                "label": record.label,
                "id": record.ski.hex(),
                "algorithm": str(record.algorithm),
                "created": record.created,
                "public_key": _pem(record),
            }
        ).decode()
        for record in records
    ]


def _pem(record: KeyRecord) -> str:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_der_public_key,
    )

    key = load_der_public_key(record.public_key)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
