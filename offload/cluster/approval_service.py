"""Officers sign or reject what waits for them."""

from __future__ import annotations

from offload.catalogue import paths
from offload.catalogue.records import UserRecord
from offload.cluster.actor import Actor, Handlers
from offload.cluster.acts import ListApprovals, RejectApproval, ShowApproval, SignApproval
from offload.cluster.approval import ApprovalRecord, approvers, is_officer, verifies
from offload.cluster.approval_gate import ApprovalGate
from offload.cluster.changes import Writing, decided
from offload.cluster.failures import Invalid, NotFound, WrongState
from offload.cluster.node import Node
from offload.cluster.persistence import persist
from offload.cluster.views import ApprovalList, ApprovalView, Done


class ApprovalService:
    """Belongs to one member."""

    def __init__(self, node: Node) -> None:
        self._node, self._gate = node, ApprovalGate(node)

    @property
    def handlers(self) -> Handlers:
        """The acts done here."""
        return {
            ListApprovals: self._list,
            ShowApproval: self._show,
            SignApproval: self._sign,
            RejectApproval: self._reject,
        }

    async def _list(self, _actor: Actor, _act: ListApprovals) -> ApprovalList:
        now = self._node.clock()
        waiting = [one for one in self._gate.records() if one.expires > now]
        waiting.sort(key=lambda one: (one.created, one.id))
        return ApprovalList(approvals=tuple(self._view(one) for one in waiting))

    async def _show(self, _actor: Actor, act: ShowApproval) -> ApprovalView:
        return self._view(await self._gate.find(act.approval))

    async def _sign(self, actor: Actor, act: SignApproval) -> ApprovalView:
        await self._gate.find(act.approval)

        def decide(_unsure: bool) -> Writing | None:
            record = self._gate.seen(act.approval)
            self._verify(record, actor, act.signature)
            if record.signatures.get(actor.name) == act.signature:
                return None
            signatures = {**record.signatures, actor.name: act.signature}
            signed = record.model_copy(update={"signatures": signatures})
            return decided(self._node.view, {paths.APPROVALS + record.id: signed})

        await persist(self._node, decide)
        return self._view(self._gate.seen(act.approval))

    def _verify(self, record: ApprovalRecord, actor: Actor, signature: str) -> None:
        if record.expires <= self._node.clock():
            raise WrongState(f"approval {record.id} is over: it cannot be signed any more")
        if not verifies(self._officer(actor).public_key, signature, record.statement):
            raise Invalid(
                f"the signature is not by the key of {actor.name!r} over the statement of approval "
                f"{record.id}"
            )

    async def _reject(self, _actor: Actor, act: RejectApproval) -> Done:
        await self._gate.end(await self._gate.find(act.approval))
        return Done()

    def _officer(self, actor: Actor) -> UserRecord:
        user = self._node.view.users.get(actor.name)
        if user is None or not is_officer(user):
            raise NotFound(f"there is no officer {actor.name!r}: only a registered one can sign")
        return user

    def _view(self, record: ApprovalRecord) -> ApprovalView:
        values = record.model_dump(exclude={"signatures", "version"})
        return ApprovalView(
            **values,
            signed_by=approvers(record, self._node.view.users),
            statement=record.statement.decode(),
        )
