import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa
from cryptography.hazmat.primitives.serialization import Encoding

from offload.cluster.failures import Invalid
from offload.cluster.profile import subject
from offload.cluster.request import make_request, requested_key, requested_member_key


def other_request(key: ed25519.Ed25519PrivateKey | mldsa.MLDSA65PrivateKey) -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject("user"))
    return builder.sign(key, None).public_bytes(Encoding.PEM).decode()


def curve_request(curve: ec.EllipticCurve) -> str:
    return make_request("worker-2", ec.generate_private_key(curve))


def test_only_the_key_is_taken() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject("officer"))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    request = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
    assert requested_key(request) == key.public_key()


def test_an_altered_request_is_refused() -> None:
    der = bytearray(
        x509.load_pem_x509_csr(curve_request(ec.SECP256R1()).encode()).public_bytes(Encoding.DER)
    )
    der[der.index(b"worker-2")] ^= 1
    altered = x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM).decode()
    with pytest.raises(Invalid, match="not signed with its own key"):
        requested_key(altered)


@pytest.mark.parametrize("text", ["", "hello", "\ud800", "-----BEGIN CERTIFICATE REQUEST-----\n"])
def test_something_else_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="no certification request"):
        requested_key(text)


def test_a_long_one_is_not_even_read() -> None:
    with pytest.raises(Invalid, match="too long"):
        requested_key("x" * 10_000)


def test_members_have_keys_on_p256_alone() -> None:
    request = curve_request(ec.SECP384R1())
    requested_key(request)
    with pytest.raises(Invalid, match="P-256"):
        requested_member_key(request)
    requested_member_key(curve_request(ec.SECP256R1()))


def test_users_may_have_other_kinds_that_can_approve() -> None:
    requested_key(other_request(ed25519.Ed25519PrivateKey.generate()))
    with pytest.raises(Invalid, match="another kind"):
        requested_key(other_request(mldsa.MLDSA65PrivateKey.generate()))
    with pytest.raises(Invalid, match="cannot be served"):
        requested_key(curve_request(ec.SECP256K1()))
