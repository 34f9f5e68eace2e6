"""`offload approval`: officers sign what others asked for, with their own keys."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from offload.cli.caller import Call, built, server_command
from offload.cli.failure import Failure

if TYPE_CHECKING:
    from offload.cli.session import Session
    from offload.cluster.views import ApprovalView

app = typer.Typer(help="Acts that wait for officers.", rich_markup_mode=None)

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The approval.")]


@server_command(app, "list")
def list_(call: Call) -> None:
    """List what waits for officers."""
    from offload.cli import printing
    from offload.cluster.acts import ListApprovals
    from offload.cluster.views import ApprovalList

    found = call.perform(ListApprovals(), ApprovalList).approvals
    if call.json:
        printing.views(found)
        return
    printing.table(
        ("ID", "ACT", "ASKED BY", "SIGNED", "EXPIRES"),
        (
            (
                one.id,
                one.name,
                one.requested_by,
                f"{len(one.signed_by)} of {one.needed}",
                printing.moment(one.expires) or "",
            )
            for one in found
        ),
    )


@server_command(app, "show")
def show(call: Call, approval: IdArgument) -> None:
    """Show an act that waits, in full."""
    from offload.cli import printing
    from offload.cluster.acts import ShowApproval
    from offload.cluster.views import ApprovalView

    view = call.perform(built(ShowApproval, approval=approval), ApprovalView)
    if call.json:
        printing.views([view])
    else:
        _print(view)


@server_command(app, "sign")
def sign(
    call: Call,
    approval: IdArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Show an act that waits, and sign it with the key of the client file."""
    from offload.cli import printing

    identity = call.identity()
    key = identity.private_key()
    # Who acts is who signs, wherever the act is performed.
    call = replace(call, client=identity.path)

    async def signed(session: Session) -> ApprovalView:
        from offload.cluster import approval as approving
        from offload.cluster.acts import ShowApproval, SignApproval
        from offload.cluster.views import ApprovalView

        view = await session.perform(built(ShowApproval, approval=approval), ApprovalView)
        content = _statement(view)
        if not yes:
            _print(view, err=True)
            typer.confirm("Sign it?", abort=True, err=True)
        signature = approving.sign(key, content)
        return await session.perform(
            SignApproval(approval=approval, signature=signature), ApprovalView
        )

    view = call.run(signed)
    if call.json:
        printing.views([view])
    else:
        typer.echo(f"signed {view.name}: {len(view.signed_by)} of {view.needed} officers have")


@server_command(app, "reject")
def reject(call: Call, approval: IdArgument) -> None:
    """End an approval: the act is not done."""
    from offload.cluster.acts import RejectApproval

    call.done(built(RejectApproval, approval=approval), f"rejected {approval}")


def _statement(view: ApprovalView) -> bytes:
    """What is signed, made from what is shown: nobody signs what a server made up.

    Raises Failure if the server would have something else signed.
    """
    from hashlib import sha256

    from offload.cluster.approval import statement

    digest = sha256(view.act.encode()).hexdigest()
    content = statement(view.id, digest, view.requested_by, view.expires)
    if digest != view.digest or content.decode() != view.statement:
        raise Failure(
            f"approval {view.id} is not for the act that is shown",
            "do not sign it, and find out why the server says so",
        )
    return content


def _print(view: ApprovalView, *, err: bool = False) -> None:
    from offload.cli import printing

    act = json.loads(view.act)
    printing.fields(
        (
            ("approval", view.id),
            ("act", act.get("act")),
            *((f"  {name}", _shown(value)) for name, value in act.items() if name != "act"),
            ("asked by", view.requested_by),
            ("created", printing.moment(view.created)),
            ("expires", printing.moment(view.expires)),
            ("signed by", view.signed_by),
            ("needed", view.needed),
            ("digest", view.digest),
        ),
        err=err,
    )


def _shown(value: object) -> str:
    # As JSON: no text of whoever asked can pass for another field or line.
    return json.dumps(value)
