"""No private key in any of the front-end's memory; the same search finds them in a worker."""

import os

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)
from support.chain import Chain
from support.pki import ALGORITHMS
from support.tls_client import SocketClient

from offload.cli.demo.known_keys import private_keys
from offload.cli.demo.memory import Scan, needles, scan


@pytest.fixture(scope="module")
def keys(chain: Chain) -> dict[str, bytes]:
    """Label -> PKCS #8 of every key in the token, after each has signed for either process."""
    directory = chain.state.directory
    names = [f"{algorithm}.test" for algorithm in ALGORITHMS]
    for name in names:
        owners: set[int] = set()
        while len(owners) < 2:
            with SocketClient(chain.port, name) as client:
                client.handshake()
                owners.add(chain.owner(client.port))
    held = private_keys(directory / "token", directory / "token.passphrase")
    assert set(held) == {*names, "localhost-p256", "localhost-rsa"}
    return held


def secrets(key: bytes) -> list[bytes]:
    """What of a private key, given as PKCS #8, must not be found: numbers, seeds, encodings."""
    private = load_der_private_key(key, password=None)
    found = [key]
    if isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        found += needles(key)
        traditional = PrivateFormat.TraditionalOpenSSL
        found.append(private.private_bytes(Encoding.DER, traditional, NoEncryption()))
    else:
        raw = private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        found += [raw, raw[::-1]]
    if isinstance(private, rsa.RSAPrivateKey):
        numbers = private.private_numbers()
        size = private.key_size // 16
        for number in (numbers.dmp1, numbers.dmq1, numbers.iqmp):
            found += [number.to_bytes(size, "big"), number.to_bytes(size, "little")]
    return found


def _scanned(pids: list[int], wanted: dict[str, list[bytes]]) -> list[Scan]:
    return [scan(pid, wanted) for pid in pids]


def test_the_front_end_holds_none(chain: Chain, keys: dict[str, bytes]) -> None:
    pids = chain.front_end_pids()
    assert len(pids) == 4  # the supervisor, two that serve, the admin endpoint
    for result in _scanned(pids, {label: secrets(key) for label, key in keys.items()}):
        assert result.found == frozenset()
        assert result.size is not None
        assert result.size > 10_000_000


def test_the_search_sees_what_the_front_end_does_hold(chain: Chain, keys: dict[str, bytes]) -> None:
    # Public keys lie in its certificates: not to find them would prove the search blind.
    public = {
        label: [_public_bytes(key)] for label, key in keys.items() if label != "localhost-rsa"
    }
    for result in _scanned(chain.front_end_pids(), public):
        assert result.found == set(public)


def test_the_search_finds_all_in_the_workers(chain: Chain, keys: dict[str, bytes]) -> None:
    # A token takes a key out of its file when it is first used: by the worker that was asked.
    wanted = {
        label: secrets(key) for label, key in keys.items() if not label.startswith("localhost")
    }
    pids = [pid for name in chain.workers for pid in chain.serving_pids(name)]
    results = _scanned(pids, wanted)
    if os.geteuid() == 0:
        assert set().union(*(result.found for result in results)) == set(wanted)
    else:
        # A worker lets nobody but root look.
        assert {result.size for result in results} == {None}


def _public_bytes(key: bytes) -> bytes:
    public = load_der_private_key(key, password=None).public_key()
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
