"""The cluster's own record: what it is, and the policy it keeps."""

from __future__ import annotations

from collections.abc import Mapping

from offload.catalogue import paths
from offload.cluster.actor import Actor, Handlers
from offload.cluster.acts import SetPolicy, ShowCluster
from offload.cluster.approval import is_officer, policy_problem
from offload.cluster.changes import Writing, decided
from offload.cluster.failures import Invalid
from offload.cluster.node import Node
from offload.cluster.persistence import persist
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
        values = act.model_dump(exclude_none=True)

        def decide(_unsure: bool) -> Writing | None:
            view = self._node.view
            # Enough officers must stay until this is written.
            depends = () if act.approvals is None else self._officers(act.approvals)
            changed = view.cluster.model_copy(update=values)
            if changed == view.cluster:
                return None
            return decided(view, {paths.CLUSTER: changed}, *depends)

        await persist(self._node, decide)
        return self._view()

    def _officers(self, approvals: Mapping[str, int]) -> list[str]:
        """Where the officers stand who could give those approvals; raises Invalid."""
        users = self._node.view.users
        officers = [name for name, user in users.items() if is_officer(user)]
        problem = policy_problem(approvals, MATRIX, len(officers))
        if problem:
            raise Invalid(problem)
        return [paths.USERS + name for name in officers]

    def _view(self) -> ClusterView:
        view = self._node.view
        values = view.cluster.model_dump(exclude={"authority_ski", "version"})
        return ClusterView(**values, members=len(view.present), keys=len(view.keys))
