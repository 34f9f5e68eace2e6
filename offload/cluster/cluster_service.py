"""The cluster's own record: what it is, and the policy it keeps."""

from __future__ import annotations

from offload.catalogue import paths
from offload.catalogue.base import Unchanged
from offload.cluster.actor import Actor, Handlers
from offload.cluster.acts import SetPolicy, ShowCluster
from offload.cluster.approval import is_officer, policy_problem
from offload.cluster.failures import Invalid
from offload.cluster.node import Node
from offload.cluster.roles import MATRIX
from offload.cluster.views import ClusterView


class ClusterService:
    """Belongs to one member."""

    def __init__(self, node: Node) -> None:
        self._node = node

    @property
    def handlers(self) -> Handlers:
        """The acts done here."""
        return {ShowCluster: self._show, SetPolicy: self._set_policy}

    async def _show(self, _actor: Actor, _act: ShowCluster) -> ClusterView:
        return self._view()

    async def _set_policy(self, _actor: Actor, act: SetPolicy) -> ClusterView:
        view = self._node.view
        checks = []
        if act.approvals is not None:
            officers = [one.name for one in view.users.values() if is_officer(one)]
            problem = policy_problem(act.approvals, MATRIX, len(officers))
            if problem:
                raise Invalid(problem)
            # No officer may leave in this very moment.
            places = [paths.USERS + name for name in officers]
            checks = [Unchanged(path, view.revision_of(path)) for path in places]
        changes = act.model_dump(exclude_none=True)
        changed = view.cluster.model_copy(update=changes)
        await self._node.write({paths.CLUSTER: changed}, checks=checks)
        return self._view()

    def _view(self) -> ClusterView:
        view = self._node.view
        values = view.cluster.model_dump(exclude={"authority_ski", "version"})
        return ClusterView(**values, members=len(view.present), keys=len(view.keys))
