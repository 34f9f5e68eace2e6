"""The acts of rotation: begin one, see how far it has come, go back."""

from __future__ import annotations

from cryptography import x509

from offload.catalogue import paths
from offload.cluster import acts
from offload.cluster.actor import Actor, Handlers
from offload.cluster.changes import Writing, decided
from offload.cluster.creation import Creation, NewKey
from offload.cluster.failures import Invalid, NotFound, WrongState
from offload.cluster.finding import find_owned, name_of
from offload.cluster.node import Node
from offload.cluster.persistence import persist
from offload.cluster.rotation import OVER, REVERSIBLE, Phase, RotationRecord, decide
from offload.cluster.rotator import roll_back, rotations, situation
from offload.cluster.sites import certificate_names
from offload.cluster.views import RotationView
from offload.keys.algorithm import Algorithm
from offload.keys.managed import ManagedKey
from offload.keys.state import State


class RotationService:
    """See the module; `Rotator` does the rest."""

    def __init__(self, node: Node, creation: Creation) -> None:
        self._node, self._creation = node, creation

    @property
    def handlers(self) -> Handlers:
        """The acts done here."""
        return {
            acts.RotateKey: self._rotate,
            acts.ShowRotation: self._show,
            acts.CancelRotation: self._cancel,
        }

    async def _rotate(self, actor: Actor, act: acts.RotateKey) -> RotationView:
        old = self._rotatable(act.label)
        names = certificate_names(act.names) or self._names(old)
        algorithm = act.algorithm or old.algorithm
        new = self._left_over(old, algorithm) or await self._generation(old, algorithm)
        await persist(self._node, lambda unsure: self._begin(actor, act, names, old, new, unsure))
        return self._view(act.label)

    def _rotatable(self, label: str) -> ManagedKey:
        """The generation to be replaced; raises NotFound, WrongState."""
        key = find_owned(self._node.view, label)
        if key.label != label:
            raise NotFound(f"there is no key {label!r}: a rotation takes a key's label")
        if key.state is not State.ACTIVE:
            raise WrongState(f"{name_of(key)} is {key.state}: only an active key is rotated")
        under_way = rotations(self._node.view).get(label)
        if under_way is not None and under_way.phase not in OVER:
            raise WrongState(f"{label!r} is being rotated already: {under_way.phase}")
        return key

    def _names(self, old: ManagedKey) -> tuple[str, ...]:
        """Those of the certificate in use, else the sites that the key may serve."""
        serving = self._node.view.certificates.get(old.label)
        if serving is not None and serving.chain:
            leaf = x509.load_pem_x509_certificate(serving.chain.encode())
            found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            addresses = map(str, found.get_values_for_type(x509.IPAddress))
            return (*found.get_values_for_type(x509.DNSName), *addresses)
        if not old.policy.sites:
            raise Invalid(f"{old.label!r} has no certificate to take names from: give names")
        return old.policy.sites

    def _left_over(self, old: ManagedKey, algorithm: Algorithm) -> ManagedKey | None:
        """A further generation that nobody uses: of a rotation that ended before it began."""
        view = self._node.view
        used = {rotation.new_ski for rotation in rotations(view).values()}
        for ski in reversed(view.labels[old.label].generations):
            key = view.keys.get(bytes.fromhex(ski))
            if key is None or ski in used or key.generation <= old.generation:
                continue
            if key.algorithm is algorithm and key.state in (State.PRE_ACTIVE, State.ACTIVE):
                return key
        return None

    async def _generation(self, old: ManagedKey, algorithm: Algorithm) -> ManagedKey:
        new = NewKey(
            label=old.label,
            policy=old.policy,
            exportable=old.exportable,
            replicated=old.replicated,
            beside=True,
        )
        return await self._creation.generate(new, algorithm)

    def _begin(
        self,
        actor: Actor,
        act: acts.RotateKey,
        names: tuple[str, ...],
        old: ManagedKey,
        new: ManagedKey,
        unsure: bool,
    ) -> Writing | None:
        view, now = self._node.view, self._node.clock()
        known = rotations(view).get(act.label)
        if unsure and known is not None and known.new_ski == new.ski.hex():
            return None
        if self._rotatable(act.label).ski != old.ski:
            raise WrongState(f"{act.label!r} was rotated by somebody else meanwhile")
        path = paths.ROTATIONS + act.label
        rotation = RotationRecord(
            label=act.label,
            old_ski=old.ski.hex(),
            new_ski=new.ski.hex(),
            phase=Phase.REPLICATING,
            issue=act.issue,
            names=names,
            drain_seconds=act.drain_seconds,
            asked_by=actor.name,
            began=now,
            changed=now,
        )
        return decided(view, {path: rotation}, paths.LABELS + act.label)

    async def _show(self, actor: Actor, act: acts.ShowRotation) -> RotationView:
        return self._view(act.label)

    async def _cancel(self, actor: Actor, act: acts.CancelRotation) -> RotationView:
        def back(unsure: bool) -> Writing | None:
            rotation = self._known(act.label)
            if unsure and rotation.phase is Phase.ROLLED_BACK:
                return None
            if rotation.phase not in REVERSIBLE:
                raise WrongState(f"the rotation of {act.label!r} is {rotation.phase}: too late")
            changes = roll_back(self._node, rotation, f"cancelled by {actor.name}")
            return decided(self._node.view, changes)

        await persist(self._node, back)
        return self._view(act.label)

    def _known(self, label: str) -> RotationRecord:
        rotation = rotations(self._node.view).get(label)
        if rotation is None:
            raise NotFound(f"{label!r} was never rotated")
        return rotation

    def _view(self, label: str) -> RotationView:
        view, rotation = self._node.view, self._known(label)
        waiting = ""
        if rotation.phase not in OVER:
            waiting = decide(rotation, self._node.clock(), situation(view, rotation)).reason
        return RotationView(
            label=label,
            phase=rotation.phase,
            old_ski=rotation.old_ski,
            new_ski=rotation.new_ski,
            issue=rotation.issue,
            names=rotation.names,
            began=rotation.began,
            changed=rotation.changed,
            request=rotation.request,
            waiting_for=waiting,
            reason=rotation.reason,
        )
