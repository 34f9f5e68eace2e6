import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from offload.catalogue.records import TransportKeys as PublishedKeys
from offload.cluster.failures import Invalid
from offload.cluster.transport import published, usable
from offload.token.base import TransportKeys


def encoded(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture(scope="module")
def strong() -> bytes:
    return encoded(rsa.generate_private_key(65537, 3072).public_key())


def test_what_is_published_can_be_used(strong: bytes) -> None:
    for keys in (TransportKeys(strong), TransportKeys(strong, b"k" * 32)):
        assert usable(published(keys)) == keys


def test_weak_and_broken_keys_are_refused(strong: bytes) -> None:
    weak = encoded(rsa.generate_private_key(65537, 2048).public_key())
    other = encoded(ec.generate_private_key(ec.SECP256R1()).public_key())
    for keys in (weak, other, b"", strong[:-1]):
        with pytest.raises(Invalid):
            usable(PublishedKeys(rsa=base64.b64encode(keys).decode()))
    with pytest.raises(Invalid, match="HPKE"):
        usable(published(TransportKeys(strong, b"short")))
    with pytest.raises(Invalid, match="not readable"):
        usable(PublishedKeys(rsa="?"))
