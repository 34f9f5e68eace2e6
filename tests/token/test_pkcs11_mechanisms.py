"""Our terms in PKCS#11's."""

from datetime import date

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from pkcs11.constants import Attribute, MechanismFlag, ObjectClass
from pkcs11.mechanisms import MGF, KeyType, Mechanism

from offload.keys.algorithm import Algorithm
from offload.keys.scheme import SignatureScheme
from offload.token.base import SchemeNotAllowed
from offload.token.pkcs11_mechanisms import (
    KINDS,
    Mapper,
    kind_of,
    public_key_of,
    public_template,
    signing,
    signing_digest,
)
from offload.token.private_key import PrivateKey


@pytest.mark.parametrize("algorithm", KINDS)
def test_public_keys_survive_the_way_there_and_back(algorithm: Algorithm) -> None:
    public_key = PrivateKey.generate(algorithm).public_key
    assert public_key_of(public_template(public_key)) == public_key


@pytest.mark.parametrize("algorithm", [each for each in KINDS if each.startswith(("p-", "ed"))])
def test_bare_points_are_read_too(algorithm: Algorithm) -> None:
    public_key = PrivateKey.generate(algorithm).public_key
    template = public_template(public_key)
    point = template[Attribute.EC_POINT]
    bare = point[3:] if point[1] & 0x80 else point[2:]
    assert public_key_of({**template, Attribute.EC_POINT: bare}) == public_key


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {Attribute.KEY_TYPE: KeyType.RSA},
        {Attribute.KEY_TYPE: KeyType.DSA},
        {
            Attribute.KEY_TYPE: KeyType.EC,
            Attribute.EC_PARAMS: KINDS[Algorithm.P_256].parameters,
            Attribute.EC_POINT: b"\x04" + bytes(64),
        },
    ],
)
def test_what_is_no_key_of_ours_is_none(attributes: dict[Attribute, object]) -> None:
    assert public_key_of(attributes) is None


def test_a_digest_goes_to_the_hsm_and_no_more() -> None:
    rsa = signing(Algorithm.RSA_2048, SignatureScheme.RSA_PSS_RSAE_SHA384, b"x" * 1000)
    assert (rsa.mechanism, rsa.parameters) == (
        Mechanism.RSA_PKCS_PSS,
        (Mechanism.SHA384, MGF.SHA384, 48),
    )
    assert len(rsa.data) == 48
    old = signing(Algorithm.RSA_2048, SignatureScheme.RSA_PKCS1_SHA256, b"x")
    assert (old.mechanism, len(old.data)) == (Mechanism.RSA_PKCS, 19 + 32)
    edwards = signing(Algorithm.ED25519, SignatureScheme.ED25519, b"x" * 130)
    assert (edwards.mechanism, edwards.data) == (Mechanism.EDDSA, b"x" * 130)


def test_a_long_digest_is_cut_to_the_curve() -> None:
    digest = bytes(range(64))
    cut = signing_digest(Algorithm.P_256, SignatureScheme.ECDSA_SECP521R1_SHA512, digest)
    assert cut.data == digest[:32]
    whole = signing_digest(Algorithm.P_521, SignatureScheme.ECDSA_SECP521R1_SHA512, digest)
    assert whole.data == digest


def test_ecdsa_is_encoded_as_tls_has_it() -> None:
    made = signing(Algorithm.P_256, SignatureScheme.ECDSA_SECP256R1_SHA256, b"x")
    encoded = made.encoded(bytes(31) + b"\x05" + b"\xff" * 32)
    assert decode_dss_signature(encoded) == (5, 2**256 - 1)


@pytest.mark.parametrize(
    ("algorithm", "scheme"),
    [
        (Algorithm.P_256, SignatureScheme.RSA_PSS_RSAE_SHA256),
        (Algorithm.ML_DSA_44, SignatureScheme.MLDSA44),
    ],
)
def test_other_schemes_are_refused(algorithm: Algorithm, scheme: SignatureScheme) -> None:
    with pytest.raises(SchemeNotAllowed):
        signing(algorithm, scheme, b"x")


def test_digests_of_another_length_are_refused() -> None:
    with pytest.raises(SchemeNotAllowed, match="31 bytes"):
        signing_digest(Algorithm.P_256, SignatureScheme.ECDSA_SECP256R1_SHA256, bytes(31))
    with pytest.raises(SchemeNotAllowed):
        signing_digest(Algorithm.ED25519, SignatureScheme.ED25519, bytes(32))


def test_ml_dsa_needs_another_token() -> None:
    with pytest.raises(SchemeNotAllowed, match="software token"):
        kind_of(Algorithm.ML_DSA_65)


def test_an_unwrapped_private_key_is_asked_for_what_private_keys_do() -> None:
    private = Mapper().generic_key_template(
        {Attribute.CLASS: ObjectClass.PRIVATE_KEY},
        capabilities=MechanismFlag.SIGN, id_=b"i", label="l", store=True,
    )  # fmt: skip
    assert private[Attribute.SIGN]
    assert Attribute.ENCRYPT not in private
    assert Attribute.WRAP not in private
    assert (private[Attribute.ID], private[Attribute.TOKEN]) == (b"i", True)


def test_dates_that_a_module_leaves_empty_are_none() -> None:
    mapper = Mapper()
    day = date(2026, 11, 24)
    packed = mapper.pack_attribute(Attribute.START_DATE, day)
    assert mapper.unpack_attributes(Attribute.START_DATE, packed) == day
    assert mapper.unpack_attributes(Attribute.START_DATE, b"") is None
