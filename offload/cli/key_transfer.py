"""`offload key`: keys that come into a cluster, and keys that go out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from offload.cli.caller import Call, built, server_command
from offload.cli.failure import Failure
from offload.cli.files import write_public, write_secret
from offload.cli.key import (
    ActivateOption,
    AuditOption,
    DeactivateOption,
    ExportableOption,
    FrontendOption,
    KeyArgument,
    SiteOption,
    app,
    policy_fields,
    say_changed,
    time,
)
from offload.cli.refusal import NeedsApproval

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import rsa

    from offload.cli.enclosure import Enclosed
    from offload.cli.session import Session
    from offload.cluster.acts import ImportKey
    from offload.cluster.views import ExportView, KeyView

PassphraseFileOption = Annotated[
    Path | None,
    typer.Option("--passphrase-file", metavar="FILE", help="Its first line is the passphrase."),
]
OutputOption = Annotated[
    Path, typer.Option("--output", "-o", metavar="FILE", help="Made, for its owner alone.")
]


@server_command(app, "import", writes=True)
def import_(
    call: Call,
    label: Annotated[str, typer.Argument(help="A name for the key.")],
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A private key: PEM or PKCS #12.")
    ] = None,
    enclosed: Annotated[
        Path | None,
        typer.Option("--enclosed", metavar="FILE", help="Instead: one exported for this member."),
    ] = None,
    passphrase_file: PassphraseFileOption = None,
    site: SiteOption = None,
    frontend: FrontendOption = None,
    exportable: ExportableOption = False,
    activate_at: ActivateOption = None,
    deactivate_at: DeactivateOption = None,
    audit_signatures: AuditOption = False,
) -> None:
    """Take in a key; it is enclosed to a worker's token here and never sent in the clear."""
    from offload.cli.enclosure import Enclosed, private_key

    if (file is None) == (enclosed is None):
        raise typer.BadParameter("name either a file with a private key, or '--enclosed'")
    content = (file or enclosed or Path()).read_bytes()
    key = None if file is None else private_key(content, lambda: _passphrase(passphrase_file))
    ready = Enclosed.read(content) if file is None else None

    async def take_in(session: Session) -> KeyView:
        from offload.cluster.acts import ImportKey
        from offload.cluster.views import KeyView

        found = await _enclosed(session, key, ready)
        act: ImportKey = built(
            ImportKey,
            label=label,
            public_key=found.public_key,
            enclosed=found.enclosed,
            **policy_fields(site, frontend),
            audit_signatures=audit_signatures,
            exportable=exportable,
            activates=time(activate_at),
            deactivates=time(deactivate_at),
        )
        try:
            return await session.perform(act, KeyView, approval=call.approval)
        except NeedsApproval as error:
            raise _keep_enclosed(error, label, found, ready is None) from None

    say_changed(call, call.run(take_in), "imported")


@server_command(app, "export", writes=True)
def export(
    call: Call,
    key: KeyArgument,
    output: OutputOption,
    recipient: Annotated[
        Path | None,
        typer.Option("--recipient", metavar="FILE", help="For who has this RSA key (PEM)."),
    ] = None,
    passphrase_file: PassphraseFileOption = None,
) -> None:
    """Write an exportable key to a file: for a recipient's RSA key, or under a passphrase."""
    if (recipient is None) == (passphrase_file is None):
        raise typer.BadParameter("name either '--recipient' or '--passphrase-file'")
    if output.exists():
        raise Failure(f"{output} exists already", "name another file, or remove it")
    if recipient is not None:
        from offload.cli import enclosure

        view = _export(call, key, enclosure.recipient(recipient.read_bytes()))
        write_secret(output, view.model_dump_json().encode() + b"\n")
    else:
        view = _export_encrypted(call, key, output, _passphrase(passphrase_file))
    if call.json:
        import json

        shown = {"ski": view.ski, "label": view.label, "generation": view.generation}
        typer.echo(json.dumps({**shown, "file": str(output)}))
    else:
        typer.echo(f"exported key '{view.label}@{view.generation}' to {output}")


@server_command(app, "transport")
def transport(
    call: Call,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write there, not to standard output."),
    ] = None,
) -> None:
    """Show the RSA key that another cluster exports keys to, for this one to import."""
    from offload.cli import enclosure
    from offload.token.enclosing import rsa_recipient

    found = call.run(lambda session: session.transport())
    text = enclosure.public_pem(rsa_recipient(found.rsa))
    if output is not None:
        write_public(output, text.encode())
    elif call.json:
        import json

        typer.echo(json.dumps({"member": found.member, "rsa": text}))
    else:
        typer.echo(text, nl=False)


def _export(call: Call, key: str, recipient: str) -> ExportView:
    from offload.cluster.acts import ExportKey
    from offload.cluster.views import ExportView

    return call.perform(built(ExportKey, key=key, recipient=recipient), ExportView)


def _export_encrypted(call: Call, key: str, output: Path, passphrase: bytes) -> ExportView:
    """Exported to a key that is made for it, and encrypted here."""
    from offload.cli import enclosure

    waiting = output.with_name(output.name + ".recipient")
    own = _recipient_kept(waiting, passphrase)
    try:
        view = _export(call, key, enclosure.public_pem(own.public_key()))
    except NeedsApproval:
        # The approval is for an export to this very key.
        if not waiting.exists():
            write_secret(waiting, enclosure.under_passphrase(own, passphrase))
        raise
    found = enclosure.opened(own, view)
    write_secret(output, enclosure.under_passphrase(found, passphrase))
    waiting.unlink(missing_ok=True)
    return view


def _recipient_kept(path: Path, passphrase: bytes) -> rsa.RSAPrivateKey:
    from cryptography.hazmat.primitives.asymmetric import rsa

    from offload.cli import enclosure

    if not path.exists():
        return enclosure.ephemeral()
    key = enclosure.private_key(path.read_bytes(), lambda: passphrase)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise Failure(
            f"{path} is not what was put there", "remove it, and ask for the export again"
        )
    return key


async def _enclosed(session: Session, key: object, ready: Enclosed | None) -> Enclosed:
    from offload.cli.enclosure import enclosed_to

    to = await session.transport()
    if ready is None:
        return enclosed_to(to, key)
    if ready.member and ready.member != to.member:
        raise Failure(
            f"the key is enclosed to {ready.member!r}, and {to.member!r} was asked",
            f"name {ready.member!r} first in the client file",
        )
    return ready


def _keep_enclosed(error: NeedsApproval, label: str, found: Enclosed, fresh: bool) -> Failure:
    """What officers approve is this enclosed key, which is another one each time."""
    if not fresh:
        return error
    path = Path(f"{label}-{error.approval[:8]}.enclosed")
    write_secret(path, found.model_dump_json().encode() + b"\n")
    return Failure(
        str(error),
        f"officers run 'offload approval sign {error.approval}'; then repeat this command with "
        f"'--enclosed {path} --approval {error.approval}' in place of the file",
    )


def _passphrase(path: Path | None) -> bytes:
    """From the file, or from whoever sits at the terminal."""
    if path is None:
        text: str = typer.prompt("Passphrase", hide_input=True, err=True)
        return os.fsencode(text)
    from offload.token.base import TokenError
    from offload.token.passphrase import read_passphrase

    try:
        return read_passphrase(path)
    except TokenError as error:
        raise Failure(str(error).replace("the token's passphrase", "the passphrase")) from error
