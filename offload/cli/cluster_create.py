"""Founding a cluster: the first member's directory, and the catalogue's first records."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from offload.catalogue.base import Catalogue, CatalogueUnavailable
from offload.catalogue.opening import open_catalogue
from offload.cli.building import (
    built_beside,
    require_free,
    write_configuration,
    write_identity,
)
from offload.cli.failure import Failure
from offload.cli.files import write_public
from offload.cli.member_plan import (
    TRUST,
    FrontendPlan,
    MemberPlan,
    failures,
    member_token,
    write_frontend,
    write_member,
)
from offload.cluster.authority import Identity
from offload.cluster.founding import Founded, Plan, prepare, publish, require_none, undo
from offload.config import SqliteSettings

_COMMAND = "offload cluster create"


async def create(
    directory: Path,
    cluster: str,
    officer: str,
    plan: MemberPlan,
    now: datetime,
    frontends: Sequence[FrontendPlan] = (),
    key_users: Sequence[str] = (),
) -> None:
    """Make the directory, then write the catalogue.

    Raises Failure; then the directory is not there, unless the catalogue may have been written.
    """
    require_free(directory)
    standing = plan.standing()
    names = tuple(one.name for one in frontends)
    settings = plan.catalogue_settings(directory)
    with failures():
        if not isinstance(settings, SqliteSettings) or settings.path.exists():
            await _refuse_taken(await open_catalogue(settings))
        asked = Plan(cluster, plan.member, officer, standing, names, tuple(key_users))
        founded = _build(directory, plan, asked, now, frontends)
        # In this order: a catalogue whose keys are in no directory would be of no use to anybody.
        try:
            await _publish(await open_catalogue(settings), founded)
        except CatalogueUnavailable as error:
            raise Failure(
                f"{error}; the catalogue may have the new cluster all the same",
                f"{directory} is kept: run its worker; if that finds no cluster, remove the "
                "directory and create it again",
            ) from error
        except BaseException:
            with member_token(directory, plan, fresh=False) as token:
                undo(token, founded)
            shutil.rmtree(directory)
            raise


def _build(
    directory: Path,
    plan: MemberPlan,
    asked: Plan,
    now: datetime,
    frontends: Sequence[FrontendPlan],
) -> Founded:
    with built_beside(directory) as place, member_token(place, plan) as token:
        founded = prepare(token, asked, now)
        try:
            _write(place, plan, asked, founded, frontends)
        except BaseException:
            # The directory goes by itself, but what is in an HSM does not.
            undo(token, founded)
            raise
    return founded


async def _refuse_taken(catalogue: Catalogue) -> None:
    try:
        await require_none(catalogue)
    finally:
        await catalogue.close()


async def _publish(catalogue: Catalogue, founded: Founded) -> None:
    try:
        await publish(catalogue, founded)
    finally:
        await catalogue.close()


def _write(
    place: Path,
    plan: MemberPlan,
    asked: Plan,
    founded: Founded,
    frontends: Sequence[FrontendPlan],
) -> None:
    (place / "identities").mkdir(mode=0o700)
    (place / "users").mkdir(mode=0o700)
    write_public(place / TRUST, founded.authority)
    write_identity(place, "identities", plan.member, founded.member)
    write_member(place, plan, _COMMAND)
    _write_user(place, plan, asked.officer, founded.officer, "client.toml")
    for name, identity in founded.key_users.items():
        _write_user(place, plan, name, identity, f"client-{name}.toml")
    for frontend in frontends:
        write_identity(place, "identities", frontend.name, founded.frontends[frontend.name])
        write_frontend(place, plan, frontend, _COMMAND)


def _write_user(place: Path, plan: MemberPlan, name: str, identity: Identity, file: str) -> None:
    write_identity(place, "users", name, identity)
    client = {
        "server": f"https://{plan.standing().api}",
        "certificate": f"users/{name}.pem",
        "key": f"users/{name}.key",
        "trust": TRUST,
    }
    write_configuration(place / file, client, _COMMAND)
