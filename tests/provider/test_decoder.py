"""Decoding through the real library: references become keys, all else is refused or let pass."""

import base64
import random
import warnings

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from OpenSSL import crypto
from support.fresh_process import fresh_process
from support.pki import pem, shared_key

from offload.provider import key_reference

ALGORITHMS = ("p-256", "p-384", "p-521", "ed25519", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87")
BITS = (256, 384, 521, 256, 1312 * 8, 1952 * 8, 2592 * 8)
BEGIN = b"-----BEGIN OFFLOAD KEY REFERENCE-----\n"
END = b"-----END OFFLOAD KEY REFERENCE-----\n"

# pyOpenSSL would rather have cryptography write keys.
warnings.simplefilter("ignore", DeprecationWarning)


def _load(text: bytes) -> crypto.PKey:
    return crypto.load_privatekey(crypto.FILETYPE_PEM, text)


def _is_refused(text: bytes) -> bool:
    try:
        _load(text)
    except crypto.Error:
        return True
    return False


def _body(reference: bytes) -> bytes:
    return base64.b64decode(reference[len(BEGIN) : -len(END)])


def _reference(body: bytes) -> bytes:
    return BEGIN + base64.encodebytes(body) + END


def _rsa(bits: int) -> rsa.RSAPublicKey:
    return rsa.RSAPublicNumbers(65537, (1 << (bits - 1)) + 1).public_key()


@fresh_process
def test_a_reference_to_each_type_of_key_loads() -> None:
    for algorithm, bits in zip(ALGORITHMS, BITS, strict=True):
        reference = key_reference(shared_key(algorithm).public_key())
        assert _load(reference).bits() == bits
        assert _load(reference.replace(b"\n", b"\r\n")).bits() == bits
    for bits in (2048, 3072, 4096, 8192):
        assert _load(key_reference(_rsa(bits))).bits() == bits


@fresh_process
def test_a_truncated_reference_is_refused() -> None:
    reference = key_reference(shared_key("p-256").public_key())
    for length in range(len(reference) - 1):
        assert _is_refused(reference[:length]), length
    body = _body(reference)
    for length in range(len(body)):
        assert _is_refused(_reference(body[:length])), length


@fresh_process
def test_a_malformed_reference_is_refused_and_named() -> None:
    reference = key_reference(shared_key("p-256").public_key())
    body = _body(reference)
    point = body[24:89]
    malformed = {
        "version": _reference(b"\2" + body[1:]),
        "algorithm 0": _reference(b"\1\0" + body[2:]),
        "algorithm 9": _reference(b"\1\x09" + body[2:]),
        "another curve": _reference(b"\1\3" + body[2:]),
        "RSA": _reference(b"\1\1" + body[2:]),
        "compressed point": _reference(body[:24] + b"\2" + body[25:]),
        "length of key": _reference(body[:22] + b"\xff\xff" + body[24:]),
        "exponent without RSA": _reference(body[:89] + b"\1\3"),
        "exponent cut off": _reference(body[:89] + b"\x08\3"),
        "bytes after it": _reference(body + b"\0"),
        "nothing in it": BEGIN + END,
        "filled in the middle": BEGIN + b"AQ==\n" + base64.encodebytes(body[1:]) + END,
        "filled with a letter after": BEGIN + b"AQ=A" + reference[len(BEGIN) + 4 :],
        "bits cut off": _reference(body[:-2] + point[:1]).replace(b"=", b"", 1),
        "not base64": BEGIN + b"!" + reference[len(BEGIN) + 1 :],
        "text after the end": reference + b"x",
        "no line after the label": reference.replace(b"REFERENCE-----\n", b"REFERENCE-----", 1),
        "too long": reference + b"\n" * 5000,
        "much too long": BEGIN + b"A" * 100_000 + END,
    }
    for what, text in malformed.items():
        with pytest.raises(crypto.Error) as failure:
            _load(text)
        assert ("offload", "", "malformed key reference") in failure.value.args[0], what


@fresh_process
def test_senseless_rsa_numbers_are_refused() -> None:
    body = _body(key_reference(_rsa(2048)))
    head, modulus, tail = body[:24], body[24:280], body[280:]
    assert not _is_refused(_reference(head + modulus + tail))
    for senseless in (
        head + b"\0" + modulus[1:] + tail,
        head + modulus[:-1] + b"\2" + tail,
        head[:22] + b"\0\xff" + modulus[:-2] + b"\1" + tail,
        head[:22] + b"\4\2" + modulus[:-1] + bytes(770) + b"\1" + tail,
        head + modulus + b"\0",
        head + modulus + b"\1\1",
        head + modulus + b"\1\2",
        head + modulus + b"\2\0\3",
        head + modulus + b"\x09" + b"\3" * 9,
    ):
        assert _is_refused(_reference(senseless))


@fresh_process
def test_a_mutated_reference_does_not_harm() -> None:
    dice = random.Random(1)
    for algorithm in ("rsa-2048", "p-256", "ml-dsa-44"):
        reference = key_reference(shared_key(algorithm).public_key())
        for _ in range(300):
            mutated = bytearray(reference)
            for _ in range(dice.randrange(1, 4)):
                mutated[dice.randrange(len(mutated))] = dice.randrange(256)
            _is_refused(bytes(mutated))
        assert not _is_refused(reference)


@fresh_process
def test_other_pem_is_let_pass() -> None:
    for algorithm in ("rsa-2048", "p-256", "ed25519"):
        key = shared_key(algorithm)
        assert crypto.dump_privatekey(crypto.FILETYPE_PEM, _load(pem(key))) == pem(key)
    reference = key_reference(shared_key("p-256").public_key())
    assert _is_refused(b"no PEM at all")
    assert _is_refused(b"\n" + reference)
    with pytest.raises(crypto.Error):
        crypto.load_publickey(crypto.FILETYPE_PEM, reference)
