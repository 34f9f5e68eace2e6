import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, rsa

from offload.keys.algorithm import Algorithm, UnsupportedKey, algorithm_of
from offload.keys.scheme import SignatureScheme

PSS = {0x0804, 0x0805, 0x0806}
PKCS1 = {0x0401, 0x0501, 0x0601}
ECDSA = {0x0403, 0x0503, 0x0603}


def rsa_public_key(bits: int) -> rsa.RSAPublicKey:
    """A public key of the right size; no one knows its private key."""
    return rsa.RSAPublicNumbers(65537, (1 << bits) - 1).public_key()


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_rsa_by_its_size(bits: int) -> None:
    assert algorithm_of(rsa_public_key(bits)) == f"rsa-{bits}"


@pytest.mark.parametrize(
    ("curve", "name"),
    [(ec.SECP256R1(), "p-256"), (ec.SECP384R1(), "p-384"), (ec.SECP521R1(), "p-521")],
)
def test_ecdsa_by_its_curve(curve: ec.EllipticCurve, name: str) -> None:
    assert algorithm_of(ec.generate_private_key(curve).public_key()) == name


def test_the_kinds_of_one_size() -> None:
    ed25519_key = ed25519.Ed25519PrivateKey.generate().public_key()
    assert algorithm_of(ed25519_key) is Algorithm.ED25519
    assert algorithm_of(mldsa.MLDSA44PrivateKey.generate().public_key()) is Algorithm.ML_DSA_44
    assert algorithm_of(mldsa.MLDSA65PrivateKey.generate().public_key()) is Algorithm.ML_DSA_65
    assert algorithm_of(mldsa.MLDSA87PrivateKey.generate().public_key()) is Algorithm.ML_DSA_87


@pytest.mark.parametrize(
    ("public_key", "what"),
    [
        (rsa_public_key(1024), "RSA with 1024 bits"),
        (rsa_public_key(2049), "RSA with 2049 bits"),
        (ec.generate_private_key(ec.SECP256K1()).public_key(), "curve secp256k1"),
        (ed448.Ed448PrivateKey.generate().public_key(), "Ed448PublicKey"),
        (b"no key", "bytes"),
    ],
)
def test_any_other_key_is_refused_with_what_to_use(public_key: object, what: str) -> None:
    with pytest.raises(UnsupportedKey, match=rf"{what} is not supported; use a key of rsa-2048,"):
        algorithm_of(public_key)


@pytest.mark.parametrize(
    ("algorithm", "tls13", "tls12"),
    [
        ("rsa-2048", PSS, PSS | PKCS1),
        ("rsa-4096", PSS, PSS | PKCS1),
        ("p-256", {0x0403}, ECDSA),
        ("p-384", {0x0503}, ECDSA),
        ("p-521", {0x0603}, ECDSA),
        ("ed25519", {0x0807}, {0x0807}),
        ("ml-dsa-44", {0x0904}, set()),
        ("ml-dsa-65", {0x0905}, set()),
        ("ml-dsa-87", {0x0906}, set()),
    ],
)
def test_schemes_by_version(algorithm: str, tls13: set[int], tls12: set[int]) -> None:
    assert Algorithm(algorithm).schemes == tls13
    assert Algorithm(algorithm).schemes_tls12 == tls12


def test_every_scheme_belongs_to_some_key() -> None:
    served = {scheme for one in Algorithm for scheme in one.schemes | one.schemes_tls12}
    assert served == set(SignatureScheme)


def test_every_algorithm_has_a_cost() -> None:
    assert all(algorithm.cost > 0 for algorithm in Algorithm)
    assert Algorithm.P_256.cost < Algorithm.RSA_2048.cost < Algorithm.RSA_4096.cost
