"""`offload cluster`: who belongs to it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from offload.cli.caller import Call, built, server_command
from offload.cli.cluster import app

MemberArgument = Annotated[str, typer.Argument(metavar="NAME", help="The worker.")]


@server_command(app, "invite", writes=True)
def invite(
    call: Call,
    member: MemberArgument,
    seconds: Annotated[
        float | None, typer.Option("--seconds", min=1, help="How long it is good: 3600.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write there, not to standard output."),
    ] = None,
) -> None:
    """Print an invitation, with which a worker of that name may ask to join; it is a secret."""
    from offload.cli import printing
    from offload.cli.files import write_secret
    from offload.cluster.acts import Invite
    from offload.cluster.views import InvitationView

    view = call.perform(built(Invite, member=member, seconds=seconds), InvitationView)
    if output is not None:
        write_secret(output, view.invitation.encode() + b"\n")
    elif call.json:
        printing.views([view])
    else:
        typer.echo(view.invitation)
    typer.echo(f"{view.member!r} may ask until {printing.moment(view.expires)}", err=True)


@server_command(app, "members")
def members(call: Call) -> None:
    """List the workers, and who waits to be admitted."""
    from offload.cli import printing
    from offload.cluster.acts import ListMembers
    from offload.cluster.fingerprint import grouped
    from offload.cluster.views import MemberList

    found = call.perform(ListMembers(), MemberList).members
    if call.json:
        printing.views(found)
        return
    printing.table(
        (
            "NAME",
            "STATE",
            "ALIVE",
            "ZONE",
            "CAPACITY",
            "ADDRESS",
            "API",
            "TOKEN",
            "KEYS",
            "MISSING",
        ),
        (
            (
                one.name,
                one.state,
                one.alive,
                one.zone,
                f"{one.capacity:g}",
                one.address,
                one.api,
                one.token,
                one.keys_held,
                one.keys_missing,
            )
            for one in found
        ),
    )
    for one in found:
        if one.state == "pending":
            typer.echo(f"{one.name!r} waits; its fingerprint: {grouped(one.fingerprint)}")


@server_command(app, "approve", writes=True)
def approve(
    call: Call,
    member: MemberArgument,
    fingerprint: Annotated[
        list[str], typer.Argument(help="As the new machine shows it, got by another way.")
    ],
) -> None:
    """Admit a worker that asks to join, if the fingerprint is that of its request."""
    from offload.cli import printing
    from offload.cluster.acts import Approve
    from offload.cluster.views import MemberView

    view = call.perform(
        built(Approve, member=member, fingerprint=" ".join(fingerprint)), MemberView
    )
    if call.json:
        printing.views([view])
    else:
        typer.echo(f"admitted {view.name!r}")


@server_command(app, "reject", writes=True)
def reject(call: Call, member: MemberArgument) -> None:
    """Turn away a worker that asks to join."""
    from offload.cluster.acts import Reject

    call.done(built(Reject, member=member), f"turned {member!r} away")


@server_command(app, "remove", writes=True)
def remove(call: Call, member: MemberArgument) -> None:
    """Take a worker out for good: the cluster key is rolled, and it can read nothing new."""
    from offload.cli import printing
    from offload.cluster.acts import RemoveMember
    from offload.cluster.views import MemberView

    view = call.perform(built(RemoveMember, member=member), MemberView)
    if call.json:
        printing.views([view])
    else:
        typer.echo(f"removed {view.name!r}; stop its worker, and destroy its token")
