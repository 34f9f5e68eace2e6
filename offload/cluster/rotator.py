"""Carries rotations on, step by step; runs on every member, and one of them acts at a time."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key

from offload.audit.sink import AuditUnavailable
from offload.catalogue import paths
from offload.catalogue.base import CatalogueError, Conflict, Unchanged
from offload.catalogue.records import CertificateRecord
from offload.cluster.authority import pem
from offload.cluster.certification import BadSignature, request, self_signed
from offload.cluster.changes import KeyChanges
from offload.cluster.copies import holders, needed
from offload.cluster.node import Node
from offload.cluster.rotation import (
    OVER,
    Decision,
    Next,
    Phase,
    RotationRecord,
    Situation,
    decide,
)
from offload.cluster.token_key import signing, token_key
from offload.cluster.view import View
from offload.keys.managed import ManagedKey
from offload.keys.state import State, Step, after
from offload.observe.log import get_logger
from offload.token.base import TokenError

SELF_SIGNED_DAYS = 365
# Nobody tells us when a lease has ended or a token has come back: look again after that long.
_LONGEST_WAIT = 2.0

_log = get_logger("cluster.rotation")


def rotations(view: View) -> dict[str, RotationRecord]:
    """All rotations that the catalogue knows of, by label."""
    return {
        path.removeprefix(paths.ROTATIONS): RotationRecord.model_validate_json(body)
        for path, body in view.raw(paths.ROTATIONS).items()
    }


def situation(view: View, rotation: RotationRecord) -> Situation:
    """What a decision on that rotation looks at."""
    ski = bytes.fromhex(rotation.new_ski)
    return Situation(
        new=view.keys[ski],
        copies=len(holders(view, ski)),
        needed=needed(view, view.keys[ski]),
        certificate=view.certificates.get(rotation.label),
        frontends=[
            one
            for one in view.frontends.values()
            if rotation.label in one.serving and not _was_removed(view, one.name)
        ],
    )


def _was_removed(view: View, frontend: str) -> bool:
    """Whether a member took it off the list; a stolen one may still write to the catalogue."""
    path = paths.APPLIANCES + frontend
    return frontend not in view.appliances and view.version_of(path) > 0


class Rotator:
    """Drives the rotations that this member is to drive; see the module."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        unsubscribe = self._node.view.subscribe(self._changed)
        try:
            while True:
                self._news.clear()
                await self._look()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), self._patience())
        finally:
            unsubscribe()

    def _changed(self, changed: Sequence[str]) -> None:
        if rotations(self._node.view):
            self._news.set()

    def _patience(self) -> float | None:
        """Seconds until to look again without news; None while no rotation is under way."""
        under_way = any(one.phase not in OVER for one in rotations(self._node.view).values())
        return _LONGEST_WAIT if under_way else None

    async def _look(self) -> None:
        for rotation in rotations(self._node.view).values():
            known = bytes.fromhex(rotation.new_ski) in self._node.view.keys
            if rotation.phase in OVER or not known or not self._is_driver(rotation):
                continue
            try:
                await self._step(rotation)
            except Conflict:
                self._news.set()  # somebody else was quicker: look at what he did
            except (CatalogueError, TokenError, BadSignature, AuditUnavailable) as error:
                _log.warning("rotation is held up", label=rotation.label, reason=str(error))

    def _is_driver(self, rotation: RotationRecord) -> bool:
        """The first of the members that hold the new generation and are alive."""
        view = self._node.view
        able = holders(view, bytes.fromhex(rotation.new_ski))
        return self._node.name == next((name for name in able if name in view.alive), None)

    async def _step(self, rotation: RotationRecord) -> None:
        view = self._node.view
        decision = decide(rotation, self._node.clock(), situation(view, rotation))
        if decision.next is Next.WAIT:
            return
        # Bound to what was seen now: a rotation that is cancelled meanwhile stays so.
        checks = [Unchanged(path, view.revision_of(path)) for path in _touched(rotation)]
        changes = await _STEPS[decision.next](self, rotation, decision)
        await self._node.in_thread(self._record, rotation, decision)
        await self._node.write(changes, checks=checks)
        _log.info("rotation", label=rotation.label, step=decision.next, reason=decision.reason)

    def _record(self, rotation: RotationRecord, decision: Decision) -> None:
        self._node.audit.append(
            "system",
            {
                "act": f"key.rotation.{decision.next.replace(' ', '-')}",
                "target": rotation.label,
                "ski": rotation.new_ski,
                "reason": decision.reason,
            },
        )

    # Steps: each returns what is to be committed at once

    async def _certify(self, rotation: RotationRecord, decision: Decision) -> KeyChanges:
        asked, chain = await self._node.in_thread(self._certificate, rotation)
        return _moved(rotation, self._now, Phase.CERTIFYING, request=asked, chain=chain)

    def _certificate(self, rotation: RotationRecord) -> tuple[str, str]:
        """A certification request, and a certificate where no authority is to be asked."""
        node = self._node
        ski = bytes.fromhex(rotation.new_ski)
        public: Any = load_der_public_key(node.view.keys[ski].public_key)
        key = token_key(public, signing(node.token, ski))
        asked = request(key, rotation.names).public_bytes(Encoding.PEM).decode()
        if rotation.issue == "request":
            return asked, ""
        return asked, pem(self_signed(key, rotation.names, self._now, SELF_SIGNED_DAYS)).decode()

    async def _stage(self, rotation: RotationRecord, decision: Decision) -> KeyChanges:
        old = self._node.view.certificates.get(rotation.label)
        name = f"{secrets.token_hex(16)}.canary.invalid"
        served = old or CertificateRecord(
            label=rotation.label, ski=rotation.old_ski, generation=0, chain=""
        )
        staged = served.model_copy(
            update={
                "canary_ski": rotation.new_ski,
                "canary_chain": rotation.chain,
                "canary_name": name,
            }
        )
        moved = _moved(rotation, self._now, Phase.STAGING, canary_name=name, old_chain=served.chain)
        return {**moved, paths.CERTIFICATES + rotation.label: staged}

    async def _switch(self, rotation: RotationRecord, decision: Decision) -> KeyChanges:
        return {
            **_moved(rotation, self._now, Phase.SWITCHING),
            **serving(self._node.view, rotation.label, rotation.new_ski, rotation.chain),
        }

    async def _drain(self, rotation: RotationRecord, decision: Decision) -> KeyChanges:
        return _moved(rotation, self._now, Phase.DRAINING)

    async def _finish(self, rotation: RotationRecord, decision: Decision) -> KeyChanges:
        return {
            **_moved(rotation, self._now, Phase.DONE),
            **retired(self._node, rotation.old_ski),
        }

    async def _roll_back(self, rotation: RotationRecord, decision: Decision) -> KeyChanges:
        return roll_back(self._node, rotation, decision.reason)

    @property
    def _now(self) -> datetime:
        return self._node.clock()


def _touched(rotation: RotationRecord) -> list[str]:
    """The paths that a step depends on or changes."""
    return [
        *(area + rotation.label for area in (paths.ROTATIONS, paths.CERTIFICATES, paths.LABELS)),
        *(paths.KEYS + ski for ski in (rotation.old_ski, rotation.new_ski)),
    ]


def serving(view: View, label: str, ski: str, chain: str) -> KeyChanges:
    """The changes that have front-ends serve a label with that generation, and no canary."""
    record = CertificateRecord(
        label=label, ski=ski, generation=view.keys[bytes.fromhex(ski)].generation, chain=chain
    )
    current = view.labels[label].model_copy(update={"current": ski})
    return {
        paths.CERTIFICATES + label: record if chain else None,
        paths.LABELS + label: current,
    }


def retired(node: Node, ski: str) -> KeyChanges:
    """The changes after which a generation never signs again; none if that is so already."""
    key = node.view.keys[bytes.fromhex(ski)]
    if key.state in (State.ACTIVE, State.SUSPENDED):
        state = after(key.state, Step.DEACTIVATE)
        return {paths.KEYS + ski: _changed_key(key, node.clock(), state=state)}
    if key.state is State.PRE_ACTIVE:
        return {paths.KEYS + ski: _changed_key(key, node.clock(), destroy_at=node.clock())}
    return {}


def roll_back(node: Node, rotation: RotationRecord, reason: str) -> KeyChanges:
    """The changes after which everything is as it was, but for a generation that never signs."""
    changes: dict[str, Any] = dict(_moved(rotation, node.clock(), Phase.ROLLED_BACK, reason=reason))
    if rotation.phase in (Phase.STAGING, Phase.SWITCHING):
        changes |= serving(node.view, rotation.label, rotation.old_ski, rotation.old_chain)
    return changes | retired(node, rotation.new_ski)


def _moved(rotation: RotationRecord, now: datetime, phase: Phase, **fields: str) -> KeyChanges:
    moved = rotation.model_copy(update={"phase": phase, "changed": now, **fields})
    return {paths.ROTATIONS + rotation.label: moved}


def _changed_key(key: ManagedKey, now: datetime, **fields: Any) -> ManagedKey:
    return replace(key, changed=now, **fields)


_STEPS = {
    Next.CERTIFY: Rotator._certify,
    Next.STAGE: Rotator._stage,
    Next.SWITCH: Rotator._switch,
    Next.DRAIN: Rotator._drain,
    Next.FINISH: Rotator._finish,
    Next.ROLL_BACK: Rotator._roll_back,
}
