"""`offload audit`: is an audit log the one that was written?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from offload.cli.failure import Complaint, Failure, render

if TYPE_CHECKING:
    from cryptography import x509

    from offload.audit.report import Report

app = typer.Typer(help="The audit log of a worker.", rich_markup_mode=None)


@app.command("verify")
def verify(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="An export, all parts of one in order, or the directory of a worker's log.",
        ),
    ],
    trust: Annotated[
        Path,
        typer.Option("--trust", metavar="FILE", help="The certificate of the cluster's authority."),
    ],
    worker: Annotated[
        str, typer.Option("--worker", help="Whose log it must be; by default, whose it says.")
    ] = "",
    first: Annotated[
        int,
        typer.Option("--from", min=1, help="The record that it begins with, if that is not 1."),
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Verify a log without a worker or a network; name the first bad record."""
    from offload.audit.verify import verify_files

    report = verify_files(files, _authority(trust), worker=worker, first=first)
    if as_json:
        _print_json(report)
    else:
        _print(report)


def _authority(path: Path) -> x509.Certificate:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError:
        raise Failure(
            f"{path} is no certificate", "name the PEM file of the cluster's authority"
        ) from None


def _print_json(report: Report) -> None:
    import json

    typer.echo(json.dumps(report.as_json()))
    if report.bad is not None:
        raise typer.Exit(1)


def _print(report: Report) -> None:
    for warning in report.warnings:
        typer.echo(render(Complaint(str(warning)), "warning"), err=True)
    if report.bad is not None:
        raise Failure(
            str(report.bad),
            f"{report.records} records before it are in order; keep the file for examination",
        )
    for complaint in _doubts(report):
        typer.echo(render(complaint, "warning"), err=True)
    cluster = f" of cluster {report.cluster}" if report.cluster else ""
    typer.echo(f"worker {report.worker}{cluster}: records {report.first} to {report.last} are good")
    for name, seq in sorted(report.checkpoints.items()):
        typer.echo(f"signed by {name} up to record {seq}")


def _doubts(report: Report) -> list[Complaint]:
    """What the log's own goodness does not prove."""
    doubts = []
    if report.covered < report.last:
        doubts.append(
            Complaint(
                f"no checkpoint covers the records after {report.covered}",
                "a cut there could not be found: verify an export instead",
            )
        )
    if not report.checkpoints.keys() - {report.worker}:
        doubts.append(
            Complaint(
                f"no member but {report.worker} itself has signed a checkpoint of this log",
                "who has the worker's key could have written it anew: verify a later export",
            )
        )
    return doubts
