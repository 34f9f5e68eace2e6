import os
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from support.pki import PrivateKey, generate_key, shared_key

from offload.cli.demo import memory
from offload.cli.demo.memory import Scan, needles, scan

HOLDER = """
import sys
from cryptography.hazmat.primitives.serialization import load_der_private_key
key = load_der_private_key(sys.stdin.buffer.read(int(sys.argv[1])), None)
print("ready", flush=True)
sys.stdin.buffer.read()
"""


def der(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize("algorithm", ["rsa-2048", "p-256"])
def test_a_key_is_found_in_the_process_that_holds_it_alone(algorithm: str) -> None:
    held, other = der(generate_key(algorithm)), der(generate_key(algorithm))
    secrets = {"held": needles(held), "other": needles(other)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(len(held))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(held)
        process.stdin.flush()
        assert process.stdout.readline() == b"ready\n"
        result = scan(process.pid, secrets)
    assert result.found == {"held"}
    assert result.size is not None
    assert result.size > 1_000_000


def test_needles_are_the_secret_numbers_in_both_orders() -> None:
    key = shared_key("rsa-2048")
    assert isinstance(key, rsa.RSAPrivateKey)
    numbers = key.private_numbers()
    assert numbers.p.to_bytes(128, "big") in needles(der(key))
    assert numbers.q.to_bytes(128, "little") in needles(der(key))
    curve = shared_key("p-256")
    assert isinstance(curve, ec.EllipticCurvePrivateKey)
    value = curve.private_numbers().private_value
    size = (value.bit_length() + 7) // 8
    assert needles(der(curve)) == [value.to_bytes(size, "big"), value.to_bytes(size, "little")]


def test_a_needle_across_two_chunks_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_CHUNK", 64)
    needle = os.urandom(48)
    before, after = os.urandom(40), os.urandom(40)
    path = f"/proc/{os.getpid()}/mem"
    held = bytearray(before + needle + after)
    address = id_of_buffer(held)
    with open(path, "rb", buffering=0) as opened:
        mapping = f"{address:x}-{address + len(held):x} rw-p 0 0 0 \n"
        chunks = list(memory._chunks(opened, mapping, len(needle) - 1))
    assert len(chunks) > 1
    assert any(needle in chunk for chunk in chunks)


def id_of_buffer(buffer: bytearray) -> int:
    import ctypes

    return ctypes.addressof((ctypes.c_char * len(buffer)).from_buffer(buffer))


def test_a_process_that_may_not_be_read_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(*_arguments: object, **_options: object) -> str:
        raise PermissionError

    monkeypatch.setattr("pathlib.Path.read_text", forbid)
    assert scan(1, {"key": [b"needle"]}) == Scan(frozenset(), None)


def test_keys_of_other_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="only RSA and elliptic-curve"):
        needles(der(shared_key("ed25519")))


def test_a_family_is_searched_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    scans = {1: Scan(frozenset("a"), 10), 2: Scan(frozenset("b"), 20), 3: Scan(frozenset(), None)}
    monkeypatch.setattr(memory, "scan", lambda pid, _secrets: scans[pid])
    monkeypatch.setattr(memory, "family", lambda _pid: [1, 2])
    assert memory.scan_family(1, {}) == Scan(frozenset("ab"), 30)
    monkeypatch.setattr(memory, "family", lambda _pid: [1, 3])
    assert memory.scan_family(1, {}) == Scan(frozenset("a"), None)
