"""Every act of management, as data: what REST takes, officers approve and the audit log records.

An act's `canonical()` is what an approval signs: the act as it will be carried out, nothing less.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from offload.keys.algorithm import Algorithm
from offload.keys.state import State

Label = Annotated[
    str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
]
"""A key's label or a name: it stands in paths and file names."""
Name = Label
KeyId = Annotated[
    str,
    StringConstraints(
        min_length=1, max_length=80, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(@[1-9][0-9]{0,8})?$"
    ),
]
"""A label (its current generation), LABEL@GENERATION, or an SKI of 40 hexadecimal digits."""
ApprovalId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Seconds = Annotated[float, Field(ge=0, le=10 * 365 * 86400)]
SitePattern = Annotated[
    str,
    StringConstraints(
        min_length=1, max_length=253, pattern=r"^(\*\.)?[A-Za-z0-9_:][A-Za-z0-9._:-]*$"
    ),
]
"""A DNS name, *.NAME for one label below it, or an address."""
FrontendPattern = Annotated[
    str, StringConstraints(max_length=64, pattern=r"^(\*|[A-Za-z0-9][A-Za-z0-9._-]*)$")
]
"""A front-end's name, or * for all."""


class Act(BaseModel):
    """An act; `name` is its kind, `target` what it is done to."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: ClassVar[str]
    writes: ClassVar[bool] = True

    @property
    def target(self) -> str:
        """What the audit log names as the object."""
        return str(getattr(self, "key", None) or getattr(self, "label", None) or "")

    def canonical(self) -> bytes:
        """The act as JSON with sorted keys, the same for equal acts."""
        body = {"act": self.name, **self.model_dump(mode="json")}
        return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()

    def digest(self) -> str:
        """SHA-256 of `canonical()` in hexadecimal."""
        return sha256(self.canonical()).hexdigest()


# Keys


class ListKeys(Act):
    """`after`: a label@generation or SKI from the page before."""

    name = "key.list"
    writes = False
    state: State | None = None
    algorithm: Algorithm | None = None
    label: str | None = Field(default=None, description="a label or a beginning followed by *")
    site: str | None = None
    frontend: str | None = None
    after: str = ""
    limit: int = Field(default=100, ge=1, le=1000)


class ShowKey(Act):
    """One generation of a key."""

    name = "key.show"
    writes = False
    key: KeyId


class CreateKey(Act):
    """Make a key on the member asked; it is usable once enough members hold it."""

    name = "key.create"
    label: Label
    algorithm: Algorithm = Algorithm("p-256")
    sites: tuple[SitePattern, ...] = ()
    frontends: tuple[FrontendPattern, ...] = ("*",)
    audit_signatures: bool = False
    exportable: bool = False
    replicated: bool = True
    activates: AwareDatetime | None = None
    deactivates: AwareDatetime | None = None


class ImportKey(Act):
    """`enclosed`: the PKCS #8 key under the transport key (RSA) of the member asked: RSA-OAEP of an
    AES-256 key, then RFC 5649 under that; base64. The clear key never crosses the network.
    """

    name = "key.import"
    label: Label
    public_key: str = Field(description="SubjectPublicKeyInfo, PEM")
    enclosed: str = Field(repr=False)
    sites: tuple[SitePattern, ...] = ()
    frontends: tuple[FrontendPattern, ...] = ("*",)
    audit_signatures: bool = False
    exportable: bool = False
    activates: AwareDatetime | None = None
    deactivates: AwareDatetime | None = None


class ExportKey(Act):
    """Enclosed, as in ImportKey, to `recipient`: an RSA public key (PEM) of at least 3072 bits."""

    name = "key.export"
    key: KeyId
    recipient: str


class SetKeyPolicy(Act):
    """What is None stays as it is."""

    name = "key.policy"
    key: KeyId
    sites: tuple[SitePattern, ...] | None = None
    frontends: tuple[FrontendPattern, ...] | None = None
    audit_signatures: bool | None = None


class ActivateKey(Act):
    """A pre-active key, before its date."""

    name = "key.activate"
    key: KeyId


class SuspendKey(Act):
    """Sign nothing with it until it is resumed."""

    name = "key.suspend"
    key: KeyId


class ResumeKey(Act):
    """Make a suspended key active again."""

    name = "key.resume"
    key: KeyId


class DeactivateKey(Act):
    """Never sign with it again."""

    name = "key.deactivate"
    key: KeyId


class CompromiseKey(Act):
    """Somebody else may have the key: never sign with it again."""

    name = "key.compromise"
    key: KeyId
    reason: str = Field(default="", max_length=500)


class DestroyKey(Act):
    """An active key is suspended at once. `wait_seconds` None: the cluster's waiting period."""

    name = "key.destroy"
    key: KeyId
    wait_seconds: Seconds | None = None


class KeepKey(Act):
    """Cancels a destruction that has not been carried out."""

    name = "key.keep"
    key: KeyId


class RequestCertificate(Act):
    """A certification request (RFC 2986) signed by the key."""

    name = "certificate.request"
    key: KeyId
    names: tuple[SitePattern, ...] = Field(min_length=1)


class InstallCertificate(Act):
    """The chain that front-ends serve with the key; checked against it."""

    name = "certificate.install"
    key: KeyId
    chain: str = Field(description="PEM, leaf first")


class RotateKey(Act):
    """Begin a rotation; it goes on when the certificate for the new generation is there.

    issue: 'request' waits for `certificate.install` of the new generation; 'self-signed' makes one
    for `names` (the old leaf's names if empty).
    """

    name = "key.rotate"
    label: Label
    algorithm: Algorithm | None = None
    issue: Literal["request", "self-signed"] = "request"
    names: tuple[SitePattern, ...] = ()
    drain_seconds: Seconds = 60.0


class ShowRotation(Act):
    """How far a rotation has come."""

    name = "key.rotation"
    writes = False
    label: Label


class CancelRotation(Act):
    """Back to the old generation, if the switch has not happened on every front-end."""

    name = "key.rotation.cancel"
    label: Label


# Members


class ListMembers(Act):
    """The workers of the cluster, and who waits to be admitted."""

    name = "member.list"
    writes = False


class Invite(Act):
    """Let somebody ask to join under a name; the answer has the secret for it."""

    name = "member.invite"
    member: Name
    seconds: float = Field(default=3600.0, gt=0, le=7 * 86400)

    @property
    def target(self) -> str:
        return self.member


class Approve(Act):
    """Admit who asked to join under that name, if the fingerprint is that of its request."""

    name = "member.approve"
    member: Name
    fingerprint: str

    @property
    def target(self) -> str:
        return self.member


class Reject(Act):
    """Turn away who asked to join."""

    name = "member.reject"
    member: Name

    @property
    def target(self) -> str:
        return self.member


class RemoveMember(Act):
    """The member can read nothing new: the cluster key is rolled."""

    name = "member.remove"
    member: Name

    @property
    def target(self) -> str:
        return self.member


class RollClusterKey(Act):
    """A new cluster key; every key is wrapped anew under it."""

    name = "cluster.roll"


class ShowCluster(Act):
    """The cluster's own record."""

    name = "cluster.show"
    writes = False


class BackUp(Act):
    """A consistent, authenticated copy of the catalogue."""

    name = "cluster.backup"


class SetPolicy(Act):
    """What is None stays. approvals: act name to the number of officers needed."""

    name = "cluster.policy"
    copies: int | None = Field(default=None, ge=1, le=100)
    destroy_wait_seconds: Seconds | None = None
    approvals: dict[str, int] | None = None


# Front-ends


class ListFrontends(Act):
    """The front-ends registered, and what they serve."""

    name = "frontend.list"
    writes = False


class RegisterFrontend(Act):
    """Issues the certificate for the request (PEM, RFC 2986) of a front-end."""

    name = "frontend.register"
    frontend: Name
    request: str
    zone: str = ""

    @property
    def target(self) -> str:
        return self.frontend


class RemoveFrontend(Act):
    """The front-end's certificate may ask for nothing any more."""

    name = "frontend.remove"
    frontend: Name

    @property
    def target(self) -> str:
        return self.frontend


# Users


class ListUsers(Act):
    """Officers, key users and auditors."""

    name = "user.list"
    writes = False


class CreateUser(Act):
    """Issues the certificate for the user's request (PEM)."""

    name = "user.create"
    user: Name
    role: Literal["officer", "key-user", "auditor"]
    request: str

    @property
    def target(self) -> str:
        return self.user


class SetRole(Act):
    """Another role for a user."""

    name = "user.role"
    user: Name
    role: Literal["officer", "key-user", "auditor"]

    @property
    def target(self) -> str:
        return self.user


class RemoveUser(Act):
    """The user's certificate opens nothing any more."""

    name = "user.remove"
    user: Name

    @property
    def target(self) -> str:
        return self.user


class MintToken(Act):
    """A bearer token for the caller's own use."""

    name = "user.token"
    seconds: float = Field(default=900.0, gt=0, le=86400)


# Approvals


class ListApprovals(Act):
    """What waits for signatures."""

    name = "approval.list"
    writes = False


class ShowApproval(Act):
    """What waits for signatures under that id."""

    name = "approval.show"
    writes = False
    approval: ApprovalId

    @property
    def target(self) -> str:
        return self.approval


class SignApproval(Act):
    """`signature`: by the officer's own key over the approval's statement; base64."""

    name = "approval.sign"
    approval: ApprovalId
    signature: str

    @property
    def target(self) -> str:
        return self.approval


class RejectApproval(Act):
    """End an approval; the act is not done."""

    name = "approval.reject"
    approval: ApprovalId

    @property
    def target(self) -> str:
        return self.approval


# Audit


class ShowAudit(Act):
    """A page of the member's audit log, in the order of its records: the newest ones, those right
    before the record `before`, or those right after the record `after`.
    """

    name = "audit.show"
    writes = False
    after: int | None = Field(default=None, ge=0, le=2**63 - 1)
    before: int | None = Field(default=None, ge=1, le=2**63 - 1)
    limit: int = Field(default=100, ge=1, le=1000)


class VerifyAudit(Act):
    """Check the chains of all members' logs against their checkpoints."""

    name = "audit.verify"
    writes = False


class ExportAudit(Act):
    """The member's whole audit log with its checkpoints, in parts if it is large: `after` is
    `next` of the part before.
    """

    name = "audit.export"
    writes = False
    after: int = Field(default=0, ge=0, le=2**63 - 1)
