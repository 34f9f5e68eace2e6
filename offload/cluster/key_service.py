"""The acts on keys, done by a member: what REST, the command line and rotations call."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from offload.cluster import acts
from offload.cluster.actor import Actor, Handlers
from offload.cluster.certificates import Certificates
from offload.cluster.creation import ACKNOWLEDGE_SECONDS, Creation, NewKey
from offload.cluster.failures import Invalid, Unavailable, WrongState
from offload.cluster.finding import find, find_owned, name_of
from offload.cluster.intents import Intents
from offload.cluster.key_states import KeyStates
from offload.cluster.key_views import key_view, page, public_pem
from offload.cluster.node import Node
from offload.cluster.rolling import roll, still_wrapped
from offload.cluster.sites import site_names
from offload.cluster.views import ExportView, KeyPage, KeyView, RollView
from offload.keys.managed import KeyPolicy
from offload.keys.state import State
from offload.token.base import KeyNotFound

_HEXADECIMAL = re.compile("[0-9a-fA-F]{40}")
_RECIPIENT_BITS = 3072


class KeyService:
    """`creation` makes further generations, for rotations."""

    def __init__(
        self, node: Node, intents: Intents, *, seconds: float = ACKNOWLEDGE_SECONDS
    ) -> None:
        """`intents`: those that the member's Replicator clears; `seconds`: how long copies of a new
        key are waited for.
        """
        self._node = node
        self.creation = Creation(node, intents, seconds=seconds)
        self._seconds = seconds

    @property
    def handlers(self) -> Handlers:
        """The acts done here."""
        return {
            acts.ListKeys: self._list,
            acts.ShowKey: self._show,
            acts.CreateKey: self._create,
            acts.ImportKey: self._import,
            acts.ExportKey: self._export,
            acts.RollClusterKey: self._roll,
            **KeyStates(self._node, self.creation).handlers,
            **Certificates(self._node).handlers,
        }

    async def _list(self, actor: Actor, act: acts.ListKeys) -> KeyPage:
        return page(self._node.view, act)

    async def _show(self, actor: Actor, act: acts.ShowKey) -> KeyView:
        return key_view(self._node.view, find(self._node.view, act.key))

    async def _create(self, actor: Actor, act: acts.CreateKey) -> KeyView:
        key = await self.creation.generate(_new(act, replicated=act.replicated), act.algorithm)
        return key_view(self._node.view, key)

    async def _import(self, actor: Actor, act: acts.ImportKey) -> KeyView:
        try:
            public = load_pem_public_key(act.public_key.encode())
            enclosed = base64.b64decode(act.enclosed, validate=True)
        except ValueError as error:
            raise Invalid("public_key is to be PEM, and enclosed base64") from error
        der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return key_view(self._node.view, await self.creation.take_in(_new(act), der, enclosed))

    async def _export(self, actor: Actor, act: acts.ExportKey) -> ExportView:
        node = self._node
        key = find_owned(node.view, act.key)
        if not key.exportable:
            raise WrongState(f"{name_of(key)} was made never to be exported")
        if key.state is State.DESTROYED:
            raise WrongState(f"{name_of(key)} is destroyed")
        try:
            enclosed = await node.in_thread(node.token.export, key.ski, _recipient(act.recipient))
        except KeyNotFound:
            raise Unavailable(
                f"{node.name} does not hold {name_of(key)}: ask another worker"
            ) from None
        return ExportView(
            ski=key.ski.hex(),
            label=key.label,
            generation=key.generation,
            public_key=public_pem(key),
            enclosed=base64.b64encode(enclosed).decode(),
        )

    async def _roll(self, actor: Actor, act: acts.RollClusterKey) -> RollView:
        generation = await roll(self._node, self._seconds)
        return RollView(cluster_key=generation, keys_left=still_wrapped(self._node.view))


def _new(act: acts.CreateKey | acts.ImportKey, *, replicated: bool = True) -> NewKey:
    if _HEXADECIMAL.fullmatch(act.label):
        raise Invalid(f"{act.label!r} looks like a key's identifier: choose another label")
    return NewKey(
        label=act.label,
        policy=KeyPolicy(
            sites=site_names(act.sites),
            frontends=act.frontends,
            audit_signatures=act.audit_signatures,
        ),
        exportable=act.exportable,
        replicated=replicated,
        activates=_in_utc(act.activates),
        deactivates=_in_utc(act.deactivates),
    )


def _in_utc(date: datetime | None) -> datetime | None:
    return None if date is None else date.astimezone(UTC)


def _recipient(text: str) -> bytes:
    try:
        public = load_pem_public_key(text.encode())
    except ValueError as error:
        raise Invalid("the recipient is to be a public key in PEM") from error
    if not isinstance(public, rsa.RSAPublicKey) or public.key_size < _RECIPIENT_BITS:
        raise Invalid(f"the recipient is to be an RSA key of {_RECIPIENT_BITS} bits or more")
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
