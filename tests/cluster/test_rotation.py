"""The decisions of a rotation, phase by phase."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from offload.catalogue.records import FrontendRecord
from offload.cluster.rotation import (
    OVER,
    PATIENCE,
    REVERSIBLE,
    Next,
    Phase,
    RotationRecord,
    Situation,
    decide,
)
from offload.keys.algorithm import Algorithm
from offload.keys.managed import ManagedKey
from offload.keys.state import State

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLD, NEW = "aa" * 20, "bb" * 20

KEY = ManagedKey(
    ski=bytes.fromhex(NEW),
    label="www",
    generation=2,
    algorithm=Algorithm("p-256"),
    public_key=b"",
    state=State.ACTIVE,
    created=NOW,
    changed=NOW,
    home="worker-1",
)


def rotation(phase: Phase, **fields: str) -> RotationRecord:
    return RotationRecord(
        label="www",
        old_ski=OLD,
        new_ski=NEW,
        phase=phase,
        issue="request",
        names=("www.example.org",),
        drain_seconds=60.0,
        asked_by="kate",
        began=NOW,
        changed=NOW,
        **fields,
    )


def situation(*frontends: FrontendRecord, copies: int = 2, new: ManagedKey = KEY) -> Situation:
    return Situation(new, copies, 2, None, frontends)


def frontend(name: str = "frontend-1", **fields: dict[str, str]) -> FrontendRecord:
    return FrontendRecord(name=name, **{"serving": {"www": OLD}, **fields})


def test_waits_for_copies_and_for_activation() -> None:
    replicating = rotation(Phase.REPLICATING)
    short = decide(replicating, NOW, situation(copies=1))
    assert (short.next, short.reason) == (
        Next.WAIT,
        "1 of 2 workers hold the new generation",
    )
    waiting = situation(new=replace(KEY, state=State.PRE_ACTIVE))
    assert decide(replicating, NOW, waiting).next is Next.WAIT
    assert decide(replicating, NOW, situation()).next is Next.CERTIFY


def test_a_certificate_may_take_for_ever() -> None:
    certifying = rotation(Phase.CERTIFYING)
    later = NOW + timedelta(days=365)
    assert decide(certifying, later, situation()).next is Next.WAIT
    certified = rotation(Phase.CERTIFYING, chain="PEM")
    assert decide(certified, NOW, situation()).next is Next.STAGE


def test_every_front_end_makes_its_canary_before_the_switch() -> None:
    staging = rotation(Phase.STAGING)
    ready, behind = frontend(staged={"www": NEW}), frontend("frontend-2")
    waiting = decide(staging, NOW, situation(ready, behind))
    assert waiting.next is Next.WAIT
    assert waiting.reason == "no canary handshake yet on frontend-2"
    assert waiting.until == NOW + PATIENCE[Phase.STAGING]
    assert decide(staging, NOW, situation(ready)).next is Next.SWITCH
    assert decide(staging, NOW, situation()).next is Next.SWITCH


def test_a_failed_canary_rolls_back() -> None:
    failed = frontend(canary_errors={NEW: "no worker signed"})
    decision = decide(rotation(Phase.STAGING), NOW, situation(failed))
    assert decision.next is Next.ROLL_BACK
    assert decision.reason == "the canary failed on frontend-1: no worker signed"


def test_every_front_end_switches_before_the_old_generation_drains() -> None:
    switching = rotation(Phase.SWITCHING)
    switched = frontend(serving={"www": NEW})
    assert decide(switching, NOW, situation(switched, frontend("b"))).next is Next.WAIT
    assert decide(switching, NOW, situation(switched)).next is Next.DRAIN


def test_the_old_generation_drains_for_its_time() -> None:
    draining = rotation(Phase.DRAINING)
    end = NOW + timedelta(seconds=60)
    assert decide(draining, NOW, situation()).until == end
    assert decide(draining, end, situation()).next is Next.FINISH


@pytest.mark.parametrize("phase", sorted(PATIENCE))
def test_gives_up_when_a_phase_takes_too_long(phase: Phase) -> None:
    behind = situation(frontend(), copies=0)
    late = NOW + PATIENCE[phase]
    assert decide(rotation(phase), late - timedelta(seconds=1), behind).next is Next.WAIT
    decision = decide(rotation(phase), late, behind)
    assert decision.next is Next.ROLL_BACK
    assert decision.reason.startswith(f"gave up while {phase}: ")


@pytest.mark.parametrize("phase", sorted(REVERSIBLE))
@pytest.mark.parametrize("state", [State.COMPROMISED, State.SUSPENDED, State.DEACTIVATED])
def test_goes_back_if_the_new_generation_cannot_sign(phase: Phase, state: State) -> None:
    lost = situation(new=replace(KEY, state=state))
    assert decide(rotation(phase), NOW, lost).next is Next.ROLL_BACK


@pytest.mark.parametrize("phase", sorted(OVER))
def test_what_is_over_stays(phase: Phase) -> None:
    assert decide(rotation(phase), NOW + timedelta(days=1), situation()).next is Next.WAIT
