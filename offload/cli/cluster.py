"""`offload cluster`: founding a cluster, and joining one; other files add to the group."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from offload.cli.failure import Failure

if TYPE_CHECKING:
    from offload.cli.member_plan import MemberPlan
    from offload.cluster.invitation import Invitation

app = typer.Typer(
    help="Found a cluster of workers, let others join, look after it.", rich_markup_mode=None
)

DirectoryArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="The directory to make; must not hold anything.")
]
ZoneOption = Annotated[str, typer.Option("--zone", help="Front-ends prefer workers of their own.")]
CapacityOption = Annotated[
    float, typer.Option("--capacity", help="How much it can sign, relative to the others.")
]
ListenOption = Annotated[str, typer.Option("--listen", help="HOST:PORT for front-ends.")]
ApiOption = Annotated[str, typer.Option("--api", help="HOST:PORT for REST and console.")]
AdminOption = Annotated[str, typer.Option("--admin", help="HOST:PORT for metrics; loopback.")]
AdvertiseOption = Annotated[
    str | None, typer.Option("--advertise", help="--listen as others reach it.")
]
AdvertiseApiOption = Annotated[
    str | None, typer.Option("--advertise-api", help="--api as others reach it.")
]
CatalogueFileOption = Annotated[
    Path | None,
    typer.Option("--catalogue-file", metavar="FILE", help="A SQLite catalogue: on one machine."),
]
EtcdOption = Annotated[
    list[str] | None,
    typer.Option("--etcd", metavar="URL", help="An endpoint of etcd; may be repeated."),
]
EtcdTrustOption = Annotated[
    Path | None, typer.Option("--etcd-trust", metavar="FILE", help="The CA of etcd's certificates.")
]
EtcdCertificateOption = Annotated[
    Path | None, typer.Option("--etcd-certificate", metavar="FILE", help="Ours, for etcd.")
]
EtcdKeyOption = Annotated[
    Path | None, typer.Option("--etcd-key", metavar="FILE", help="Its private key.")
]
EtcdUserOption = Annotated[str | None, typer.Option("--etcd-user", help="Our name in etcd.")]
EtcdPasswordOption = Annotated[
    Path | None, typer.Option("--etcd-password-file", metavar="FILE", help="And its password.")
]
EtcdPrefixOption = Annotated[
    str, typer.Option("--etcd-prefix", help="What all keys in etcd begin with.")
]
ModuleOption = Annotated[
    str | None,
    typer.Option("--pkcs11-module", metavar="FILE", help="The library of the HSM."),
]
TokenLabelOption = Annotated[
    str | None,
    typer.Option("--pkcs11-token", metavar="LABEL", help="The HSM's token, instead of a new one."),
]
PinOption = Annotated[
    Path | None, typer.Option("--pin-file", metavar="FILE", help="The token's PIN.")
]
KeyUserOption = Annotated[
    list[str] | None,
    typer.Option("--key-user", metavar="NAME", help="Somebody to manage keys; may be repeated."),
]
FrontendOption = Annotated[
    str | None,
    typer.Option("--frontend", metavar="NAME", help="Register a front-end, and configure it."),
]


@app.command("create")
def create(
    directory: DirectoryArgument,
    name: Annotated[str, typer.Option("--name", help="The cluster's name.")] = "offload",
    member: Annotated[str, typer.Option("--member", help="The first worker's name.")] = "worker-1",
    officer: Annotated[str, typer.Option("--officer", help="The first officer's name.")] = "admin",
    zone: ZoneOption = "",
    capacity: CapacityOption = 1.0,
    listen: ListenOption = "127.0.0.1:2407",
    api: ApiOption = "127.0.0.1:2408",
    admin: AdminOption = "127.0.0.1:9181",
    advertise: AdvertiseOption = None,
    advertise_api: AdvertiseApiOption = None,
    catalogue_file: CatalogueFileOption = None,
    etcd: EtcdOption = None,
    etcd_trust: EtcdTrustOption = None,
    etcd_certificate: EtcdCertificateOption = None,
    etcd_key: EtcdKeyOption = None,
    etcd_user: EtcdUserOption = None,
    etcd_password_file: EtcdPasswordOption = None,
    etcd_prefix: EtcdPrefixOption = "/offload/",
    pkcs11_module: ModuleOption = None,
    pkcs11_token: TokenLabelOption = None,
    pin_file: PinOption = None,
    key_user: KeyUserOption = None,
    frontend: FrontendOption = None,
) -> None:
    """Found a cluster: its keys, its first worker and its first officer."""
    from datetime import UTC, datetime

    from offload.cli import cluster_create
    from offload.cli.member_plan import FrontendPlan

    plan = _plan(member, locals())
    frontends = [FrontendPlan(frontend)] if frontend else []
    users = tuple(key_user or ())
    if len({officer, *users}) != 1 + len(users):
        raise typer.BadParameter("officer and key users need names of their own")
    asyncio.run(
        cluster_create.create(directory, name, officer, plan, datetime.now(UTC), frontends, users)
    )
    typer.echo(f"created {directory}; now run its worker:")
    typer.echo(f"  offload worker -c {directory}/worker.toml")
    typer.echo(f"officer {officer!r} manages the cluster with {directory}/client.toml")
    for user in users:
        typer.echo(f"key user {user!r} manages keys with {directory}/client-{user}.toml")
    typer.echo(f"{directory}/users has their private keys: hand them out, and keep none here")


@app.command("join")
def join(
    invitation: Annotated[
        Path, typer.Argument(help="The file with the invitation; '-' for standard input.")
    ],
    directory: DirectoryArgument,
    zone: ZoneOption = "",
    capacity: CapacityOption = 1.0,
    listen: ListenOption = "127.0.0.1:2407",
    api: ApiOption = "127.0.0.1:2408",
    admin: AdminOption = "127.0.0.1:9181",
    advertise: AdvertiseOption = None,
    advertise_api: AdvertiseApiOption = None,
    catalogue_file: CatalogueFileOption = None,
    etcd: EtcdOption = None,
    etcd_trust: EtcdTrustOption = None,
    etcd_certificate: EtcdCertificateOption = None,
    etcd_key: EtcdKeyOption = None,
    etcd_user: EtcdUserOption = None,
    etcd_password_file: EtcdPasswordOption = None,
    etcd_prefix: EtcdPrefixOption = "/offload/",
    pkcs11_module: ModuleOption = None,
    pkcs11_token: TokenLabelOption = None,
    pin_file: PinOption = None,
) -> None:
    """Join the cluster that invited us; waits until an officer has approved.

    Run it again with the same directory to go on waiting.
    """
    from offload.cli import cluster_join
    from offload.cli.enrolling import enrol
    from offload.cluster.fingerprint import grouped

    options = locals()
    waiting = cluster_join.resume(directory)
    if waiting is None:
        asked = _invitation(invitation)
        if not etcd and catalogue_file is None:
            raise typer.BadParameter("the cluster's catalogue: '--etcd' or '--catalogue-file'")
        waiting = cluster_join.prepare(directory, asked, _plan(asked.member, options))
    typer.echo(f"asking to join {waiting.invitation.cluster!r} as {waiting.application.member!r}")
    typer.echo("an officer has to compare this fingerprint, and to approve:")
    typer.echo(f"  {grouped(waiting.application.fingerprint)}")
    public = cluster_join.public_key(directory, waiting)
    try:
        certificate = asyncio.run(
            enrol(waiting.invitation, waiting.application, public, say=typer.echo)
        )
    except KeyboardInterrupt:
        raise Failure("not waiting any longer", "run the same command again to go on") from None
    cluster_join.finish(directory, waiting, certificate)
    typer.echo("approved; now run the worker:")
    typer.echo(f"  offload worker -c {directory}/worker.toml")


def _invitation(path: Path) -> Invitation:
    from offload.cluster.failures import Invalid
    from offload.cluster.invitation import Invitation

    text = sys.stdin.read() if str(path) == "-" else path.read_text()
    try:
        return Invitation.decode(text)
    except Invalid as error:
        raise Failure(str(error)) from None


def _plan(member: str, options: dict[str, Any]) -> MemberPlan:
    from offload.cli.member_plan import OWN_CATALOGUE, OWN_TOKEN, MemberPlan

    same = ("zone", "capacity", "listen", "api", "admin", "advertise", "advertise_api")
    return MemberPlan(
        member,
        **{name: options[name] for name in same},
        catalogue=_catalogue(options) or OWN_CATALOGUE,
        token=_token(options) or OWN_TOKEN,
    )


def _catalogue(options: dict[str, Any]) -> dict[str, Any] | None:
    file, endpoints = options["catalogue_file"], options["etcd"]
    if file is not None and endpoints:
        raise typer.BadParameter("'--catalogue-file' and '--etcd' do not go together")
    if file is not None:
        return {"kind": "sqlite", "path": str(file.absolute())}
    named = {
        key: options[f"etcd_{key}"]
        for key in ("trust", "certificate", "key", "user", "password_file")
    }
    given = {key: _text(value) for key, value in named.items() if value is not None}
    if not endpoints:
        if given:
            raise typer.BadParameter("the options of etcd need '--etcd'")
        return None
    return {"kind": "etcd", "endpoints": endpoints, **given, "prefix": options["etcd_prefix"]}


def _token(options: dict[str, Any]) -> dict[str, Any] | None:
    label, module, pin = (options[key] for key in ("pkcs11_token", "pkcs11_module", "pin_file"))
    if label is None:
        if module is not None or pin is not None:
            raise typer.BadParameter("'--pkcs11-module' and '--pin-file' need '--pkcs11-token'")
        return None
    if pin is None:
        raise typer.BadParameter("'--pkcs11-token' needs '--pin-file'")
    table = {"kind": "pkcs11", "token_label": label, "pin_file": _text(pin)}
    return table if module is None else {**table, "module": module}


def _text(value: object) -> str:
    return str(value.absolute()) if isinstance(value, Path) else str(value)
