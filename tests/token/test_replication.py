"""Keys that go from token to token, in all mixtures of the implementations."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tokens import PAIRS, Maker

from offload.keys.algorithm import Algorithm
from offload.keys.record import KeyRecord
from offload.keys.scheme import SignatureScheme
from offload.token.base import (
    ClusterKeyMissing,
    LabelTaken,
    NotExtractable,
    ReplicatedToken,
    SchemeNotAllowed,
    TokenError,
    TransportKeys,
    WrappedKeyInvalid,
)
from offload.token.proof import prove

GENERATION = 7


class Pair(NamedTuple):
    giver: ReplicatedToken
    taker: ReplicatedToken
    moving: tuple[Algorithm, ...]
    """What both can take part with."""
    lacking: tuple[Algorithm, ...]
    """What the giver can give and the taker cannot take."""


@pytest.fixture(params=PAIRS, scope="module")
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    makers: tuple[Maker, Maker] = request.param
    giver, taker = (each.make(tmp_path_factory.mktemp("token")) for each in makers)
    giver.generate_cluster_key(GENERATION)
    taker.accept_cluster_key(GENERATION, giver.enclose_cluster_key(GENERATION, taker.transport))
    moving = tuple(each for each in makers[0].moving if each in makers[1].moving)
    lacking = tuple(each for each in makers[0].moving if each in makers[1].fixed)
    yield Pair(giver, taker, moving, lacking)
    giver.close()
    taker.close()


@pytest.fixture(scope="module")
def key(pair: Pair) -> KeyRecord:
    return pair.giver.generate("the key", Algorithm.P_256)


@pytest.fixture(scope="module")
def wrapped(pair: Pair, key: KeyRecord) -> bytes:
    return pair.giver.wrap(key.ski, GENERATION)


@pytest.fixture(scope="module")
def enclosed(pair: Pair, key: KeyRecord) -> bytes:
    return pair.giver.export(key.ski, pair.taker.transport.rsa)


def signs(token: ReplicatedToken, record: KeyRecord) -> None:
    prove(record.public_key, lambda scheme, content: token.sign(record.ski, scheme, content))


@pytest.mark.parametrize(
    "algorithm", [each for each in Algorithm if each not in ("rsa-3072", "rsa-4096")]
)
def test_a_key_works_in_the_other_token(pair: Pair, algorithm: Algorithm) -> None:
    giver, taker = pair.giver, pair.taker
    if algorithm not in pair.moving:
        return
    record = giver.generate(f"moves {algorithm}", algorithm)
    taken = taker.unwrap(
        record.label, record.public_key, giver.wrap(record.ski, GENERATION), GENERATION
    )
    assert (taken.ski, taken.label, taken.algorithm, taken.public_key) == (
        (record.ski, record.label, record.algorithm, record.public_key)
    )
    assert taken in taker.keys()
    for scheme in algorithm.schemes | algorithm.schemes_tls12:
        assert taker.sign(record.ski, scheme, b"content")
    signs(taker, taken)
    taker.destroy(record.ski)
    enclosed = giver.export(record.ski, taker.transport.rsa)
    signs(taker, taker.import_enclosed("another label", record.public_key, enclosed))
    # What was taken in can be passed on.
    back = taker.wrap(record.ski, GENERATION)
    taker.destroy(record.ski)
    giver.destroy(record.ski)
    signs(giver, giver.unwrap(record.label, record.public_key, back, GENERATION))
    giver.destroy(record.ski)


def test_a_token_says_what_it_cannot_take(pair: Pair) -> None:
    for algorithm in pair.lacking:
        record = pair.giver.generate(f"stays {algorithm}", algorithm)
        wrapped = pair.giver.wrap(record.ski, GENERATION)
        with pytest.raises(SchemeNotAllowed):
            pair.taker.unwrap(record.label, record.public_key, wrapped, GENERATION)
        with pytest.raises(SchemeNotAllowed):
            enclosed = pair.giver.export(record.ski, pair.taker.transport.rsa)
            pair.taker.import_enclosed(record.label, record.public_key, enclosed)


def test_a_key_that_is_held_is_left_as_it_is(pair: Pair, key: KeyRecord, wrapped: bytes) -> None:
    taken = pair.taker.unwrap("first", key.public_key, wrapped, GENERATION)
    again = pair.taker.unwrap("second", key.public_key, wrapped, GENERATION)
    assert again == taken
    assert taken.label == "first"
    pair.taker.destroy(key.ski)


def test_a_taken_label_is_refused(pair: Pair, key: KeyRecord, wrapped: bytes) -> None:
    other = pair.taker.generate("taken", Algorithm.P_256)
    with pytest.raises(LabelTaken):
        pair.taker.unwrap("taken", key.public_key, wrapped, GENERATION)
    pair.taker.destroy(other.ski)


def test_a_key_is_not_taken_for_another(pair: Pair, key: KeyRecord, wrapped: bytes) -> None:
    other = pair.giver.generate("other", Algorithm.P_256)
    before = pair.taker.keys()
    with pytest.raises(WrappedKeyInvalid):
        pair.taker.unwrap("mixed up", other.public_key, wrapped, GENERATION)
    enclosed = pair.giver.export(other.ski, pair.taker.transport.rsa)
    with pytest.raises(WrappedKeyInvalid):
        pair.taker.import_enclosed("mixed up", key.public_key, enclosed)
    assert pair.taker.keys() == before
    pair.giver.destroy(other.ski)


@pytest.mark.parametrize("public_key", [b"", b"no key", "secp256k1"])
def test_what_is_no_public_key_of_ours_is_refused(
    pair: Pair, wrapped: bytes, public_key: bytes | str
) -> None:
    if isinstance(public_key, str):
        strange = ec.generate_private_key(ec.SECP256K1()).public_key()
        public_key = strange.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(WrappedKeyInvalid):
        pair.taker.unwrap("strange", public_key, wrapped, GENERATION)


@settings(max_examples=30, deadline=None)
@given(position=st.integers(min_value=0), bit=st.integers(0, 7))
def test_an_altered_wrapped_key_is_refused(
    pair: Pair, key: KeyRecord, wrapped: bytes, position: int, bit: int
) -> None:
    before = pair.taker.keys()
    with pytest.raises(WrappedKeyInvalid):
        pair.taker.unwrap("altered", key.public_key, flipped(wrapped, position, bit), GENERATION)
    assert pair.taker.keys() == before


@settings(max_examples=30, deadline=None)
@given(position=st.integers(min_value=0), bit=st.integers(0, 7))
def test_an_altered_enclosed_key_is_refused(
    pair: Pair, key: KeyRecord, enclosed: bytes, position: int, bit: int
) -> None:
    before = pair.taker.keys()
    with pytest.raises(WrappedKeyInvalid):
        pair.taker.import_enclosed("altered", key.public_key, flipped(enclosed, position, bit))
    assert pair.taker.keys() == before


@settings(max_examples=30, deadline=None)
@given(position=st.integers(min_value=0), bit=st.integers(0, 7))
def test_an_altered_cluster_key_is_refused(pair: Pair, position: int, bit: int) -> None:
    enclosed = pair.giver.enclose_cluster_key(GENERATION, pair.taker.transport)
    with pytest.raises(WrappedKeyInvalid):
        pair.taker.accept_cluster_key(GENERATION + 1, flipped(enclosed, position, bit))
    assert pair.taker.cluster_keys() == {GENERATION}


@pytest.mark.parametrize("length", [0, 1, 7, 8, 16, 200])
def test_cut_keys_are_refused(
    pair: Pair, key: KeyRecord, wrapped: bytes, enclosed: bytes, length: int
) -> None:
    public = key.public_key
    with pytest.raises(WrappedKeyInvalid):
        pair.taker.unwrap("cut", public, wrapped[: min(length, len(wrapped) - 8)], GENERATION)
    with pytest.raises(WrappedKeyInvalid):
        pair.taker.import_enclosed("cut", public, enclosed[:length])
    with pytest.raises(WrappedKeyInvalid):
        pair.taker.accept_cluster_key(GENERATION + 1, enclosed[:length])


def flipped(content: bytes, position: int, bit: int) -> bytes:
    altered = bytearray(content)
    altered[position % len(content)] ^= 1 << bit
    return bytes(altered)


def test_what_is_enclosed_to_another_does_not_open(pair: Pair, key: KeyRecord) -> None:
    for_giver = pair.giver.export(key.ski, pair.giver.transport.rsa)
    with pytest.raises(WrappedKeyInvalid):
        pair.taker.import_enclosed("another's", key.public_key, for_giver)
    for_giver = pair.giver.enclose_cluster_key(GENERATION, pair.giver.transport)
    with pytest.raises(WrappedKeyInvalid):
        pair.taker.accept_cluster_key(GENERATION + 1, for_giver)


def test_cluster_keys_come_and_go(pair: Pair, key: KeyRecord) -> None:
    giver, taker = pair.giver, pair.taker
    giver.generate_cluster_key(8)
    with pytest.raises(TokenError, match="already"):
        giver.generate_cluster_key(8)
    with pytest.raises(ClusterKeyMissing, match="generation 8"):
        taker.unwrap("x", key.public_key, giver.wrap(key.ski, 8), 8)
    for recipient in (taker.transport, TransportKeys(taker.transport.rsa)):
        taker.accept_cluster_key(8, giver.enclose_cluster_key(8, recipient))
    assert giver.cluster_keys() == taker.cluster_keys() == {GENERATION, 8}
    taken = taker.unwrap("x", key.public_key, giver.wrap(key.ski, 8), 8)
    taker.destroy(taken.ski)
    for token in pair[:2]:
        token.destroy_cluster_key(8)
        with pytest.raises(ClusterKeyMissing):
            token.destroy_cluster_key(8)
        with pytest.raises(ClusterKeyMissing):
            token.enclose_cluster_key(8, taker.transport)
    with pytest.raises(ClusterKeyMissing):
        giver.wrap(key.ski, 8)
    assert giver.cluster_keys() == taker.cluster_keys() == {GENERATION}


def test_a_generation_has_one_key(pair: Pair) -> None:
    pair.giver.generate_cluster_key(9)
    pair.taker.generate_cluster_key(9)
    with pytest.raises(WrappedKeyInvalid, match="another cluster key of generation 9"):
        pair.taker.accept_cluster_key(
            9, pair.giver.enclose_cluster_key(9, TransportKeys(pair.taker.transport.rsa))
        )
    for token in pair[:2]:
        token.destroy_cluster_key(9)


def test_a_key_under_another_cluster_key_does_not_open(pair: Pair, key: KeyRecord) -> None:
    pair.giver.generate_cluster_key(10)
    wrapped = pair.giver.wrap(key.ski, 10)
    with pytest.raises(WrappedKeyInvalid):
        pair.taker.unwrap("x", key.public_key, wrapped, GENERATION)
    pair.giver.destroy_cluster_key(10)


def test_what_was_taken_in_may_be_made_to_stay_nowhere(pair: Pair) -> None:
    stays = pair.giver.generate("never leaves", Algorithm.P_256, extractable=False)
    with pytest.raises(NotExtractable):
        pair.giver.wrap(stays.ski, GENERATION)
    signs(pair.giver, stays)
    pair.giver.destroy(stays.ski)


def test_threads_sign_with_both_tokens_at_once(pair: Pair, key: KeyRecord, wrapped: bytes) -> None:
    taken = pair.taker.unwrap("in both", key.public_key, wrapped, GENERATION)
    public = load_der_public_key(key.public_key)
    assert isinstance(public, ec.EllipticCurvePublicKey)

    def sign(number: int) -> list[bytes]:
        token = pair.taker if number % 2 else pair.giver
        scheme = SignatureScheme.ECDSA_SECP256R1_SHA256
        return [token.sign(key.ski, scheme, b"%d %d" % (number, each)) for each in range(100)]

    with ThreadPoolExecutor(8) as threads:
        for number, signatures in enumerate(threads.map(sign, range(8))):
            for each, signature in enumerate(signatures):
                public.verify(signature, b"%d %d" % (number, each), ec.ECDSA(SHA256()))
    pair.taker.destroy(taken.ski)
