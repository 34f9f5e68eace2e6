"""`offload cluster`: its policy, its key, its backups."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from offload.cli.caller import Call, built, server_command
from offload.cli.cluster import app
from offload.cli.failure import Failure
from offload.cli.settings import DEFAULT_PATH, ConfigOption, loaded

if TYPE_CHECKING:
    from offload.cli.session import Session
    from offload.cluster.views import ClusterView
    from offload.config import CatalogueSettings


@server_command(app, "show")
def show(call: Call) -> None:
    """Show the cluster and its policy."""
    from offload.cluster.acts import ShowCluster
    from offload.cluster.views import ClusterView

    _show(call, call.perform(ShowCluster(), ClusterView))


@server_command(app, "policy", writes=True)
def policy(
    call: Call,
    copies: Annotated[
        int | None, typer.Option("--copies", min=1, help="Workers that must hold a key.")
    ] = None,
    destroy_wait_seconds: Annotated[
        float | None, typer.Option("--destroy-wait-seconds", min=0, help="Before keys are erased.")
    ] = None,
    approvals: Annotated[
        list[str] | None,
        typer.Option(
            "--approvals", metavar="ACT=N", help="Such as key.destroy=2; 0 for none; repeatable."
        ),
    ] = None,
) -> None:
    """Change the cluster's policy; what is not named stays."""
    if copies is None and destroy_wait_seconds is None and not approvals:
        raise typer.BadParameter("nothing to change: name '--copies' or another option")
    asked = dict(_approvals(text) for text in approvals or ())

    async def change(session: Session) -> ClusterView:
        from offload.cluster.acts import SetPolicy, ShowCluster
        from offload.cluster.views import ClusterView

        merged: dict[str, int] | None = None
        if asked:
            merged = {**(await session.perform(ShowCluster(), ClusterView)).approvals, **asked}
            merged = {name: needed for name, needed in merged.items() if needed}
        act = built(
            SetPolicy, copies=copies, destroy_wait_seconds=destroy_wait_seconds, approvals=merged
        )
        return await session.perform(act, ClusterView, approval=call.approval)

    _show(call, call.run(change))


@server_command(app, "roll", writes=True)
def roll(call: Call) -> None:
    """Make a new cluster key and wrap every key anew under it."""
    from offload.cli import printing
    from offload.cluster.acts import RollClusterKey
    from offload.cluster.views import RollView

    view = call.perform(RollClusterKey(), RollView)
    if call.json:
        printing.views([view])
    else:
        typer.echo(f"cluster key {view.cluster_key}; {view.keys_left} keys are under an older one")


@server_command(app, "backup", writes=True)
def backup(
    call: Call,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Made, for its owner alone.")
    ],
) -> None:
    """Write a copy of the catalogue, signed by a worker; its keys are wrapped."""
    from hashlib import sha256

    from offload.cli.files import write_secret
    from offload.cluster.acts import BackUp
    from offload.cluster.views import BackupView

    view = call.perform(BackUp(), BackupView)
    content = view.backup.encode()
    if sha256(content).hexdigest() != view.sha256:
        raise Failure("the backup was damaged on its way", "take another copy of it")
    write_secret(output, content)
    if call.json:
        typer.echo(view.model_dump_json(exclude={"backup"}))
    else:
        typer.echo(f"wrote {output}: {view.entries} values, signed by {view.member!r}")


@app.command("restore")
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup.")],
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Write a backup into the empty catalogue of a worker's configuration; workers are stopped."""
    import asyncio

    worker = loaded(config, "worker", files=False).worker
    assert worker is not None
    if worker.cluster is None:
        raise Failure(f"{config}: the worker is in no cluster", "name that of a cluster's worker")
    content, trust = file.read_bytes(), worker.trust.read_bytes()
    count = asyncio.run(_restore(worker.cluster.catalogue, content, trust))
    typer.echo(f"restored {count} values from {file}; now start the workers")


async def _restore(settings: CatalogueSettings, content: bytes, trust: bytes) -> int:
    from cryptography import x509

    from offload.catalogue.base import CatalogueError
    from offload.catalogue.opening import open_catalogue
    from offload.cluster import backup

    authority = x509.load_pem_x509_certificate(trust)
    try:
        # Before anything is made in the catalogue's place.
        backup.read(content, authority)
        catalogue = await open_catalogue(settings)
        try:
            return await backup.restore(catalogue, content, authority)
        finally:
            await catalogue.close()
    except (CatalogueError, backup.BackupRefused) as error:
        raise Failure(str(error)) from error


def _approvals(text: str) -> tuple[str, int]:
    name, separator, number = text.partition("=")
    if not separator or not number.isdecimal():
        raise typer.BadParameter(f"{text!r} is not ACT=N: write one such as key.destroy=2")
    return name, int(number)


def _show(call: Call, view: ClusterView) -> None:
    from offload.cli import printing

    if call.json:
        printing.views([view])
        return
    printing.fields(
        (
            ("cluster", view.name),
            ("created", printing.moment(view.created)),
            ("members", view.members),
            ("keys", view.keys),
            ("cluster key", view.cluster_key),
            ("copies", view.copies),
            ("destroy wait", f"{view.destroy_wait_seconds:g} s"),
            ("approvals", [f"{name}={needed}" for name, needed in sorted(view.approvals.items())]),
        )
    )
