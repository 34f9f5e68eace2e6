"""The beginning of a cluster: its keys, its first member, its first officer.

`prepare` makes everything in the token and in memory, `publish` puts the records into the
catalogue, all in one commit and only where there is no cluster: a founding that fails leaves
nothing behind but the token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from offload.catalogue import paths
from offload.catalogue.base import Catalogue, CatalogueUnavailable, Conflict, Put, Unchanged
from offload.catalogue.envelope import Signer
from offload.catalogue.records import (
    ApplianceRecord,
    ClusterRecord,
    HoldingRecord,
    LabelRecord,
    MemberRecord,
    Record,
    UserRecord,
)
from offload.cluster.authority import Identity, fingerprint, key_pem, pem
from offload.cluster.failures import Taken
from offload.cluster.issuer import AUTHORITY_LABEL, Issuer, root
from offload.cluster.profile import CertificateProfile
from offload.cluster.standing import Standing, member_name, plain_name
from offload.cluster.token_key import signing, token_key
from offload.cluster.transport import published, token_kind
from offload.keys.algorithm import Algorithm
from offload.keys.managed import ManagedKey, Purpose
from offload.keys.record import KeyRecord
from offload.keys.state import State
from offload.token.base import ReplicatedToken

_FIRST = 1  # generation of cluster key and authority key
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """What to found. frontends, key_users: names of those to register at once."""

    cluster: str
    member: str
    officer: str
    standing: Standing
    frontends: tuple[str, ...] = ()
    key_users: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Founded:
    """What belongs into files (others than the member and the officer by name), and `values`, what
    belongs into the catalogue, by path.
    """

    authority: bytes
    member: Identity
    officer: Identity
    key_users: Mapping[str, Identity]
    frontends: Mapping[str, Identity]
    values: Mapping[str, bytes]


def prepare(token: ReplicatedToken, plan: Plan, now: datetime) -> Founded:
    """Make the keys and certificates of a cluster; blocks. `token` is a fresh one.

    Raises TokenError, also for a token that belongs to a cluster; Invalid for a bad name.
    """
    _check_names(plan)
    token.generate_cluster_key(_FIRST)
    try:
        record = token.generate(f"{AUTHORITY_LABEL}@{_FIRST}", Algorithm.P_256)
    except BaseException:
        token.destroy_cluster_key(_FIRST)
        raise
    try:
        return _founded(token, plan, record, now)
    except BaseException:
        _erase(token, record.ski)
        raise


def undo(token: ReplicatedToken, founded: Founded) -> None:
    """Erase from the token what `prepare` made there; for a founding that came to nothing."""
    authority = x509.load_pem_x509_certificate(founded.authority)
    identifier = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    _erase(token, identifier.digest)


def _erase(token: ReplicatedToken, ski: bytes) -> None:
    token.destroy(ski)
    token.destroy_cluster_key(_FIRST)


def _check_names(plan: Plan) -> None:
    plain_name(plan.cluster, "a cluster")
    member_name(plan.member)
    for name in (plan.officer, *plan.key_users):
        plain_name(name, "a user")
    for name in plan.frontends:
        plain_name(name, "a front-end")


def _founded(token: ReplicatedToken, plan: Plan, record: KeyRecord, now: datetime) -> Founded:
    public = load_der_public_key(record.public_key)
    key = token_key(public, signing(token, record.ski))
    authority = root(f"{plan.cluster} authority", key, now)
    issuer = Issuer(authority, key)
    member_key = ec.generate_private_key(ec.SECP256R1())
    names = (plan.member, *plan.standing.hosts)
    certificate = issuer.issue(member_key.public_key(), names, CertificateProfile.SERVER, now)
    member = Identity(pem(certificate), key_pem(member_key))
    officer = _client(issuer, plan.officer, now)
    key_users = {name: _client(issuer, name, now) for name in plan.key_users}
    frontends = {name: _client(issuer, name, now) for name in plan.frontends}
    records: dict[str, Record | ManagedKey] = {
        **_cluster(plan, pem(authority).decode(), record, now),
        **_member(plan, member, token, now),
        **_authority_key(plan, record, token.wrap(record.ski, _FIRST), now),
        **_users("key-user", key_users, now),
        **_users("officer", {plan.officer: officer}, now),
        **_appliances(plan, frontends, now),
    }
    signer = Signer(plan.member, member_key)
    values = {path: signer.seal(path, one.body()) for path, one in records.items()}
    return Founded(pem(authority), member, officer, key_users, frontends, values)


async def publish(catalogue: Catalogue, founded: Founded, *, pause: float = 0.5) -> None:
    """Write it, where there is no cluster yet; tries thrice with a pause (seconds) between.

    Raises Taken if there is one; CatalogueUnavailable if it is not known whether it was written:
    publishing the same again finds out.
    """
    writes = [Put(path, value) for path, value in founded.values.items()]
    checks = [Unchanged(path, 0) for path in founded.values]
    for attempt in range(_ATTEMPTS):
        try:
            await catalogue.commit(writes, checks)
        except Conflict:
            there = await catalogue.get(paths.CLUSTER)
            if there is None or there.value != founded.values[paths.CLUSTER]:
                raise _occupied() from None
        except CatalogueUnavailable:
            if attempt == _ATTEMPTS - 1:
                raise
            await asyncio.sleep(pause)
            continue
        return


async def require_none(catalogue: Catalogue) -> None:
    """Raise Taken if the catalogue has a cluster; finds out early, before anything is made."""
    if await catalogue.get(paths.CLUSTER) is not None:
        raise _occupied()


def _occupied() -> Taken:
    return Taken(
        "the catalogue has a cluster already: join it, or name another prefix or file for a new one"
    )


def _client(issuer: Issuer, name: str, now: datetime) -> Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = issuer.issue(key.public_key(), (name,), CertificateProfile.CLIENT, now)
    return Identity(pem(certificate), key_pem(key))


def _cluster(plan: Plan, authority: str, key: KeyRecord, now: datetime) -> dict[str, Record]:
    record = ClusterRecord(
        name=plan.cluster,
        authority=authority,
        authority_ski=key.ski.hex(),
        created=now,
        cluster_key=_FIRST,
    )
    return {paths.CLUSTER: record}


def _member(
    plan: Plan, identity: Identity, token: ReplicatedToken, now: datetime
) -> dict[str, Record]:
    record = MemberRecord(
        name=plan.member,
        state="present",
        **plan.standing.model_dump(),
        token=token_kind(token),
        certificate=identity.certificate.decode(),
        transport=published(token.transport),
        joined=now,
    )
    return {paths.MEMBERS + plan.member: record}


def _authority_key(
    plan: Plan, record: KeyRecord, wrapped: bytes, now: datetime
) -> dict[str, Record | ManagedKey]:
    ski = record.ski.hex()
    key = ManagedKey(
        ski=record.ski,
        label=AUTHORITY_LABEL,
        generation=_FIRST,
        algorithm=record.algorithm,
        public_key=record.public_key,
        state=State.ACTIVE,
        created=now,
        changed=now,
        home=plan.member,
        purpose=Purpose.AUTHORITY,
        wrapped=wrapped,
        wrapped_under=_FIRST,
    )
    return {
        paths.KEYS + ski: key,
        paths.LABELS + AUTHORITY_LABEL: LabelRecord(
            label=AUTHORITY_LABEL, generations=(ski,), current=ski
        ),
        f"{paths.HOLDINGS}{ski}/{plan.member}": HoldingRecord(
            member=plan.member, ski=ski, state="held"
        ),
    }


def _users(
    role: Literal["officer", "key-user"], identities: Mapping[str, Identity], now: datetime
) -> dict[str, Record]:
    records: dict[str, Record] = {}
    for name, identity in identities.items():
        certificate = x509.load_pem_x509_certificate(identity.certificate)
        public = certificate.public_key()
        encoded = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        records[paths.USERS + name] = UserRecord(
            name=name,
            role=role,
            fingerprint=fingerprint(certificate),
            public_key=encoded.decode(),
            created=now,
        )
    return records


def _appliances(plan: Plan, identities: Mapping[str, Identity], now: datetime) -> dict[str, Record]:
    return {
        paths.APPLIANCES + name: ApplianceRecord(
            name=name, fingerprint=one.fingerprint, zone=plan.standing.zone, registered=now
        )
        for name, one in identities.items()
    }
