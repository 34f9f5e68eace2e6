"""What acts answer: models that REST serialises and the command line prints."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class View(BaseModel):
    """An answer; frozen."""

    model_config = ConfigDict(frozen=True)


class Done(View):
    """The act was done, and there is nothing more to say."""

    done: bool = True


class CopyView(View):
    """A key on one worker."""

    member: str
    state: str
    lag_seconds: float


class KeyView(View):
    """One generation of a key. `copies` and `copies_needed` tell whether it is short of workers."""

    ski: str
    label: str
    generation: int
    current: bool
    algorithm: str
    state: str
    purpose: str
    public_key: str
    sites: tuple[str, ...]
    frontends: tuple[str, ...]
    audit_signatures: bool
    exportable: bool
    replicated: bool
    home: str
    created: datetime
    changed: datetime
    activates: datetime | None
    deactivates: datetime | None
    destroy_at: datetime | None
    copies: tuple[CopyView, ...]
    copies_needed: int
    signatures: int


class KeyPage(View):
    """A page of keys; `next` is what the following page's `after` is, '' on the last one."""

    keys: tuple[KeyView, ...]
    next: str


class RequestView(View):
    """A certification request (PEM, RFC 2986), signed by the key."""

    ski: str
    request: str


class ExportView(View):
    """A key enclosed to the recipient, base64; public_key: PEM. `ImportKey` takes it as it is."""

    ski: str
    label: str
    generation: int
    public_key: str
    enclosed: str = Field(repr=False)


class RollView(View):
    """The cluster key of today, and how many keys are still wrapped under an older one."""

    cluster_key: int
    keys_left: int


class MemberView(View):
    """A worker. state: pending, present or removed."""

    name: str
    state: str
    alive: bool
    zone: str
    capacity: float
    address: str
    api: str
    token: str
    fingerprint: str
    joined: datetime | None
    keys_held: int
    keys_missing: int


class MemberList(View):
    """All members, ordered by name."""

    members: tuple[MemberView, ...]


class UserView(View):
    """A user. certificate: PEM, in the answer that creates the user alone."""

    name: str
    role: str
    fingerprint: str
    created: datetime
    certificate: str = ""


class UserList(View):
    """All users, ordered by name."""

    users: tuple[UserView, ...]


class TokenView(View):
    """A bearer token, which is shown this once."""

    token: str = Field(repr=False)
    expires: datetime


class ApprovalView(View):
    """An act that waits for officers. act: as canonical JSON, digest: its SHA-256; statement: what
    an officer signs; signed_by: whose signatures count now.
    """

    id: str
    name: str
    act: str
    digest: str
    requested_by: str
    created: datetime
    expires: datetime
    needed: int
    signed_by: tuple[str, ...]
    statement: str


class ApprovalList(View):
    """All approvals that are not over, the oldest first."""

    approvals: tuple[ApprovalView, ...]


class ClusterView(View):
    """The cluster. authority: its CA's certificate (PEM); cluster_key: the generation that keys are
    wrapped under; approvals: officers needed, by the name of the act.
    """

    name: str
    created: datetime
    authority: str
    cluster_key: int
    copies: int
    destroy_wait_seconds: float
    approvals: dict[str, int]
    members: int
    keys: int


class InvitationView(View):
    """An invitation to join as `member`: the text has a secret, and is shown this once."""

    member: str
    expires: datetime
    invitation: str = Field(repr=False)


class EnrolmentView(View):
    """An application to join. id: its fingerprint; state: pending or present; certificate: PEM,
    once it is present.
    """

    id: str
    member: str
    state: str
    cluster: str
    certificate: str = ""


class FrontendView(View):
    """A front-end. serving, staged: label to SKI, of one that runs; certificate: PEM, in the answer
    that registers it alone.
    """

    name: str
    fingerprint: str
    zone: str
    registered: datetime
    alive: bool
    serving: dict[str, str]
    staged: dict[str, str]
    certificate: str = ""
    authority: str = ""


class FrontendList(View):
    """All front-ends, ordered by name."""

    frontends: tuple[FrontendView, ...]


class BackupView(View):
    """A copy of the catalogue, signed by `member`; write `backup` into a file as it is (UTF-8).

    sha256: of that file, in hexadecimal; entries: values in it.
    """

    member: str
    entries: int
    sha256: str
    backup: str


class RotationView(View):
    """How far a rotation has come. `waiting_for`: why it does not go on, '' if it does; request:
    the certification request (PEM) of the new generation, '' before there is one.
    """

    label: str
    phase: str
    old_ski: str
    new_ski: str
    issue: str
    names: tuple[str, ...]
    began: datetime
    changed: datetime
    request: str
    waiting_for: str
    reason: str


class AuditRecordView(View):
    """A record of the audit log. damage: why it is not as it was written, '' if it is."""

    seq: int
    time: str = ""
    worker: str = ""
    kind: str = ""
    fields: dict[str, Any] = {}
    prev: str = ""
    hash: str = ""
    damage: str = ""


class AuditPage(View):
    """Records in their order. older: `before` of the page before this one; newer: `after` of the
    one that follows; 0 if there is none. last: the newest record of the log.
    """

    records: tuple[AuditRecordView, ...]
    older: int
    newer: int
    last: int


class ChainView(View):
    """The audit chain of a worker, as the member asked knows it.

    state: verified (it is the member's own, and was read), bad (see `problem`), countersigned or
    alone (another's, of whose checkpoints others have signed some, or none yet), unknown (it has
    none). last: the last record read, 0 for another's; covered: the last one that a checkpoint
    covers; countersigned: the last one that each other member has signed.
    """

    worker: str
    state: Literal["verified", "bad", "countersigned", "alone", "unknown"]
    last: int
    covered: int
    covered_at: datetime | None
    countersigned: dict[str, int]
    problem: str
    warnings: tuple[str, ...]


class AuditVerification(View):
    """The chains of all members, by name. whole: none of them is bad."""

    whole: bool
    chains: tuple[ChainView, ...]


class AuditExport(View):
    """Records `first` to `last` with their evidence; `content`: for `offload audit verify`.
    next: what `after` of the following part is, 0 if this is the last.
    """

    worker: str
    first: int
    last: int
    next: int
    content: str
