"""Certification requests of keys in tokens, and the chains that front-ends serve with them."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key

from offload.catalogue import paths
from offload.catalogue.records import CertificateRecord
from offload.cluster import acts
from offload.cluster.actor import Actor, Handlers
from offload.cluster.certificate_chain import checked
from offload.cluster.certification import BadSignature, request
from offload.cluster.changes import Writing, decided
from offload.cluster.failures import Unavailable, WrongState
from offload.cluster.finding import find_owned, is_current, name_of
from offload.cluster.node import Node
from offload.cluster.persistence import persist
from offload.cluster.rotation import OVER, RotationRecord
from offload.cluster.sites import certificate_names
from offload.cluster.token_key import signing, token_key
from offload.cluster.views import Done, RequestView
from offload.keys.managed import ManagedKey
from offload.keys.state import State
from offload.token.base import KeyNotFound


class Certificates:
    """See the module."""

    def __init__(self, node: Node) -> None:
        self._node = node

    @property
    def handlers(self) -> Handlers:
        """The acts done here."""
        return {
            acts.RequestCertificate: self._request,
            acts.InstallCertificate: self._install,
        }

    async def _request(self, actor: Actor, act: acts.RequestCertificate) -> RequestView:
        node = self._node
        key = find_owned(node.view, act.key)
        if key.state not in (State.PRE_ACTIVE, State.ACTIVE):
            raise WrongState(f"{name_of(key)} is {key.state}: it signs nothing")
        names = certificate_names(act.names)
        public: Any = load_der_public_key(key.public_key)
        signer = token_key(public, signing(node.token, key.ski))
        try:
            made = await node.in_thread(request, signer, names)
        except KeyNotFound:
            raise Unavailable(
                f"{node.name} does not hold {name_of(key)}: ask another worker"
            ) from None
        except BadSignature as error:
            raise Unavailable(f"no request was made: {error}") from error
        return RequestView(ski=key.ski.hex(), request=made.public_bytes(Encoding.PEM).decode())

    async def _install(self, actor: Actor, act: acts.InstallCertificate) -> Done:
        node = self._node
        ski = find_owned(node.view, act.key).ski

        def decide(unsure: bool) -> Writing | None:
            key = node.view.keys[ski]
            if key.state is not State.ACTIVE:
                raise WrongState(
                    f"{name_of(key)} is {key.state}: front-ends could not serve with it"
                )
            chain = checked(act.chain, key.public_key, node.clock())
            return self._for_rotation(key, chain) or self._for_current(key, chain)

        await persist(node, decide)
        return Done()

    def _for_rotation(self, key: ManagedKey, chain: str) -> Writing | None:
        """A rotation that waits for this certificate gets it, and goes on by itself."""
        path = paths.ROTATIONS + key.label
        body = self._node.view.at(path)
        if not isinstance(body, bytes):
            return None
        rotation = RotationRecord.model_validate_json(body)
        if rotation.phase in OVER or rotation.new_ski != key.ski.hex():
            return None
        changed = rotation.model_copy(update={"chain": chain})
        return decided(self._node.view, {path: changed}, paths.KEYS + key.ski.hex())

    def _for_current(self, key: ManagedKey, chain: str) -> Writing:
        view = self._node.view
        if not is_current(view, key):
            raise WrongState(
                f"{name_of(key)} is not the current generation, nor one that a rotation switches to"
            )
        before = view.certificates.get(key.label)
        serving = {"ski": key.ski.hex(), "generation": key.generation, "chain": chain}
        record = (
            CertificateRecord(label=key.label, **serving)
            if before is None
            else before.model_copy(update=serving)
        )
        return decided(
            view,
            {paths.CERTIFICATES + key.label: record},
            paths.KEYS + key.ski.hex(),
            paths.LABELS + key.label,
            paths.ROTATIONS + key.label,
        )
