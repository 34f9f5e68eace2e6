"""`offload cluster`: which front-ends may ask for signatures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from offload.cli.caller import Call, built, server_command
from offload.cli.cluster import app

FrontendArgument = Annotated[str, typer.Argument(metavar="NAME", help="The front-end.")]


@server_command(app, "frontends")
def frontends(call: Call) -> None:
    """List the front-ends, and what they serve."""
    from offload.cli import printing
    from offload.cluster.acts import ListFrontends
    from offload.cluster.views import FrontendList

    found = call.perform(ListFrontends(), FrontendList).frontends
    if call.json:
        printing.views(found)
        return
    printing.table(
        ("NAME", "ZONE", "ALIVE", "REGISTERED", "SERVES", "CERTIFICATE"),
        (
            (
                one.name,
                one.zone,
                one.alive,
                printing.moment(one.registered) or "",
                sorted(one.serving),
                one.fingerprint,
            )
            for one in found
        ),
    )


@server_command(app, "register", writes=True)
def register(
    call: Call,
    name: FrontendArgument,
    directory: Annotated[
        Path,
        typer.Option(
            "--directory", "-d", metavar="DIR", help="For the front-end: made, with a key."
        ),
    ],
    zone: Annotated[str, typer.Option("--zone", help="It prefers workers of its own.")] = "",
) -> None:
    """Make a front-end's identity: a key and its certificate."""
    from offload.cli import printing
    from offload.cli.identity import TRUST, issued, requested
    from offload.cluster.acts import RegisterFrontend
    from offload.cluster.views import FrontendView

    # What is wrong with the options is found before a key is made.
    built(RegisterFrontend, frontend=name, request="", zone=zone)
    with requested(directory, name) as request:
        act = built(RegisterFrontend, frontend=name, request=request, zone=zone)
        view = call.perform(act, FrontendView)
    issued(directory, name, view.certificate, view.authority)
    if call.json:
        printing.views([view])
        return
    typer.echo(f"registered {view.name!r}; in its configuration:")
    typer.echo("  [frontend.pool]")
    typer.echo(
        f'  identity = {{ certificate = "{directory}/{name}.pem", key = "{directory}/{name}.key" }}'
    )
    typer.echo(f'  trust = "{directory}/{TRUST}"')


@server_command(app, "unregister", writes=True)
def unregister(call: Call, name: FrontendArgument) -> None:
    """Let a front-end's certificate ask for nothing any more."""
    from offload.cluster.acts import RemoveFrontend

    call.done(built(RemoveFrontend, frontend=name), f"unregistered {name!r}")
