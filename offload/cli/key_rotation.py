"""`offload key`: another generation in place of the old one, without a handshake lost.

Workers that run drive a rotation, whoever waits for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from offload.cli.caller import Call, built, server_command
from offload.cli.failure import Failure
from offload.cli.key import app, named_algorithm

if TYPE_CHECKING:
    from offload.cli.session import Session
    from offload.cluster.views import RotationView

LabelArgument = Annotated[str, typer.Argument(metavar="LABEL", help="The key's label.")]

_LOOK_SECONDS = 0.5
_CERTIFYING, _DONE, _ROLLED_BACK = "certifying", "done", "rolled-back"


@server_command(app, "rotate", writes=True)
def rotate(
    call: Call,
    label: LabelArgument,
    algorithm: Annotated[
        str | None, typer.Option("--algorithm", "-a", help="Another one than before.")
    ] = None,
    issue: Annotated[
        str, typer.Option("--issue", help="'request' (for a CA) or 'self-signed'.")
    ] = "request",
    name: Annotated[
        list[str] | None,
        typer.Option("--name", "-n", help="In the certificate, in place of the old one's names."),
    ] = None,
    drain_seconds: Annotated[
        float | None, typer.Option("--drain-seconds", min=0, help="The old key signs so long on.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Until it is over, or needs a certificate.")
    ] = False,
) -> None:
    """Make a new generation and let all front-ends switch to it."""
    from offload.cluster.acts import RotateKey
    from offload.cluster.views import RotationView

    act = built(
        RotateKey,
        label=label,
        algorithm=None if algorithm is None else named_algorithm(algorithm),
        issue=issue,
        names=tuple(name) if name else None,
        drain_seconds=drain_seconds,
    )

    async def begin(session: Session) -> RotationView:
        view = await session.perform(act, RotationView, approval=call.approval)
        return await _over(call, session, view) if wait else view

    _show(call, call.run(begin))


@server_command(app, "rotation")
def rotation(
    call: Call,
    label: LabelArgument,
    wait: Annotated[
        bool, typer.Option("--wait", help="Until it is over, or needs a certificate.")
    ] = False,
) -> None:
    """Show how far a rotation has come."""
    from offload.cluster.acts import ShowRotation
    from offload.cluster.views import RotationView

    act = built(ShowRotation, label=label)

    async def look(session: Session) -> RotationView:
        view = await session.perform(act, RotationView)
        return await _over(call, session, view) if wait else view

    _show(call, call.run(look))


@server_command(app, "rotation-cancel", writes=True)
def cancel(call: Call, label: LabelArgument) -> None:
    """Go back to the old generation, while some front-end has not switched."""
    from offload.cluster.acts import CancelRotation
    from offload.cluster.views import RotationView

    _show(call, call.perform(built(CancelRotation, label=label), RotationView), expected=True)


async def _over(call: Call, session: Session, view: RotationView) -> RotationView:
    """How it stands once nothing is to be waited for; says on standard error how it goes on."""
    import asyncio

    from offload.cluster.acts import ShowRotation
    from offload.cluster.views import RotationView

    said = ""
    while True:
        news = f"{view.phase}: {view.waiting_for}" if view.waiting_for else view.phase
        if news != said:
            said = news
            typer.echo(f"{view.label}: {news}", err=True)
        if view.phase in (_DONE, _ROLLED_BACK) or _needs_certificate(view):
            return view
        await asyncio.sleep(_LOOK_SECONDS)
        view = await session.perform(ShowRotation(label=view.label), RotationView)


def _needs_certificate(view: RotationView) -> bool:
    return view.phase == _CERTIFYING and view.issue == "request" and bool(view.request)


def _show(call: Call, view: RotationView, *, expected: bool = False) -> None:
    """Raises Failure if it was rolled back, and that was not `expected`."""
    from offload.cli import printing

    if call.json:
        printing.views([view])
    else:
        printing.fields(
            (
                ("key", view.label),
                ("phase", view.phase),
                ("waits for", view.waiting_for or None),
                ("reason", view.reason or None),
                ("old id", view.old_ski),
                ("new id", view.new_ski),
                ("certificate", f"{view.issue}, for {', '.join(view.names)}"),
                ("began", printing.moment(view.began)),
                ("changed", printing.moment(view.changed)),
            )
        )
        if _needs_certificate(view):
            typer.echo(view.request, nl=False)
            typer.echo(
                f"have this request signed, then 'offload certificate install {view.new_ski} FILE'",
                err=True,
            )
    if view.phase == _ROLLED_BACK and not expected:
        raise Failure(
            f"the rotation of {view.label!r} was rolled back: {view.reason}",
            "the old generation serves; mend it and rotate again",
        )
