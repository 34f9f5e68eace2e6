"""Acts that move a key through its life, and that change who may use it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from offload.catalogue import paths
from offload.cluster import acts
from offload.cluster.actor import Actor, Handlers
from offload.cluster.changes import Writing, decided
from offload.cluster.creation import Creation
from offload.cluster.failures import WrongState
from offload.cluster.finding import find_owned, name_of
from offload.cluster.key_views import key_view
from offload.cluster.node import Node
from offload.cluster.persistence import persist
from offload.cluster.sites import site_names
from offload.cluster.views import KeyView
from offload.keys.managed import ManagedKey
from offload.keys.state import State, Step, after

Edit = Callable[[ManagedKey], ManagedKey]
"""The key as it is to be; raises ManagementError or IllegalStep."""


class KeyStates:
    """See the module."""

    def __init__(self, node: Node, creation: Creation) -> None:
        self._node, self._creation = node, creation

    @property
    def handlers(self) -> Handlers:
        """The acts done here."""
        return {
            acts.SetKeyPolicy: self._set_policy,
            acts.ActivateKey: self._activate,
            acts.SuspendKey: self._step(Step.SUSPEND, State.SUSPENDED),
            acts.ResumeKey: self._resume,
            acts.DeactivateKey: self._step(Step.DEACTIVATE, State.DEACTIVATED),
            acts.CompromiseKey: self._step(Step.COMPROMISE, State.COMPROMISED),
            acts.DestroyKey: self._destroy,
            acts.KeepKey: self._keep,
        }

    def _step(self, step: Step, reached: State) -> Callable[[Actor, Any], Any]:
        async def handle(actor: Actor, act: Any) -> KeyView:
            def edit(key: ManagedKey) -> ManagedKey:
                return replace(key, state=after(key.state, step))

            return await self._edit(act.key, edit, lambda key: key.state is reached)

        return handle

    async def _resume(self, actor: Actor, act: acts.ResumeKey) -> KeyView:
        def edit(key: ManagedKey) -> ManagedKey:
            if key.destroy_at is not None:
                raise WrongState(f"{name_of(key)} is to be destroyed: keep it first")
            return replace(key, state=after(key.state, Step.RESUME))

        return await self._edit(act.key, edit, lambda key: key.state is State.ACTIVE)

    async def _activate(self, actor: Actor, act: acts.ActivateKey) -> KeyView:
        """Without its date the key is activated as every other: once enough members hold it."""

        def edit(key: ManagedKey) -> ManagedKey:
            after(key.state, Step.ACTIVATE)
            if key.destroy_at is not None:
                raise WrongState(f"{name_of(key)} is to be destroyed: keep it first")
            if key.deactivates is not None and key.deactivates <= self._node.clock():
                raise WrongState(f"{name_of(key)} was to be deactivated by now: make another one")
            return replace(key, activates=None)

        ski = find_owned(self._node.view, act.key).ski
        await self._edit(act.key, edit, lambda key: key.activates is None)
        await self._creation.usable(ski)
        return key_view(self._node.view, self._node.view.keys[ski])

    async def _destroy(self, actor: Actor, act: acts.DestroyKey) -> KeyView:
        node = self._node
        wait = act.wait_seconds
        wait = node.view.cluster.destroy_wait_seconds if wait is None else wait
        due = node.clock() + timedelta(seconds=wait)

        def edit(key: ManagedKey) -> ManagedKey:
            # It signs nothing from now on, whatever becomes of it.
            active = key.state is State.ACTIVE
            state = after(key.state, Step.SUSPEND) if active else key.state
            after(state, Step.DESTROY)
            return replace(key, state=state, destroy_at=due)

        return await self._edit(act.key, edit, lambda key: key.destroy_at == due)

    async def _keep(self, actor: Actor, act: acts.KeepKey) -> KeyView:
        def edit(key: ManagedKey) -> ManagedKey:
            if key.state is State.DESTROYED:
                raise WrongState(f"{name_of(key)} is destroyed: nothing brings it back")
            if key.destroy_at is None:
                raise WrongState(f"{name_of(key)} is not to be destroyed")
            return replace(key, destroy_at=None)

        return await self._edit(act.key, edit, lambda key: key.destroy_at is None)

    async def _set_policy(self, actor: Actor, act: acts.SetKeyPolicy) -> KeyView:
        given = act.model_dump(exclude={"key"}, exclude_none=True)
        if "sites" in given:
            given["sites"] = site_names(given["sites"])

        def edit(key: ManagedKey) -> ManagedKey:
            if key.state is State.DESTROYED:
                raise WrongState(f"{name_of(key)} is destroyed")
            return replace(key, policy=replace(key.policy, **given))

        return await self._edit(
            act.key, edit, lambda key: key.policy == replace(key.policy, **given)
        )

    async def _edit(self, text: str, edit: Edit, done: Callable[[ManagedKey], bool]) -> KeyView:
        """Change one record. `done`: whether an attempt whose end we have not seen did that."""
        node = self._node
        ski = find_owned(node.view, text).ski

        def decide(unsure: bool) -> Writing | None:
            key = node.view.keys[ski]
            if unsure and done(key):
                return None
            changed = replace(edit(key), changed=node.clock())
            return decided(node.view, {paths.KEYS + ski.hex(): changed})

        await persist(node, decide)
        return key_view(node.view, node.view.keys[ski])
