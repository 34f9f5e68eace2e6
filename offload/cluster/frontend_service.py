"""Front-ends: which certificates may ask for signatures, and what those who have one serve."""

from __future__ import annotations

from offload.catalogue import paths
from offload.catalogue.base import Delete, Unchanged
from offload.catalogue.records import ApplianceRecord, FrontendRecord
from offload.cluster.actor import Actor, Handlers
from offload.cluster.acts import ListFrontends, RegisterFrontend, RemoveFrontend
from offload.cluster.authority import fingerprint, pem
from offload.cluster.failures import NotFound, Taken
from offload.cluster.node import Node
from offload.cluster.request import requested_key
from offload.cluster.token_authority import TokenAuthority
from offload.cluster.views import Done, FrontendList, FrontendView


class FrontendService:
    """Belongs to one member."""

    def __init__(self, node: Node, authority: TokenAuthority) -> None:
        self._node, self._authority = node, authority

    @property
    def handlers(self) -> Handlers:
        """The acts done here."""
        return {
            ListFrontends: self._list,
            RegisterFrontend: self._register,
            RemoveFrontend: self._remove,
        }

    async def _list(self, _actor: Actor, _act: ListFrontends) -> FrontendList:
        view = self._node.view
        return FrontendList(
            frontends=tuple(
                _view(view.appliances[name], view.frontends.get(name))
                for name in sorted(view.appliances)
            )
        )

    async def _register(self, _actor: Actor, act: RegisterFrontend) -> FrontendView:
        node = self._node
        if act.frontend in node.view.appliances:
            raise Taken(
                f"there is a front-end {act.frontend!r} already: take another name, or remove it"
            )
        path = paths.APPLIANCES + act.frontend
        free = Unchanged(path, node.view.revision_of(path))
        public = requested_key(act.request)
        certificate = await self._authority.issue_client(act.frontend, public)
        record = ApplianceRecord(
            name=act.frontend,
            fingerprint=fingerprint(certificate),
            zone=act.zone,
            registered=node.clock(),
        )
        await node.write({path: record}, checks=[free])
        shown = _view(record, node.view.frontends.get(act.frontend))
        return shown.model_copy(
            update={
                "certificate": pem(certificate).decode(),
                "authority": self._authority.certificate_pem,
            }
        )

    async def _remove(self, _actor: Actor, act: RemoveFrontend) -> Done:
        if act.frontend not in self._node.view.appliances:
            raise NotFound(f"there is no front-end {act.frontend!r}: see the list of front-ends")
        await self._node.write(
            {paths.APPLIANCES + act.frontend: None},
            also=[Delete(paths.FRONTENDS + act.frontend)],
        )
        return Done()


def _view(appliance: ApplianceRecord, running: FrontendRecord | None) -> FrontendView:
    return FrontendView(
        name=appliance.name,
        fingerprint=appliance.fingerprint,
        zone=appliance.zone,
        registered=appliance.registered,
        alive=running is not None,
        serving={} if running is None else running.serving,
        staged={} if running is None else running.staged,
    )
