import subprocess
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from offload.cluster.fingerprint import grouped, key_fingerprint, same

FINGERPRINT = sha256(b"example").hexdigest()


def test_it_is_what_openssl_makes_of_the_public_key() -> None:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-outform", "DER"], input=pem, capture_output=True
    ).stdout
    assert key_fingerprint(public) == sha256(der).hexdigest()


@pytest.mark.parametrize(
    "typed",
    [
        FINGERPRINT,
        FINGERPRINT.upper(),
        grouped(FINGERPRINT),
        ":".join(FINGERPRINT[i : i + 2] for i in range(0, 64, 2)),
    ],
)
def test_it_may_be_typed_in_any_grouping(typed: str) -> None:
    assert same(FINGERPRINT, typed)


@pytest.mark.parametrize(
    "typed", ["", FINGERPRINT[:-1], FINGERPRINT + "0", "0" + FINGERPRINT[1:], "\ud800"]
)
def test_another_one_is_not_the_same(typed: str) -> None:
    assert not same(FINGERPRINT, typed)
