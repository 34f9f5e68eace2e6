"""`offload key`: the keys of a cluster, or in the token of a worker alone."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from offload.cli.caller import Call, built, server_command
from offload.cli.tokens import PassphraseOption, TokenOption, chosen, opened, token_of

if TYPE_CHECKING:
    from offload.cluster.acts import Act, ListKeys
    from offload.cluster.views import KeyPage, KeyView
    from offload.keys.algorithm import Algorithm
    from offload.keys.record import KeyRecord

app = typer.Typer(help="Make keys, look after them, end them.", rich_markup_mode=None)

KeyArgument = Annotated[
    str, typer.Argument(metavar="KEY", help="Its label, LABEL@GENERATION or id.")
]
SiteOption = Annotated[
    list[str] | None,
    typer.Option("--site", metavar="NAME", help="It serves this site, or *.NAME; may be repeated."),
]
FrontendOption = Annotated[
    list[str] | None,
    typer.Option("--frontend", metavar="NAME", help="This one may use it, or '*'; repeatable."),
]
AuditOption = Annotated[
    bool, typer.Option("--audit-signatures", help="Each signature is recorded before it leaves.")
]
ExportableOption = Annotated[bool, typer.Option("--exportable", help="It may be exported.")]
ActivateOption = Annotated[
    str | None, typer.Option("--activate-at", metavar="TIME", help="Such as 2030-01-31T12:00Z.")
]
DeactivateOption = Annotated[
    str | None, typer.Option("--deactivate-at", metavar="TIME", help="It signs nothing after that.")
]

_PAGE = 500


@server_command(app, "create", writes=True)
def create(
    call: Call,
    label: Annotated[str, typer.Argument(help="A name for the key.")],
    algorithm: Annotated[
        str, typer.Option("--algorithm", "-a", help="Such as p-256, rsa-2048 or ed25519.")
    ] = "p-256",
    site: SiteOption = None,
    frontend: FrontendOption = None,
    exportable: ExportableOption = False,
    local_only: Annotated[
        bool, typer.Option("--local-only", help="It stays in one token: if that is lost, so is it.")
    ] = False,
    activate_at: ActivateOption = None,
    deactivate_at: DeactivateOption = None,
    audit_signatures: AuditOption = False,
    token: TokenOption = None,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Make a new key in a token; in a cluster, returns once enough workers hold it."""
    kind = named_algorithm(algorithm)
    config = token_of(call, token, passphrase_file)
    if config is not None:
        asked = (site, frontend, exportable, local_only, activate_at, deactivate_at)
        if any(asked) or audit_signatures:
            raise typer.BadParameter("these options are for keys of a cluster")
        with opened(config, token, passphrase_file) as held:
            record = held.generate(label, kind)
        _say_made(call, record)
        return
    from offload.cluster.acts import CreateKey

    act = built(
        CreateKey,
        label=label,
        algorithm=kind,
        **policy_fields(site, frontend),
        audit_signatures=audit_signatures,
        exportable=exportable,
        replicated=not local_only,
        activates=time(activate_at),
        deactivates=time(deactivate_at),
    )
    change(call, act, "created")


@server_command(app, "list")
def list_(
    call: Call,
    state: Annotated[str | None, typer.Option("--state", help="Such as active.")] = None,
    algorithm: Annotated[
        str | None, typer.Option("--algorithm", "-a", help="Such as p-256.")
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", help="A label, or a beginning followed by '*'.")
    ] = None,
    site: Annotated[str | None, typer.Option("--site", help="May serve that site.")] = None,
    frontend: Annotated[
        str | None, typer.Option("--frontend", help="May be used by that front-end.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, max=1000, help="One page of so many.")
    ] = None,
    after: Annotated[
        str, typer.Option("--after", metavar="KEY", help="Begin after this one.")
    ] = "",
    token: TokenOption = None,
    passphrase_file: PassphraseOption = None,
) -> None:
    """List keys."""
    config = token_of(call, token, passphrase_file)
    if config is not None:
        with opened(config, token, passphrase_file) as held:
            records = list(held.keys())
        _print_records(call, records)
        return
    from offload.cluster.acts import ListKeys

    kind = None if algorithm is None else named_algorithm(algorithm)
    act = built(
        ListKeys,
        state=_state(state),
        algorithm=kind,
        label=label,
        site=site,
        frontend=frontend,
        after=after,
        limit=limit or _PAGE,
    )
    pages = _pages(call, act, only_one=limit is not None)
    _print_pages(call, pages)


@server_command(app, "show")
def show(
    call: Call,
    key: KeyArgument,
    token: TokenOption = None,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Show one key and its public half."""
    config = token_of(call, token, passphrase_file)
    if config is not None:
        with opened(config, token, passphrase_file) as held:
            _show_record(call, chosen(held, key))
        return
    from offload.cluster.acts import ShowKey
    from offload.cluster.views import KeyView

    _show(call, call.perform(built(ShowKey, key=key), KeyView))


@server_command(app, "policy", writes=True)
def policy(
    call: Call,
    key: KeyArgument,
    site: SiteOption = None,
    any_site: Annotated[
        bool, typer.Option("--any-site", help="It is bound to no site any more.")
    ] = False,
    frontend: FrontendOption = None,
    no_frontend: Annotated[
        bool, typer.Option("--no-frontend", help="No front-end may use it any more.")
    ] = False,
    audit_signatures: Annotated[
        bool | None,
        typer.Option("--audit-signatures/--no-audit-signatures", help="Record each signature."),
    ] = None,
) -> None:
    """Say anew what a key may be used for; what is not named stays."""
    if (site and any_site) or (frontend and no_frontend):
        raise typer.BadParameter("two options say the opposite of each other")
    from offload.cluster.acts import SetKeyPolicy

    fields = policy_fields(site, frontend)
    if any_site:
        fields["sites"] = ()
    if no_frontend:
        fields["frontends"] = ()
    if not fields and audit_signatures is None:
        raise typer.BadParameter("nothing to change: name '--site', '--frontend' or another option")
    act = built(SetKeyPolicy, key=key, **fields, audit_signatures=audit_signatures)
    change(call, act, "changed")


def policy_fields(site: list[str] | None, frontend: list[str] | None) -> dict[str, tuple[str, ...]]:
    """What of a policy was given."""
    given = {"sites": site, "frontends": frontend}
    return {name: tuple(values) for name, values in given.items() if values}


def time(text: str | None) -> datetime | None:
    """A point in time as options have it; raises BadParameter."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise typer.BadParameter(f"{text!r} is no time: write one such as '2030-01-31T12:00Z'")
    return found


def change(call: Call, act: Act, done: str) -> KeyView:
    """Have the act done and say what it made of the key."""
    from offload.cluster.views import KeyView

    view = call.perform(act, KeyView)
    say_changed(call, view, done)
    return view


def say_changed(call: Call, view: KeyView, done: str) -> None:
    """What was done to the key, and how it stands."""
    from offload.cli import printing

    if call.json:
        printing.views([view])
        return
    held = sum(copy.state == "held" for copy in view.copies)
    where = f"on {held} of {view.copies_needed} workers" if view.replicated else f"in {view.home}"
    typer.echo(
        f"{done} {view.algorithm} key {name_of(view)!r}, {view.state}, {where}, id {view.ski}"
    )


def name_of(view: KeyView) -> str:
    """LABEL@GENERATION."""
    return f"{view.label}@{view.generation}"


def named_algorithm(text: str) -> Algorithm:
    """The algorithm called so, in any case; raises BadParameter."""
    from offload.keys.algorithm import Algorithm

    try:
        return Algorithm(text.lower())
    except ValueError:
        known = ", ".join(Algorithm)
        raise typer.BadParameter(f"unknown algorithm {text!r}: choose from {known}") from None


def _state(text: str | None) -> str | None:
    from offload.keys.state import State

    if text is not None and text not in list(State):
        raise typer.BadParameter(f"unknown state {text!r}: choose from {', '.join(State)}")
    return text


def _pages(call: Call, act: ListKeys, *, only_one: bool) -> list[KeyPage]:
    from offload.cli.session import Session
    from offload.cluster.views import KeyPage

    async def read(session: Session) -> list[KeyPage]:
        pages = [await session.perform(act, KeyPage)]
        while pages[-1].next and not only_one:
            following = act.model_copy(update={"after": pages[-1].next})
            pages.append(await session.perform(following, KeyPage))
        return pages

    return call.run(read)


def _print_pages(call: Call, pages: list[KeyPage]) -> None:
    from offload.cli import printing
    from offload.cli.failure import Complaint, render

    views = [view for page in pages for view in page.keys]
    if call.json:
        printing.views(views)
    else:
        columns = ("KEY", "ALGORITHM", "STATE", "COPIES", "SIGNATURES", "CREATED", "ID")
        printing.table(columns, (_row(view) for view in views))
    if pages[-1].next:
        more = Complaint("there are more", f"name '--after {pages[-1].next}'")
        typer.echo(render(more, "note"), err=True)


def _row(view: KeyView) -> tuple[object, ...]:
    held = sum(copy.state == "held" for copy in view.copies)
    return (
        name_of(view),
        view.algorithm,
        view.state,
        f"{held} of {view.copies_needed}",
        view.signatures,
        f"{view.created:%Y-%m-%d %H:%M}",
        view.ski,
    )


def _show(call: Call, view: KeyView) -> None:
    from offload.cli import printing

    if call.json:
        printing.views([view])
        return
    printing.fields(
        (
            ("key", name_of(view)),
            ("id", view.ski),
            ("algorithm", view.algorithm),
            ("state", view.state),
            ("current", view.current),
            ("sites", view.sites or "all"),
            ("front-ends", view.frontends or "none"),
            ("audit", "each signature" if view.audit_signatures else "management"),
            ("exportable", view.exportable),
            ("replicated", view.replicated if view.replicated else f"no, in {view.home} alone"),
            ("created", printing.moment(view.created)),
            ("changed", printing.moment(view.changed)),
            ("activates", printing.moment(view.activates)),
            ("deactivates", printing.moment(view.deactivates)),
            ("destroyed at", printing.moment(view.destroy_at)),
            ("signatures", view.signatures),
            ("copies needed", view.copies_needed),
            *(
                (f"  {copy.member}", f"{copy.state}, after {copy.lag_seconds:.3f} s")
                for copy in view.copies
            ),
        )
    )
    typer.echo(view.public_key, nl=False)


def _say_made(call: Call, record: KeyRecord) -> None:
    if call.json:
        typer.echo(_json([record])[0])
    else:
        typer.echo(f"created {record.algorithm} key {record.label!r}, id {record.ski.hex()}")


def _print_records(call: Call, records: list[KeyRecord]) -> None:
    from offload.cli import printing

    if call.json:
        for line in _json(records):
            typer.echo(line)
        return
    printing.table(
        ("LABEL", "ALGORITHM", "CREATED", "ID"),
        (
            (record.label, record.algorithm, f"{record.created:%Y-%m-%d %H:%M}", record.ski.hex())
            for record in records
        ),
    )


def _show_record(call: Call, record: KeyRecord) -> None:
    if call.json:
        typer.echo(_json([record])[0])
        return
    typer.echo(f"label      {record.label}")
    typer.echo(f"id         {record.ski.hex()}")
    typer.echo(f"algorithm  {record.algorithm}")
    typer.echo(f"created    {record.created:%Y-%m-%d %H:%M:%S} UTC")
    typer.echo(_pem(record), nl=False)


def _json(records: list[KeyRecord]) -> list[str]:
    import orjson

    return [
        orjson.dumps(
            {
                "label": record.label,
                "id": record.ski.hex(),
                "algorithm": str(record.algorithm),
                "created": record.created,
                "public_key": _pem(record),
            }
        ).decode()
        for record in records
    ]


def _pem(record: KeyRecord) -> str:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_der_public_key,
    )

    key = load_der_public_key(record.public_key)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
