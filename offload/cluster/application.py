"""What a newcomer says when it asks to join, signed with the key that its fingerprint is of.

An officer compares the fingerprint; the signature ties everything else to it, above all the
transport keys that the cluster key will be enclosed to.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Annotated, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import Field

from offload.catalogue.records import Record, TransportKeys
from offload.cluster.failures import Invalid
from offload.cluster.fingerprint import key_fingerprint
from offload.cluster.request import MAX_REQUEST, make_request, requested_member_key
from offload.cluster.standing import Standing
from offload.cluster.transport import usable

_DOMAIN = b"offload enrolment 1\0"
_HASH = ec.ECDSA(hashes.SHA256())


class Application(Record):
    """The body of POST /v1/enrolments. invitation: its id; request: RFC 2986, PEM; proof: base64 of
    the signature over all the rest.
    """

    invitation: Annotated[str, Field(max_length=64)]
    member: Annotated[str, Field(max_length=64)]
    request: Annotated[str, Field(max_length=MAX_REQUEST)]
    token: Literal["software", "pkcs11"]
    transport: TransportKeys
    standing: Standing
    proof: Annotated[str, Field(max_length=256)] = ""

    @classmethod
    def make(
        cls,
        key: ec.EllipticCurvePrivateKey,
        *,
        invitation: str,
        member: str,
        token: Literal["software", "pkcs11"],
        transport: TransportKeys,
        standing: Standing,
    ) -> Application:
        """The application of who has the key."""
        unsigned = cls(
            invitation=invitation,
            member=member,
            request=make_request(member, key),
            token=token,
            transport=transport,
            standing=standing,
        )
        proof = base64.b64encode(key.sign(unsigned.content(), _HASH)).decode()
        return unsigned.model_copy(update={"proof": proof})

    def content(self) -> bytes:
        """What the proof is of."""
        values = self.model_dump(mode="json", exclude={"proof"})
        return _DOMAIN + json.dumps(values, sort_keys=True, separators=(",", ":")).encode()

    def verified(self) -> ec.EllipticCurvePublicKey:
        """The newcomer's public key, if it signed all of this; raises Invalid."""
        public = requested_member_key(self.request)
        usable(self.transport)
        try:
            public.verify(base64.b64decode(self.proof, validate=True), self.content(), _HASH)
        except (ValueError, binascii.Error, InvalidSignature):
            raise Invalid(
                "the application is not signed with the key of its request: ask again"
            ) from None
        return public

    @property
    def fingerprint(self) -> str:
        """Of the public key of the request; raises Invalid."""
        return key_fingerprint(requested_member_key(self.request))
