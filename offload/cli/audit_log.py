"""`offload audit`: the log of a running worker."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from offload.cli.audit import app
from offload.cli.caller import Call, built, server_command
from offload.cli.failure import Complaint, Failure, render

if TYPE_CHECKING:
    from offload.cli.session import Session
    from offload.cluster.views import AuditRecordView, ChainView

_WIDTH = 100


@server_command(app, "show")
def show(
    call: Call,
    after: Annotated[
        int | None, typer.Option("--after", min=0, help="Records right after this one.")
    ] = None,
    before: Annotated[
        int | None, typer.Option("--before", min=1, help="Records right before this one.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="So many.")] = 100,
) -> None:
    """Show records of the worker's log, the newest ones unless said otherwise."""
    from offload.cli import printing
    from offload.cluster.acts import ShowAudit
    from offload.cluster.views import AuditPage

    if after is not None and before is not None:
        raise typer.BadParameter("'--after' and '--before' do not go together")
    page = call.perform(built(ShowAudit, after=after, before=before, limit=limit), AuditPage)
    if call.json:
        printing.views(page.records)
    else:
        for one in page.records:
            typer.echo(_line(one))
    for name, number in (("before", page.older), ("after", page.newer)):
        if number:
            more = Complaint("there are more", f"name '--{name} {number}'")
            typer.echo(render(more, "note"), err=True)


@server_command(app, "chains")
def chains(call: Call) -> None:
    """Have the worker verify its log, and what it knows of the others' logs."""
    from offload.cli import printing
    from offload.cluster.acts import VerifyAudit
    from offload.cluster.views import AuditVerification

    answer = call.perform(VerifyAudit(), AuditVerification)
    if call.json:
        printing.views(answer.chains)
    else:
        columns = ("WORKER", "STATE", "LAST", "COVERED", "COUNTERSIGNED", "PROBLEM")
        printing.table(columns, (_chain(one) for one in answer.chains))
    if not answer.whole:
        bad = [one.worker for one in answer.chains if one.problem]
        raise Failure(
            f"the audit log of {', '.join(bad)} is not as it was written",
            "export it, keep the directory for examination, and find out who wrote to it",
        )


@server_command(app, "export")
def export(
    call: Call,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Made, for its owner alone.")
    ],
) -> None:
    """Write the worker's whole log to a file, or FILE, FILE.2 and so on, for `audit verify`."""
    parts = call.run(lambda session: _export(session, output))
    if call.json:
        import json

        typer.echo(json.dumps({"files": [str(path) for path in parts]}))
        return
    named = " ".join(str(path) for path in parts)
    typer.echo(f"exported; verify with: offload audit verify {named} --trust AUTHORITY")


async def _export(session: Session, output: Path) -> list[Path]:
    """The files of all parts."""
    from offload.cli.files import write_secret
    from offload.cluster.acts import ExportAudit
    from offload.cluster.views import AuditExport

    parts: list[Path] = []
    after = 0
    while True:
        part = await session.perform(ExportAudit(after=after), AuditExport)
        parts.append(output.with_name(f"{output.name}.{len(parts) + 1}") if parts else output)
        write_secret(parts[-1], part.content.encode())
        if not part.next:
            return parts
        after = part.next


def _line(record: AuditRecordView) -> str:
    if record.damage:
        return f"{record.seq} damaged: {record.damage}"
    shown = " ".join(
        f"{name}={_shown(value)}" for name, value in record.fields.items() if name != "digest"
    )
    return f"{record.seq} {record.time} {record.kind} {shown}"


def _shown(value: object) -> str:
    """Of one line, whatever it is; `--json` shows all of it."""
    import json

    text = value if isinstance(value, str) and value.isprintable() else json.dumps(value)
    return text if len(text) <= _WIDTH else text[:_WIDTH] + "..."


def _chain(one: ChainView) -> tuple[object, ...]:
    signed = [f"{name} to {seq}" for name, seq in sorted(one.countersigned.items())]
    return one.worker, one.state, one.last, one.covered, signed, one.problem
