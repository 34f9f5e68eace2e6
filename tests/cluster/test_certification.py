import subprocess
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key
from support.pki import shared_key

from offload.cluster.certification import BadSignature, request, self_signed
from offload.cluster.token_key import TokenKey, token_key
from offload.keys.algorithm import Algorithm
from offload.keys.scheme import SignatureScheme
from offload.token.private_key import PrivateKey

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NAMES = ["www.example.org", "*.example.org", "10.0.0.1"]
KNOWN_TO_OPENSSL_3_0 = [
    algorithm for algorithm in Algorithm if not algorithm.value.startswith("ml-dsa")
]


def key_of(algorithm: Algorithm) -> TokenKey:
    held = PrivateKey(shared_key(algorithm))
    public = load_der_public_key(held.public_key)
    return token_key(public, lambda scheme, content: held.sign[scheme](content))


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_certificate_signs_itself(algorithm: Algorithm) -> None:
    made = self_signed(key_of(algorithm), NAMES, NOW, 90)
    made.verify_directly_issued_by(made)
    alternatives = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert alternatives.get_values_for_type(x509.DNSName) == NAMES[:2]
    assert (made.not_valid_after_utc - NOW).days == 90


@pytest.mark.parametrize("algorithm", KNOWN_TO_OPENSSL_3_0)
def test_openssl_verifies_a_request(algorithm: Algorithm) -> None:
    made = request(key_of(algorithm), NAMES)
    command = ["openssl", "req", "-verify", "-noout", "-text"]
    content = made.public_bytes(Encoding.PEM)
    done = subprocess.run(command, input=content, capture_output=True, check=False)
    assert done.returncode == 0
    assert b"verify OK" in done.stderr
    assert b"DNS:www.example.org, DNS:*.example.org, IP Address:10.0.0.1" in done.stdout


def test_a_wrong_signature_is_not_given_out() -> None:
    held = PrivateKey(shared_key(Algorithm.P_256))
    scheme = SignatureScheme.ECDSA_SECP256R1_SHA256
    faulty = token_key(
        load_der_public_key(held.public_key), lambda _, content: held.sign[scheme](content + b"!")
    )
    with pytest.raises(BadSignature):
        request(faulty, NAMES)
    with pytest.raises(BadSignature):
        self_signed(faulty, NAMES, NOW, 90)
