"""The act of backing up."""

from __future__ import annotations

from hashlib import sha256

from offload.catalogue.base import CatalogueError
from offload.cluster.actor import Actor, Handlers
from offload.cluster.acts import BackUp
from offload.cluster.backup import back_up
from offload.cluster.failures import Unavailable
from offload.cluster.node import Node
from offload.cluster.views import BackupView


class BackupService:
    """Belongs to one member, which signs the backup."""

    def __init__(self, node: Node) -> None:
        self._node = node

    @property
    def handlers(self) -> Handlers:
        """The acts done here."""
        return {BackUp: self._back_up}

    async def _back_up(self, _actor: Actor, _act: BackUp) -> BackupView:
        node = self._node
        certificate = node.view.members[node.name].certificate
        lines = back_up(node.catalogue, node.signer, certificate, node.clock())
        try:
            content = b"".join([line async for line in lines])
        except CatalogueError as error:
            raise Unavailable(f"{error}: try again") from error
        return BackupView(
            member=node.name,
            entries=content.count(b"\n") - 2,
            sha256=sha256(content).hexdigest(),
            backup=content.decode(),
        )
