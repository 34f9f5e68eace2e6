"""`offload key`: from one state to another, and to the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from offload.cli.caller import Call, built, server_command
from offload.cli.failure import Failure
from offload.cli.key import KeyArgument, app, change, say_changed

if TYPE_CHECKING:
    from offload.cli.session import Session
    from offload.cluster.acts import DestroyKey
    from offload.cluster.views import KeyView

_LOOK_SECONDS = 0.1
_ERASED_SECONDS = 30.0


@server_command(app, "activate", writes=True)
def activate(call: Call, key: KeyArgument) -> None:
    """Let a pre-active key sign before its date."""
    from offload.cluster.acts import ActivateKey

    change(call, built(ActivateKey, key=key), "activated")


@server_command(app, "suspend", writes=True)
def suspend(call: Call, key: KeyArgument) -> None:
    """Let a key sign nothing until it is resumed."""
    from offload.cluster.acts import SuspendKey

    change(call, built(SuspendKey, key=key), "suspended")


@server_command(app, "resume", writes=True)
def resume(call: Call, key: KeyArgument) -> None:
    """Let a suspended key sign again."""
    from offload.cluster.acts import ResumeKey

    change(call, built(ResumeKey, key=key), "resumed")


@server_command(app, "deactivate", writes=True)
def deactivate(call: Call, key: KeyArgument) -> None:
    """Never sign with a key again."""
    from offload.cluster.acts import DeactivateKey

    change(call, built(DeactivateKey, key=key), "deactivated")


@server_command(app, "compromise", writes=True)
def compromise(
    call: Call,
    key: KeyArgument,
    reason: Annotated[str, typer.Option("--reason", help="For the audit log.")] = "",
) -> None:
    """Somebody else may have the key: never sign with it again."""
    from offload.cluster.acts import CompromiseKey

    change(call, built(CompromiseKey, key=key, reason=reason), "marked as compromised")


@server_command(app, "destroy", writes=True)
def destroy(
    call: Call,
    key: KeyArgument,
    wait_seconds: Annotated[
        float | None,
        typer.Option("--wait-seconds", min=0, help="0 for now; default: the cluster's wait."),
    ] = None,
) -> None:
    """Erase a key from every worker after a waiting period; it signs nothing from now on."""
    from offload.cluster.acts import DestroyKey

    act = built(DestroyKey, key=key, wait_seconds=wait_seconds)
    if wait_seconds == 0:
        say_changed(call, call.run(lambda session: _erased(call, session, act)), "destroyed")
        return
    view = change(call, act, "will destroy")
    if view.destroy_at is not None and not call.json:
        from offload.cli.printing import moment

        typer.echo(
            f"erased at {moment(view.destroy_at)}; until then 'offload key keep {key}' helps"
        )


@server_command(app, "keep", writes=True)
def keep(call: Call, key: KeyArgument) -> None:
    """Cancel a destruction that has not happened; the key stays suspended."""
    from offload.cluster.acts import KeepKey

    change(call, built(KeepKey, key=key), "kept")


async def _erased(call: Call, session: Session, act: DestroyKey) -> KeyView:
    """Once every worker has confirmed it; raises Failure."""
    import asyncio

    from offload.cluster.acts import ShowKey
    from offload.cluster.views import KeyView

    view = await session.perform(act, KeyView, approval=call.approval)
    looking = ShowKey(key=view.ski)
    for _ in range(round(_ERASED_SECONDS / _LOOK_SECONDS)):
        view = await session.perform(looking, KeyView)
        holding = [copy.member for copy in view.copies if copy.state == "held"]
        if view.state == "destroyed" and not holding:
            return view
        await asyncio.sleep(_LOOK_SECONDS)
    raise Failure(
        f"{view.label}@{view.generation} is {view.state}, and not yet erased by"
        f" {', '.join(holding) or 'any worker'}",
        "they erase it as soon as they run; see 'offload key show'",
    )
