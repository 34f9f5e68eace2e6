from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_der_public_key
from support.pki import shared_key

from offload.cluster.certification import BadSignature
from offload.cluster.issuer import Issuer, root
from offload.cluster.profile import CertificateProfile
from offload.cluster.token_key import Sign, TokenKey, token_key
from offload.keys.algorithm import Algorithm
from offload.keys.scheme import SignatureScheme
from offload.token.private_key import PrivateKey

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
PUBLIC = shared_key("p-384").public_key()


def sign(scheme: SignatureScheme, content: bytes) -> bytes:
    return PrivateKey(shared_key(Algorithm.P_256)).sign[scheme](content)


def key_with(sign: Sign) -> TokenKey:
    return token_key(load_der_public_key(PrivateKey(shared_key(Algorithm.P_256)).public_key), sign)


def test_a_key_in_a_token_issues_as_one_in_memory_does() -> None:
    authority = root("test authority", key_with(sign), NOW)
    issuer = Issuer(authority, key_with(sign))
    leaf = issuer.issue(PUBLIC, ["worker-1", "10.0.0.1"], CertificateProfile.SERVER, NOW)
    leaf.verify_directly_issued_by(authority)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["worker-1"]
    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (True, 0)


def test_a_wrong_signature_is_not_given_out() -> None:
    authority = root("test authority", key_with(sign), NOW)
    faulty = key_with(lambda scheme, content: sign(scheme, content + b"!"))
    with pytest.raises(BadSignature):
        root("test authority", faulty, NOW)
    with pytest.raises(BadSignature):
        Issuer(authority, faulty).issue(PUBLIC, ["a"], CertificateProfile.CLIENT, NOW)
