"""Joining a cluster: the newcomer's directory before, while and after it waits to be admitted."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import ValidationError

from offload.catalogue.records import Record
from offload.cli.building import built_beside
from offload.cli.failure import Failure
from offload.cli.files import write_public, write_secret
from offload.cli.member_plan import TRUST, MemberPlan, failures, member_token, write_member
from offload.cluster.application import Application
from offload.cluster.authority import key_pem
from offload.cluster.invitation import Invitation
from offload.cluster.transport import published, token_kind

_COMMAND = "offload cluster join"
_FILE = "enrolment.json"


class Waiting(Record):
    """What a newcomer asks with, ever again the same, until it is admitted."""

    invitation: Invitation
    application: Application


def prepare(directory: Path, invitation: Invitation, plan: MemberPlan) -> Waiting:
    """Make the directory, all but the certificate; raises Failure."""
    standing = plan.standing()
    plan.catalogue_settings(directory)
    with failures(), built_beside(directory) as place:
        key = ec.generate_private_key(ec.SECP256R1())
        with member_token(place, plan) as token:
            application = Application.make(
                key,
                invitation=invitation.id,
                member=invitation.member,
                token=token_kind(token),
                transport=published(token.transport),
                standing=standing,
            )
        waiting = Waiting(invitation=invitation, application=application)
        (place / "identities").mkdir(mode=0o700)
        write_public(place / TRUST, invitation.authority.encode())
        write_secret(place / "identities" / f"{plan.member}.key", key_pem(key))
        write_member(place, plan, _COMMAND)
        write_secret(place / _FILE, waiting.body())
    return waiting


def resume(directory: Path) -> Waiting | None:
    """What the directory waits with, None if there is none; raises Failure."""
    path = directory / _FILE
    try:
        return Waiting.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        raise Failure(
            f"{path} is damaged", "remove the directory, and ask for a new invitation"
        ) from None


def public_key(directory: Path, waiting: Waiting) -> ec.EllipticCurvePublicKey:
    """The newcomer's own, which its certificate must be for; raises Failure."""
    path = directory / "identities" / f"{waiting.application.member}.key"
    key = load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Failure(f"{path} is not the key that was made here", "remove the directory")
    return key.public_key()


def finish(directory: Path, waiting: Waiting, certificate: bytes) -> None:
    """It is admitted: its worker can start."""
    path = directory / "identities" / f"{waiting.application.member}.pem"
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    write_public(draft, certificate)
    draft.replace(path)
    (directory / _FILE).unlink()
