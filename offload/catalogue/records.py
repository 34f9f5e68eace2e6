"""What stands in the catalogue besides keys: models whose JSON is an envelope's body."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Record(BaseModel):
    """Frozen; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def body(self) -> bytes:
        """The JSON of an envelope."""
        return self.model_dump_json().encode()


class TransportKeys(Record):
    """The public keys that the cluster key, or an imported key, is enclosed to, in base64.

    rsa: SubjectPublicKeyInfo (DER), 3072 bits; hpke: the raw X25519 key (RFC 9180), where the
    token has one.
    """

    rsa: str
    hpke: str | None = None


class MemberRecord(Record):
    """members/<name>. capacity: relative to the others; address, api: HOST:PORT as others reach
    them; certificate: PEM. version grows with each change, as in all versioned records.
    """

    name: str
    state: Literal["present", "removed"]
    zone: str = ""
    capacity: float = 1.0
    address: str
    api: str
    token: Literal["software", "pkcs11"]
    certificate: str
    transport: TransportKeys
    joined: datetime
    version: int = 1


class AliveRecord(Record):
    """alive/<name>, not signed: it says no more than that somebody keeps a lease."""

    name: str
    since: datetime
    ready: bool = True


class ClusterRecord(Record):
    """cluster. `copies`: workers that must hold a key before it is usable (fewer members: all).

    approvals: officers needed for an act by its name; an act that is not named needs none.
    """

    name: str
    authority: str = Field(description="certificate, PEM")
    authority_ski: str
    created: datetime
    cluster_key: int = 1
    copies: int = 2
    destroy_wait_seconds: float = 7 * 86400.0
    approvals: dict[str, int] = {}
    version: int = 1


class CertificateRecord(Record):
    """certificates/<label>: what front-ends serve with. chain: PEM, leaf first, of the key `ski`.

    canary: a second chain, of the generation that a rotation is about to switch to. Front-ends load
    it, make a handshake with it in memory, signed by a worker, and say so in `staged`; a client is
    served with it only if it asks for the server name `canary_name`, which is secret.
    """

    label: str
    ski: str
    generation: int
    chain: str
    canary_ski: str = ""
    canary_chain: str = ""
    canary_name: str = ""
    version: int = 1


class FrontendRecord(Record):
    """frontends/<name>, bound to its lease: what all processes of the front-end have reached.

    serving: label to SKI of what handshakes are served with, for every label of its sites; '' while
    there is no certificate or processes do not agree; staged: label to SKI of a canary with which a
    handshake has been made through the workers; canary_errors: SKI of a canary to why one failed,
    so that an earlier attempt's failure is not taken for this one's.
    """

    name: str
    serving: dict[str, str]
    staged: dict[str, str] = {}
    canary_errors: dict[str, str] = {}


class ApplianceRecord(Record):
    """appliances/<name>: a front-end's certificate, by the SHA-256 of its DER encoding."""

    name: str
    fingerprint: str
    zone: str = ""
    registered: datetime
    version: int = 1


class LabelRecord(Record):
    """labels/<label>: SKIs of all generations, the oldest first; `current` is '' before the first
    is active.
    """

    label: str
    generations: tuple[str, ...]
    current: str
    version: int = 1


class HoldingRecord(Record):
    """holdings/<ski>/<worker>. state: held, or erased after a destruction. lag_seconds: from the
    record's publication to the key in the token.
    """

    member: str
    ski: str
    state: Literal["held", "erased"]
    lag_seconds: float = 0.0


class UserRecord(Record):
    """users/<name>: fingerprint is the SHA-256 of the DER certificate, `public_key` its PEM."""

    name: str
    role: Literal["officer", "key-user", "auditor"]
    fingerprint: str
    public_key: str
    created: datetime
    version: int = 1


class UsageRecord(Record):
    """usage/<worker>/<ski>: all signatures that the worker ever made with the key."""

    member: str
    ski: str
    signatures: int


class CheckpointRecord(Record):
    """checkpoints/<worker>, signed by it, and checkpoints/<worker>/<other>, signed by who saw it.

    The last record of the worker's audit log was `seq`, its hash is `hash` (hexadecimal).
    """

    worker: str
    seq: int
    hash: str
    time: datetime
    version: int = 1
