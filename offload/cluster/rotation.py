"""A rotation as one verified act: where it stands, and what is to be done next (no I/O).

    replicating -> certifying -> staging -> switching -> draining -> done
         |              |           |           |
         +--------------+-----------+-----------+--> rolled-back

The law: clients are served with the old generation until every front-end has made a handshake
with the new one; until every front-end has switched, the way back is one commit. The record in
the catalogue says where the rotation stands, so any member can drive it, and a crash between two
steps loses nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal, NamedTuple

from offload.catalogue.records import CertificateRecord, FrontendRecord, Record
from offload.keys.managed import ManagedKey
from offload.keys.state import State


class Phase(StrEnum):
    """What a rotation waits for."""

    REPLICATING = "replicating"
    """Enough members hold the new generation."""
    CERTIFYING = "certifying"
    """A certificate for the new generation is installed."""
    STAGING = "staging"
    """Every front-end has made a handshake with the new generation (the canary)."""
    SWITCHING = "switching"
    """Every front-end serves the new generation."""
    DRAINING = "draining"
    """Handshakes that began with the old generation are over."""
    DONE = "done"
    ROLLED_BACK = "rolled-back"


OVER = frozenset((Phase.DONE, Phase.ROLLED_BACK))
REVERSIBLE = frozenset((Phase.REPLICATING, Phase.CERTIFYING, Phase.STAGING, Phase.SWITCHING))

# How long a phase may take before the rotation is rolled back. A certificate may take weeks: who
# asked for it cancels the rotation if it never comes.
PATIENCE = {
    Phase.REPLICATING: timedelta(minutes=5),
    Phase.STAGING: timedelta(minutes=2),
    Phase.SWITCHING: timedelta(minutes=2),
}


class RotationRecord(Record):
    """rotations/<label>. request: PEM, of the new generation; chain: its certificate once it is
    there; old_chain: what to go back to, '' if the label had no certificate.
    """

    label: str
    old_ski: str
    new_ski: str
    phase: Phase
    issue: Literal["request", "self-signed"]
    names: tuple[str, ...]
    drain_seconds: float
    asked_by: str
    began: datetime
    changed: datetime
    request: str = ""
    chain: str = ""
    old_chain: str = ""
    canary_name: str = ""
    reason: str = ""
    version: int = 1


class Situation(NamedTuple):
    """What a decision looks at. `frontends`: those alive that serve the label or might."""

    new: ManagedKey
    copies: int
    needed: int
    certificate: CertificateRecord | None
    frontends: Collection[FrontendRecord]


class Next(StrEnum):
    """What to do with a rotation now."""

    WAIT = "wait"
    CERTIFY = "certify"
    STAGE = "stage"
    SWITCH = "switch"
    DRAIN = "drain"
    FINISH = "finish"
    ROLL_BACK = "roll back"


class Decision(NamedTuple):
    """`until`: when to look again if nothing happens before; `reason`: of a way back, or of a
    wait: who or what is waited for.
    """

    next: Next
    reason: str = ""
    until: datetime | None = None


def decide(rotation: RotationRecord, now: datetime, situation: Situation) -> Decision:
    """What is to be done next."""
    if rotation.phase in OVER:
        return Decision(Next.WAIT)
    if rotation.phase in REVERSIBLE and situation.new.state not in (
        State.PRE_ACTIVE,
        State.ACTIVE,
    ):
        return Decision(Next.ROLL_BACK, f"the new generation is {situation.new.state}")
    decision = _DECIDE[rotation.phase](rotation, now, situation)
    if decision.next is not Next.WAIT or rotation.phase not in PATIENCE:
        return decision
    deadline = rotation.changed + PATIENCE[rotation.phase]
    if now >= deadline:
        return Decision(Next.ROLL_BACK, f"gave up while {rotation.phase}: {decision.reason}")
    return decision._replace(until=deadline)


def _replicating(rotation: RotationRecord, now: datetime, situation: Situation) -> Decision:
    if situation.copies < situation.needed:
        return Decision(
            Next.WAIT, f"{situation.copies} of {situation.needed} workers hold the new generation"
        )
    if situation.new.state is not State.ACTIVE:
        return Decision(Next.WAIT, "the new generation is not active yet")
    return Decision(Next.CERTIFY)


def _certifying(rotation: RotationRecord, now: datetime, situation: Situation) -> Decision:
    if rotation.chain:
        return Decision(Next.STAGE)
    return Decision(Next.WAIT, "no certificate is installed for the new generation")


def _staging(rotation: RotationRecord, now: datetime, situation: Situation) -> Decision:
    behind = []
    for frontend in situation.frontends:
        failed = frontend.canary_errors.get(rotation.new_ski)
        if failed is not None:
            return Decision(Next.ROLL_BACK, f"the canary failed on {frontend.name}: {failed}")
        if frontend.staged.get(rotation.label) != rotation.new_ski:
            behind.append(frontend.name)
    if behind:
        return Decision(Next.WAIT, f"no canary handshake yet on {', '.join(sorted(behind))}")
    return Decision(Next.SWITCH)


def _switching(rotation: RotationRecord, now: datetime, situation: Situation) -> Decision:
    behind = sorted(
        frontend.name
        for frontend in situation.frontends
        if frontend.serving.get(rotation.label) != rotation.new_ski
    )
    if behind:
        return Decision(Next.WAIT, f"not switched yet: {', '.join(behind)}")
    return Decision(Next.DRAIN)


def _draining(rotation: RotationRecord, now: datetime, situation: Situation) -> Decision:
    end = rotation.changed + timedelta(seconds=rotation.drain_seconds)
    if now < end:
        return Decision(Next.WAIT, "handshakes with the old generation may be under way", end)
    return Decision(Next.FINISH)


_DECIDE = {
    Phase.REPLICATING: _replicating,
    Phase.CERTIFYING: _certifying,
    Phase.STAGING: _staging,
    Phase.SWITCHING: _switching,
    Phase.DRAINING: _draining,
}
