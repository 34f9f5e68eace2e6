"""The software token's files: sealed, private, whole, shared between processes."""

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from offload.keys.algorithm import Algorithm
from offload.keys.scheme import SignatureScheme
from offload.token.base import (
    NotExtractable,
    TokenError,
    TokenInsecure,
    TokenNotFound,
    WrongPassphrase,
)
from offload.token.private_key import PrivateKey
from offload.token.sealing import Cost
from offload.token.software import SoftwareToken

CHEAP = Cost(memory_kib=64, iterations=1, lanes=1)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    SoftwareToken.create(tmp_path / "token", b"open sesame", CHEAP)
    return tmp_path / "token"


def open_token(directory: Path) -> SoftwareToken:
    return SoftwareToken.open(directory, b"open sesame")


def only_key_file(directory: Path) -> Path:
    (path,) = directory.glob("*.key")
    return path


@pytest.mark.parametrize("algorithm", Algorithm)
def test_keys_survive_reopening(directory: Path, algorithm: Algorithm) -> None:
    record = open_token(directory).generate("a key", algorithm)
    reopened = open_token(directory)
    assert list(reopened.keys()) == [record]
    assert reopened.sign(record.ski, min(algorithm.schemes), b"content")


def test_files_are_private_and_hold_no_plain_key(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[PrivateKey] = []
    generate = PrivateKey.generate

    def remember(algorithm: Algorithm) -> PrivateKey:
        made.append(generate(algorithm))
        return made[-1]

    monkeypatch.setattr(PrivateKey, "generate", staticmethod(remember))
    open_token(directory).generate("a key", Algorithm.ED25519)
    secret = made[0].encode()[-32:]
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    for path in directory.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        content = path.read_bytes()
        assert secret not in content
        assert secret.hex().encode() not in content
    assert {path.suffix for path in directory.iterdir()} == {".json", ".key", ""}


def test_a_wrong_passphrase_is_one_clear_error(directory: Path) -> None:
    open_token(directory).generate("a key", Algorithm.P_256)
    with pytest.raises(WrongPassphrase, match="wrong passphrase") as raised:
        SoftwareToken.open(directory, b"open barley")
    assert "barley" not in str(raised.value)


def test_a_missing_token_is_told(tmp_path: Path) -> None:
    with pytest.raises(TokenNotFound, match="offload init"):
        SoftwareToken.open(tmp_path / "absent", b"x")
    (tmp_path / "empty").mkdir(mode=0o700)
    with pytest.raises(TokenNotFound, match="holds no token"):
        SoftwareToken.open(tmp_path / "empty", b"x")


def test_a_token_is_never_replaced(directory: Path) -> None:
    header = (directory / "token.json").read_bytes()
    with pytest.raises(TokenError, match="holds a token already"):
        SoftwareToken.create(directory, b"other", CHEAP)
    assert (directory / "token.json").read_bytes() == header


@pytest.mark.parametrize("mode", [0o750, 0o701, 0o770, 0o755])
def test_an_open_directory_is_refused(directory: Path, mode: int) -> None:
    directory.chmod(mode)
    with pytest.raises(TokenInsecure, match=f"chmod 0700 {directory}"):
        open_token(directory)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_an_open_file_is_refused(directory: Path, mode: int) -> None:
    open_token(directory).generate("a key", Algorithm.ED25519)
    for path in (only_key_file(directory), directory / "token.json"):
        path.chmod(mode)
        with pytest.raises(TokenInsecure, match=f"chmod 0600 {path}"):
            open_token(directory)
        path.chmod(0o600)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_files_of_another_user_are_refused(directory: Path) -> None:
    open_token(directory).generate("a key", Algorithm.ED25519)
    for path in (directory, directory / "token.json", only_key_file(directory)):
        os.chown(path, 12345, -1)
        with pytest.raises(TokenInsecure, match="belongs to user 12345"):
            open_token(directory)
        os.chown(path, os.geteuid(), -1)


def test_a_linked_key_file_is_refused(directory: Path, tmp_path: Path) -> None:
    open_token(directory).generate("a key", Algorithm.ED25519)
    path = only_key_file(directory)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TokenError, match="cannot open"):
        open_token(directory)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("label", "another label"),
        ("algorithm", "p-384"),
        ("created", "2020-01-01T00:00:00+00:00"),
        ("ski", "00" * 20),
        ("public_key", "AAAA"),
        ("sealed", "AAAA"),
    ],
)
def test_an_edited_key_file_does_not_open(directory: Path, field: str, value: str) -> None:
    open_token(directory).generate("a key", Algorithm.P_256)
    path = only_key_file(directory)
    fields = json.loads(path.read_bytes())
    path.write_text(json.dumps({**fields, field: value}))
    with pytest.raises(TokenError, match="damaged"):
        open_token(directory)


def test_key_files_cannot_be_swapped(directory: Path) -> None:
    token = open_token(directory)
    token.generate("a", Algorithm.P_256)
    token.generate("b", Algorithm.P_256)
    first, second = directory.glob("*.key")
    first.write_bytes(second.read_bytes())
    with pytest.raises(TokenError, match="its name says"):
        open_token(directory)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(min_value=0), bit=st.integers(0, 7))
def test_damaged_headers_never_open(directory: Path, position: int, bit: int) -> None:
    path = directory / "token.json"
    content = bytearray(path.read_bytes())
    whole = bytes(content)
    content[position % len(content)] ^= 1 << bit
    path.write_bytes(content)
    try:
        open_token(directory)
    except TokenError:
        pass
    else:
        # White space between the fields may change, and a digit's spelling.
        assert json.loads(content).keys() == json.loads(whole).keys()
    finally:
        path.write_bytes(whole)


def test_a_header_cannot_ask_for_all_memory(directory: Path) -> None:
    path = directory / "token.json"
    fields = json.loads(path.read_bytes())
    path.write_text(json.dumps({**fields, "memory_kib": 1 << 40}))
    with pytest.raises(TokenError, match="unreasonable"):
        open_token(directory)


def test_processes_that_add_keys_at_once_lose_none(directory: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from offload.token.software import SoftwareToken\n"
        "from offload.keys.algorithm import Algorithm\n"
        "token = SoftwareToken.open(Path(sys.argv[1]), b'open sesame')\n"
        "for number in range(10): token.generate(f'{sys.argv[2]}-{number}', Algorithm.P_256)\n"
    )
    arguments = [sys.executable, "-c", script, str(directory)]
    running = [subprocess.Popen([*arguments, name]) for name in "abc"]
    assert [process.wait(30) for process in running] == [0, 0, 0]
    labels = {record.label for record in open_token(directory).keys()}
    assert labels == {f"{name}-{number}" for name in "abc" for number in range(10)}


def test_reload_sees_keys_of_other_processes(directory: Path) -> None:
    serving, managing = open_token(directory), open_token(directory)
    first = managing.generate("first", Algorithm.ED25519)
    second = managing.generate("second", Algorithm.ED25519)
    assert serving.reload()
    assert list(serving.keys()) == [first, second]
    assert serving.sign(second.ski, SignatureScheme.ED25519, b"content")
    assert not serving.reload()
    next(path for path in directory.glob("*.key") if path.stem == first.ski.hex()).unlink()
    assert serving.reload()
    assert list(serving.keys()) == [second]


def test_a_damaged_file_leaves_a_running_token_as_it_was(directory: Path) -> None:
    token = open_token(directory)
    record = token.generate("good", Algorithm.ED25519)
    bad = directory / f"{'00' * 20}.key"
    bad.touch(0o600)
    with pytest.raises(TokenError, match="damaged"):
        token.reload()
    assert list(token.keys()) == [record]


def test_what_a_crash_left_is_cleared_away(directory: Path) -> None:
    left = directory / ".new-0123"
    left.touch(0o600)
    open_token(directory).generate("a key", Algorithm.ED25519)
    assert not left.exists()


@pytest.mark.parametrize("label", ["", "a\nb", "\x1b[31m"])
def test_labels_are_printable(directory: Path, label: str) -> None:
    with pytest.raises(TokenError, match="printable"):
        open_token(directory).generate(label, Algorithm.ED25519)


@pytest.mark.parametrize("label", ["*", "ab" * 20, "AB" * 20])
def test_labels_are_no_wildcard_and_no_identifier(directory: Path, label: str) -> None:
    with pytest.raises(TokenError, match="where keys are granted"):
        open_token(directory).generate(label, Algorithm.ED25519)


def test_repr_shows_no_secret(directory: Path) -> None:
    token = open_token(directory)
    token.generate("a key", Algorithm.ED25519)
    assert repr(token) == f"<SoftwareToken {directory} keys=1>"


def test_the_public_key_is_the_certificates(directory: Path) -> None:
    record = open_token(directory).generate("a key", Algorithm.P_256)
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    key = load_der_public_key(record.public_key)
    assert key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == record.public_key


def test_a_destroyed_key_leaves_no_trace(directory: Path, tmp_path: Path) -> None:
    serving, managing = open_token(directory), open_token(directory)
    record = managing.generate("goes", Algorithm.ED25519)
    kept = managing.generate("stays", Algorithm.ED25519)
    serving.reload()
    # A second name shows what becomes of the blocks that the file had.
    remains = tmp_path / "remains"
    os.link(directory / f"{record.ski.hex()}.key", remains)
    before = remains.read_bytes()
    managing.destroy(record.ski)
    assert list(managing.keys()) == list(open_token(directory).keys()) == [kept]
    after = remains.read_bytes()
    assert len(after) == len(before)
    assert sum(one == other for one, other in zip(after, before, strict=True)) < len(before) // 8
    assert serving.reload()
    assert list(serving.keys()) == [kept]


@pytest.mark.parametrize("when", ["rename", "unlink"])
def test_a_crash_while_a_key_is_destroyed_leaves_no_half_key(
    directory: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    token = open_token(directory)
    record = token.generate("goes", Algorithm.ED25519)

    class Crash(BaseException):
        pass

    def crash(*_arguments: object) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(Path, when, crash)
        with pytest.raises(Crash):
            token.destroy(record.ski)
    again = open_token(directory)
    assert list(again.keys()) == ([record] if when == "rename" else [])
    again.generate("next", Algorithm.ED25519)
    assert not list(directory.glob(".gone-*"))


def test_what_a_crash_left_half_destroyed_is_destroyed(directory: Path, tmp_path: Path) -> None:
    left = directory / ".gone-0123"
    left.touch(0o600)
    left.write_bytes(b"secret" * 10)
    os.link(left, tmp_path / "remains")
    open_token(directory).generate("a key", Algorithm.ED25519)
    assert not left.exists()
    assert b"secret" not in (tmp_path / "remains").read_bytes()


def test_a_key_file_is_unsealed_for_good_when_it_is_used(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = open_token(directory).generate("a key", Algorithm.RSA_2048)
    loaded: list[bytes] = []
    load = PrivateKey.load

    def remember(encoded: bytes, *, strange: bool = False) -> PrivateKey:
        loaded.append(encoded)
        return load(encoded, strange=strange)

    monkeypatch.setattr(PrivateKey, "load", staticmethod(remember))
    token = open_token(directory)
    assert loaded == []
    for _ in range(3):
        token.sign(record.ski, SignatureScheme.RSA_PSS_RSAE_SHA256, b"x")
    assert len(loaded) == 1


def test_transport_keys_are_made_once_and_sealed(directory: Path) -> None:
    assert not (directory / "transport.json").exists()
    made = open_token(directory).transport
    assert open_token(directory).transport == made
    path = directory / "transport.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    fields = json.loads(path.read_bytes())
    path.write_text(json.dumps({**fields, "rsa": "AAAA"}))
    with pytest.raises(TokenError, match="damaged"):
        _ = open_token(directory).transport


def test_an_extractable_key_stays_so_after_reopening(directory: Path) -> None:
    token = open_token(directory)
    token.generate_cluster_key(1)
    stays = token.generate("stays", Algorithm.ED25519, extractable=False)
    goes = token.generate("goes", Algorithm.ED25519)
    again = open_token(directory)
    assert again.cluster_keys() == {1}
    assert again.wrap(goes.ski, 1)
    with pytest.raises(NotExtractable):
        again.wrap(stays.ski, 1)


def test_a_writer_looks_at_the_files_of_others_only(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = open_token(directory)
    token.generate("first", Algorithm.ED25519)
    scans: list[None] = []
    scan = SoftwareToken._scan

    def count(self: SoftwareToken) -> object:
        scans.append(None)
        return scan(self)

    monkeypatch.setattr(SoftwareToken, "_scan", count)
    for number in range(5):
        token.generate(f"more {number}", Algorithm.ED25519)
    assert scans == []
    open_token(directory).generate("another's", Algorithm.ED25519)
    scans.clear()
    assert token.reload()
    assert len(scans) == 1
    assert len(token.keys()) == 7


def test_many_keys_open_at_once(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Waiting for the disk is not what is looked at.
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)
    token = open_token(directory)
    for number in range(300):
        token.generate(f"key {number}", Algorithm.P_256)
    started = time.process_time()
    assert len(open_token(directory).keys()) == 300
    assert time.process_time() - started < 0.5
