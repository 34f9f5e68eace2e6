"""An act that waits for officers, and what each of them signs (no I/O).

An officer signs the statement, with the key of the certificate that the cluster gave him, wherever
he keeps that key. The statement binds the act as it will be carried out, who asked for it, and
until when: a signature is of no use for another act, person or time.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from pydantic import Field

from offload.catalogue.records import ClusterRecord, Record, UserRecord
from offload.cluster import acts
from offload.cluster.acts import Act

_HASH: Final = hashes.SHA256()
_ECDSA: Final = ec.ECDSA(_HASH)
# OpenSSL's command signs so with `-pkeyopt rsa_pss_saltlen:digest`.
_PSS: Final = padding.PSS(padding.MGF1(_HASH), padding.PSS.DIGEST_LENGTH)

UserPrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
"""What the certificate of a user may be for."""


class ApprovalRecord(Record):
    """approvals/<id>. act: its canonical JSON, digest: SHA-256 of that; needed: officers, when it
    was asked for; signatures: base64, by the officer's name.
    """

    id: str
    name: str
    act: str
    digest: str
    requested_by: str
    created: datetime
    expires: datetime
    needed: int
    signatures: dict[str, str] = Field(default_factory=dict)
    version: int = 1

    @property
    def statement(self) -> bytes:
        """What an officer signs."""
        return statement(self.id, self.digest, self.requested_by, self.expires)


def statement(id: str, digest: str, requested_by: str, expires: datetime) -> bytes:
    """The bytes to sign; names and ids have no line breaks, so no two approvals share them."""
    lines = (
        "offload approval 1",
        f"id: {id}",
        f"act: sha256:{digest}",
        f"requested by: {requested_by}",
        f"expires: {expires.isoformat()}",
    )
    return "\n".join(lines).encode() + b"\n"


def sign(key: UserPrivateKey, content: bytes) -> str:
    """An officer's signature in base64: ECDSA or RSA-PSS with SHA-256, or Ed25519."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        signature = key.sign(content, _ECDSA)
    elif isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(content, _PSS, _HASH)
    else:
        signature = key.sign(content)
    return base64.b64encode(signature).decode()


def verifies(public_key: str, signature: str, content: bytes) -> bool:
    """Whether the signature (base64) is by the key (PEM)."""
    key = serialization.load_pem_public_key(public_key.encode())
    try:
        raw = base64.b64decode(signature, validate=True)
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(raw, content, _ECDSA)
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(raw, content, _PSS, _HASH)
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(raw, content)
        else:
            return False
    except (ValueError, InvalidSignature):
        return False
    return True


def approvers(record: ApprovalRecord, users: Mapping[str, UserRecord]) -> tuple[str, ...]:
    """The officers whose signatures count now, with the keys and roles that they have now."""
    return tuple(
        name
        for name, signature in sorted(record.signatures.items())
        if (user := users.get(name)) is not None
        and is_officer(user)
        and verifies(user.public_key, signature, record.statement)
    )


def is_officer(user: UserRecord) -> bool:
    """Whether the user is an officer."""
    return user.role == "officer"


def officers_needed(cluster: ClusterRecord, act: Act) -> int:
    """How many officers must sign before the act is done; 0 for none.

    Who can change the policy, or make officers, could do without approvals altogether: these acts
    need as many as the one that needs most.
    """
    needed = cluster.approvals.get(act.name, 0)
    return max(needed, strictest(cluster.approvals)) if _guards(act) else needed


def strictest(approvals: Mapping[str, int]) -> int:
    """How many officers the cluster must have at the least."""
    return max(approvals.values(), default=0)


def policy_problem(approvals: Mapping[str, int], known: Iterable[type[Act]], officers: int) -> str:
    """Why that policy of approvals cannot be; '' if it can."""
    possible = {act.name for act in known if act.writes and act not in _NEVER}
    for name, needed in approvals.items():
        if name not in possible:
            return f"{name!r} cannot need approvals; possible are {', '.join(sorted(possible))}"
        if not 1 <= needed <= officers:
            return (
                f"{name} cannot need {needed} officers while there are {officers}; "
                "use a number between, or leave the act out for none"
            )
    return ""


# An approval for what gives approvals would wait for itself; a token is its owner's own matter.
_NEVER: Final = frozenset((acts.SignApproval, acts.RejectApproval, acts.MintToken))


def _guards(act: Act) -> bool:
    if isinstance(act, acts.CreateUser | acts.SetRole):
        return act.role == "officer"
    return isinstance(act, acts.SetPolicy) and act.approvals is not None
