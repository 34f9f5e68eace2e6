"""Sealing: what was altered does not open, and two seals are never alike."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offload.token.base import TokenError, WrongPassphrase
from offload.token.sealing import Cost, Sealer, decode, encode, new_header, open_header

CHEAP = Cost(memory_kib=64, iterations=1, lanes=1)


@given(st.binary(max_size=200), st.binary(max_size=50), st.integers(min_value=0))
def test_any_altered_bit_is_noticed(plain: bytes, bound: bytes, position: int) -> None:
    sealer = Sealer(bytes(32))
    sealed = sealer.seal(plain, bound)
    assert sealer.unseal(sealed, bound) == plain
    altered = bytearray(sealed)
    altered[position // 8 % len(altered)] ^= 1 << position % 8
    with pytest.raises(ValueError, match="altered"):
        sealer.unseal(bytes(altered), bound)
    with pytest.raises(ValueError, match="altered"):
        sealer.unseal(sealed, bound + b"x")
    with pytest.raises(ValueError, match="altered"):
        Sealer(bytes(31) + b"\1").unseal(sealed, bound)


def test_seals_of_the_same_differ() -> None:
    sealer = Sealer(bytes(32))
    assert len({sealer.seal(b"same", b"") for _ in range(100)}) == 100


def test_a_short_seal_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        Sealer(bytes(32)).unseal(bytes(11), b"")


def test_headers_record_how_the_key_is_derived() -> None:
    first, sealer = new_header(b"passphrase", CHEAP)
    second, _ = new_header(b"passphrase", CHEAP)
    fields = json.loads(first)
    assert (fields["kdf"], fields["memory_kib"], fields["iterations"]) == ("argon2id", 64, 1)
    assert fields["salt"] != json.loads(second)["salt"]
    sealed = sealer.seal(b"plain", b"")
    assert open_header(first, b"passphrase").unseal(sealed, b"") == b"plain"
    with pytest.raises(WrongPassphrase):
        open_header(first, b"Passphrase")


def test_the_default_is_rfc_9106s() -> None:
    assert Cost() == Cost(memory_kib=64 * 1024, iterations=3, lanes=4)


@pytest.mark.parametrize(
    "change", [{"format": 2}, {"kdf": "scrypt"}, {"salt": "?"}, {"lanes": 0}, {"iterations": "x"}]
)
def test_headers_that_make_no_sense_are_refused(change: dict[str, object]) -> None:
    header, _ = new_header(b"passphrase", CHEAP)
    with pytest.raises(TokenError) as raised:
        open_header(json.dumps({**json.loads(header), **change}).encode(), b"passphrase")
    assert not isinstance(raised.value, WrongPassphrase)


@given(st.binary())
def test_encoding_is_undone(value: bytes) -> None:
    assert decode(encode(value)) == value
