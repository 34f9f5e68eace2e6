"""What the node's token holds, remembered: asking an HSM for its list takes long."""

from __future__ import annotations

from offload.cluster.node import Node


class Inventory:
    """held: SKIs; cluster_keys: generations. Belongs to one event loop."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.held: set[bytes] = set()
        self.cluster_keys: frozenset[int] = frozenset()

    async def refresh(self) -> set[bytes]:
        """Ask the token; returns the SKIs that came or went. Raises TokenError."""
        before = self.held
        # What is added or removed while the token lists its keys would be lost.
        self.held = set(before)
        found, self.cluster_keys = await self._node.in_thread(self._list)
        changed_meanwhile = self.held ^ before
        changes = found ^ before
        self.held = (found - changed_meanwhile) | (self.held & changed_meanwhile)
        return changes

    def _list(self) -> tuple[set[bytes], frozenset[int]]:
        token = self._node.token
        token.reload()
        return {record.ski for record in token.keys()}, token.cluster_keys()
