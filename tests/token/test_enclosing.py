"""Keys on their way; what tokens do with them is tested in test_replication.py."""

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from offload.keys.algorithm import Algorithm
from offload.token.base import TokenError, TransportKeys, WrappedKeyInvalid
from offload.token.enclosing import (
    BY_HPKE,
    BY_RSA,
    TransportSecrets,
    enclose,
    enclose_cluster_key,
    rsa_recipient,
    unwrap,
    unwrap_pkcs8,
    wrap,
)
from offload.token.private_key import PrivateKey

KEY = bytes(range(32))
SECRETS = TransportSecrets.generate()
PUBLIC = SECRETS.public


def test_wrapping_is_rfc_5649() -> None:
    # RFC 5649 6, with 20 bytes under a key of 192 bits.
    key = bytes.fromhex("5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8")
    plain = bytes.fromhex("c37b7e6492584340bed12207808941155068f738")
    wrapped = "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a"
    assert wrap(key, plain).hex() == wrapped
    assert unwrap(key, bytes.fromhex(wrapped)) == plain


@pytest.mark.parametrize("zeros", range(8))
def test_what_a_module_filled_up_with_zeros_is_cut_off(zeros: int) -> None:
    encoded = PrivateKey.generate(Algorithm.P_256).encode()
    assert unwrap_pkcs8(KEY, wrap(KEY, encoded + bytes(zeros))) == encoded


@pytest.mark.parametrize("more", [b"\x01", bytes(6) + b"\x01", bytes(8)])
def test_anything_else_behind_a_key_is_refused(more: bytes) -> None:
    encoded = PrivateKey.generate(Algorithm.P_256).encode()
    for plain in (encoded + more, encoded[:-1], b"\x30", b"\x30\x84", b"\x00"):
        with pytest.raises(WrappedKeyInvalid):
            unwrap_pkcs8(KEY, wrap(KEY, plain + (more if plain == encoded else b"")))


def test_an_enclosed_key_opens_for_its_recipient_alone() -> None:
    plain = PrivateKey.generate(Algorithm.ED25519).encode()
    enclosed = enclose(plain, PUBLIC.rsa)
    assert plain not in enclosed
    assert SECRETS.open(enclosed) == plain
    with pytest.raises(WrappedKeyInvalid):
        TransportSecrets.generate().open(enclosed)


@pytest.mark.parametrize(
    ("recipient", "form"), [(PUBLIC, BY_HPKE), (TransportKeys(PUBLIC.rsa), BY_RSA)]
)
def test_a_cluster_key_goes_by_hpke_where_it_can(recipient: TransportKeys, form: bytes) -> None:
    enclosed = enclose_cluster_key(KEY, 3, recipient)
    assert enclosed[:1] == form
    assert SECRETS.open_cluster_key(enclosed, 3) == KEY


def test_hpke_binds_the_generation() -> None:
    with pytest.raises(WrappedKeyInvalid):
        SECRETS.open_cluster_key(enclose_cluster_key(KEY, 3, PUBLIC), 4)


def test_keys_of_another_length_are_refused() -> None:
    for recipient in (PUBLIC, TransportKeys(PUBLIC.rsa)):
        with pytest.raises(WrappedKeyInvalid):
            SECRETS.open_cluster_key(enclose_cluster_key(KEY[:16], 3, recipient), 3)


def test_recipients_without_keys_are_refused() -> None:
    small = rsa.generate_private_key(65537, 1024).public_key()
    encoded = small.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for public_key in (b"", b"no key", encoded):
        with pytest.raises(TokenError, match="recipient"):
            rsa_recipient(public_key)
    with pytest.raises(TokenError, match="X25519"):
        enclose_cluster_key(KEY, 3, TransportKeys(PUBLIC.rsa, b"short"))


def test_transport_keys_survive_encoding() -> None:
    again = TransportSecrets.load(SECRETS.encode())
    assert again.public == PUBLIC
    assert again.open_cluster_key(enclose_cluster_key(KEY, 1, PUBLIC), 1) == KEY
    for encoded in (b"", b"{}", b'{"rsa": "AA", "hpke": "AA"}'):
        with pytest.raises((ValueError, KeyError)):
            TransportSecrets.load(encoded)
