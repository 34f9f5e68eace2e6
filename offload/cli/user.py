"""`offload user`: officers, key users and auditors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from offload.cli.caller import Call, built, server_command

if TYPE_CHECKING:
    from offload.cli.session import Session
    from offload.cluster.acts import CreateUser
    from offload.cluster.views import UserView

app = typer.Typer(help="Officers, key users and auditors.", rich_markup_mode=None)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The user.")]
RoleOption = Annotated[
    str, typer.Option("--role", help="'officer', 'key-user' or 'auditor'.", show_default=False)
]

_COMMAND = "offload user create"


@server_command(app, "create", writes=True)
def create(
    call: Call,
    name: NameArgument,
    role: RoleOption,
    directory: Annotated[
        Path,
        typer.Option("--directory", "-d", metavar="DIR", help="For the user: made, with a key."),
    ],
) -> None:
    """Make a user: a key and its certificate, and a client file to use them with."""
    from offload.cli import printing
    from offload.cli.identity import requested
    from offload.cluster.acts import CreateUser

    # What is wrong with the options is found before a key is made.
    built(CreateUser, user=name, role=role, request="")
    with requested(directory, name) as request:
        act = built(CreateUser, user=name, role=role, request=request)
        view = call.run(lambda session: _created(call, session, act, directory))
    if call.json:
        printing.views([view])
        return
    typer.echo(f"created {view.role} {view.name!r}, with the client file {directory}/client.toml")
    typer.echo(f"{directory} has the private key: hand it to {view.name!r}, and keep none here")


@server_command(app, "list")
def list_(call: Call) -> None:
    """List the users of the cluster."""
    from offload.cli import printing
    from offload.cluster.acts import ListUsers
    from offload.cluster.views import UserList

    found = call.perform(ListUsers(), UserList).users
    if call.json:
        printing.views(found)
        return
    printing.table(
        ("NAME", "ROLE", "SINCE", "CERTIFICATE"),
        ((one.name, one.role, printing.moment(one.created), one.fingerprint) for one in found),
    )


@server_command(app, "role", writes=True)
def role(
    call: Call,
    name: NameArgument,
    role: Annotated[str, typer.Argument(help="'officer', 'key-user' or 'auditor'.")],
) -> None:
    """Give a user another role."""
    from offload.cli import printing
    from offload.cluster.acts import SetRole
    from offload.cluster.views import UserView

    view = call.perform(built(SetRole, user=name, role=role), UserView)
    if call.json:
        printing.views([view])
    else:
        typer.echo(f"{view.name!r} is {view.role} now")


@server_command(app, "remove", writes=True)
def remove(call: Call, name: NameArgument) -> None:
    """Let a user's certificate and tokens open nothing any more."""
    from offload.cluster.acts import RemoveUser

    call.done(built(RemoveUser, user=name), f"removed {name!r}")


@server_command(app, "token", writes=True)
def token(
    call: Call,
    seconds: Annotated[
        float | None, typer.Option("--seconds", min=1, help="How long it is good: 900.")
    ] = None,
) -> None:
    """Print a bearer token for REST, with which one acts as the user of the client file."""
    from offload.cli import printing
    from offload.cluster.acts import MintToken
    from offload.cluster.views import TokenView

    view = call.perform(built(MintToken, seconds=seconds), TokenView)
    if call.json:
        printing.views([view])
        return
    typer.echo(f"good until {printing.moment(view.expires)}, and a secret until then:", err=True)
    typer.echo(view.token)


async def _created(call: Call, session: Session, act: CreateUser, directory: Path) -> UserView:
    """The user, once all files are written."""
    from offload.cli.building import write_configuration
    from offload.cli.identity import TRUST, issued
    from offload.cluster.acts import ListMembers, ShowCluster
    from offload.cluster.views import ClusterView, MemberList, UserView

    authority = (await session.perform(ShowCluster(), ClusterView)).authority
    members = (await session.perform(ListMembers(), MemberList)).members
    view = await session.perform(act, UserView, approval=call.approval)
    issued(directory, act.user, view.certificate, authority)
    client = {
        "servers": [f"https://{one.api}" for one in members if one.state == "present"],
        "certificate": f"{act.user}.pem",
        "key": f"{act.user}.key",
        "trust": TRUST,
    }
    write_configuration(directory / "client.toml", client, _COMMAND)
    return view
