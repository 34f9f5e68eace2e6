import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from support.pki import PrivateKey, shared_key

from offload.cli import enclosure
from offload.cli.failure import Failure
from offload.cli.session import Transport
from offload.cluster.views import ExportView

WORD = b"secret word"
ENCRYPTED = BestAvailableEncryption(WORD)


def never() -> bytes:
    raise AssertionError("no passphrase is needed")


def public(key: PrivateKeyTypes) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def pem(
    key: PrivateKey,
    form: PrivateFormat = PrivateFormat.PKCS8,
    encryption: KeySerializationEncryption | None = None,
) -> bytes:
    return key.private_bytes(Encoding.PEM, form, encryption or NoEncryption())


@pytest.fixture(scope="module")
def recipient() -> rsa.RSAPrivateKey:
    key = shared_key("rsa-3072")
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


@pytest.mark.parametrize("algorithm", ["p-256", "rsa-2048", "ed25519", "ml-dsa-44"])
def test_every_form_that_a_key_comes_in(algorithm: str) -> None:
    key = shared_key(algorithm)
    found = [
        enclosure.private_key(b"Bag Attributes\n" + pem(key), never),
        enclosure.private_key(pem(key, encryption=ENCRYPTED), lambda: WORD),
    ]
    if algorithm in ("p-256", "rsa-2048"):
        found.append(enclosure.private_key(pem(key, PrivateFormat.TraditionalOpenSSL), never))
        plain = serialize_key_and_certificates(None, key, None, None, NoEncryption())  # type: ignore[arg-type]
        found.append(enclosure.private_key(plain, never))
        sealed = serialize_key_and_certificates(None, key, None, None, ENCRYPTED)  # type: ignore[arg-type]
        found.append(enclosure.private_key(sealed, lambda: WORD))
    assert {public(one) for one in found} == {public(key)}


@pytest.mark.parametrize(
    "content", [b"", b"\x30\x00", b"-----BEGIN PRIVATE KEY-----\nx", b"x" * 99]
)
def test_what_is_no_key(content: bytes) -> None:
    with pytest.raises(Failure, match="no private key that can be read"):
        enclosure.private_key(content, lambda: WORD)


def test_a_wrong_passphrase() -> None:
    with pytest.raises(Failure, match="or the passphrase is another"):
        enclosure.private_key(pem(shared_key("p-256"), encryption=ENCRYPTED), lambda: b"wrong")


def test_a_key_that_is_not_served() -> None:
    key = rsa.generate_private_key(65537, 1024)
    with pytest.raises(Failure, match="cannot be used here"):
        enclosure.private_key(pem(key), never)


def test_what_is_enclosed_only_the_recipient_opens(recipient: rsa.RSAPrivateKey) -> None:
    key = shared_key("p-384")
    made = enclosure.enclosed_to(Transport("worker-1", public(recipient)), key)
    assert made.member == "worker-1"
    assert "enclosed" not in repr(made)
    view = ExportView(
        ski="", label="www", generation=1, public_key=made.public_key, enclosed=made.enclosed
    )
    assert public(enclosure.opened(recipient, view)) == public(key)
    content = base64.b64decode(made.enclosed)
    altered = base64.b64encode(content[:-1] + bytes([content[-1] ^ 1])).decode()
    with pytest.raises(Failure, match="cannot be opened"):
        enclosure.opened(recipient, view.model_copy(update={"enclosed": altered}))


def test_recipients_are_strong_rsa_keys(recipient: rsa.RSAPrivateKey) -> None:
    text = enclosure.public_pem(recipient.public_key())
    assert enclosure.recipient(text.encode()) == text
    weak = shared_key("rsa-2048")
    assert isinstance(weak, rsa.RSAPrivateKey)
    for content in (enclosure.public_pem(weak.public_key()).encode(), b"", pem(recipient)):
        with pytest.raises(Failure, match="no RSA public key"):
            enclosure.recipient(content)


def test_a_file_with_an_enclosed_key() -> None:
    content = b'{"ski":"1","label":"www","generation":1,"public_key":"p","enclosed":"e"}'
    assert enclosure.Enclosed.read(content) == enclosure.Enclosed(public_key="p", enclosed="e")
    with pytest.raises(Failure, match="no enclosed key"):
        enclosure.Enclosed.read(b"{}")
