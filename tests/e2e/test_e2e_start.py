"""What cannot start says why in plain words and ends with 1, or with 2 where it is used wrongly."""

import shutil
import socket
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from support.chain import PROCESSES, State, offload
from support.pki import PKI
from support.processes import Spawned, Spawner

ROLES = ("frontend", "worker")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> State:
    return State(tmp_path_factory.mktemp("made") / "state", ("worker-1",))


@pytest.fixture
def directory(made: State, tmp_path: Path) -> Path:
    """A state directory of the test's own; the worker's file is called worker.toml."""
    copied = Path(shutil.copytree(made.directory, tmp_path / "state"))
    (copied / "worker-1.toml").replace(copied / "worker.toml")
    return copied


def _change(role: str, old: str, new: str) -> Callable[[Path], None]:
    def spoil(directory: Path) -> None:
        path = directory / f"{role}.toml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return spoil


def _append(role: str, text: str) -> Callable[[Path], None]:
    def spoil(directory: Path) -> None:
        path = directory / f"{role}.toml"
        path.write_text(path.read_text() + text)

    return spoil


def _remove(name: str) -> Callable[[Path], None]:
    def spoil(directory: Path) -> None:
        path = directory / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return spoil


def _write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda directory: _overwrite(directory / name, content)


def _overwrite(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _mode(name: str, mode: int) -> Callable[[Path], None]:
    return lambda directory: (directory / name).chmod(mode)


def _swap(name: str, other: str) -> Callable[[Path], None]:
    return lambda directory: _overwrite(directory / name, (directory / other).read_bytes())


CASES = {
    "no file": ("frontend", _remove("frontend.toml"), "cannot be read: no such file"),
    "not TOML": ("frontend", _append("frontend", "\n]["), "is not TOML"),
    "not text": ("worker", _write("worker.toml", b"\xff\xfe"), "is not UTF-8 text"),
    "no table": ("frontend", _swap("frontend.toml", "worker.toml"), "frontend: is missing"),
    "unknown key": (
        "frontend",
        _change("frontend", "processes =", "proceses ="),
        "did you mean 'processes'?",
    ),
    "wrong type": ("worker", _change("worker", "processes = 1", 'processes = "x"'), "processes"),
    "out of range": ("worker", _change("worker", "processes = 1", "processes = -1"), "processes"),
    "missing key": ("worker", _change("worker", "name = ", "#name = "), "worker.name: is missing"),
    "bad address": (
        "worker",
        _change("worker", 'listen = "127.0.0.1:', 'listen = "127.0.0.1/'),
        "has no port",
    ),
    "bad backend": ("frontend", _change("frontend", "tcp://", "http://"), "backends"),
    "no certificate": (
        "frontend",
        _remove("certificates/localhost-rsa.pem"),
        "localhost-rsa.pem",
    ),
    "spoilt certificate": (
        "frontend",
        _write("certificates/localhost-rsa.pem", b"rubbish"),
        "localhost-rsa.pem",
    ),
    "foreign identity key": (
        "frontend",
        _swap("identities/frontend-1.key", "identities/worker-1.key"),
        "frontend-1.key",
    ),
    "open identity key": ("frontend", _mode("identities/frontend-1.key", 0o644), "chmod 600"),
    "no trust": ("worker", _remove("authority/authority.pem"), "authority.pem"),
    "no token": ("worker", _remove("token"), "token"),
    "open token": ("worker", _mode("token", 0o755), "chmod 0700"),
    "wrong passphrase": ("worker", _write("token.passphrase", b"wrong\n"), "wrong passphrase"),
    "no passphrase": ("worker", _remove("token.passphrase"), "token.passphrase"),
    "open passphrase": ("worker", _mode("token.passphrase", 0o644), "chmod 600"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_said(directory: Path, spawn: Spawner, case: str) -> None:
    role, spoil, message = CASES[case]
    spoil(directory)
    started = spawn(*offload(role, "-c", directory / f"{role}.toml"))
    assert started.wait(45) == 1
    assert message in started.output
    _assert_plain(started)


@pytest.mark.parametrize("key", ["listen", "admin"])
@pytest.mark.parametrize("role", ROLES)
def test_a_port_in_use_is_said(made: State, spawn: Spawner, role: str, key: str) -> None:
    name = "frontend" if role == "frontend" else "worker-1"
    table = tomllib.loads((made.directory / f"{name}.toml").read_text())[role]
    address = table[key][0] if isinstance(table[key], list) else table[key]
    with socket.create_server(("127.0.0.1", int(address.rpartition(":")[2]))):
        started = spawn(*offload(role, "-c", made.directory / f"{name}.toml"))
        assert started.wait(45) == 1
    assert address in started.output
    assert "in use" in started.output
    _assert_plain(started)


@pytest.mark.parametrize(
    "arguments",
    [["no-such-command"], ["frontend", "--no-such-option"], ["check"], ["key", "show"]],
)
def test_wrong_usage_ends_with_2(spawn: Spawner, arguments: list[str]) -> None:
    started = spawn(*offload(*arguments))
    assert started.wait(45) == 2
    assert "--help'" in started.output
    _assert_plain(started)


def test_a_good_configuration_is_called_good(made: State, spawn: Spawner) -> None:
    front_end, worker = str(made.directory / "frontend.toml"), str(made.directory / "worker-1.toml")
    for arguments in (
        ["check", front_end],
        ["check", worker],
        ["frontend", "-t", "-c", front_end],
        ["worker", "-t", "-c", worker],
    ):
        started = spawn(*offload(*arguments))
        assert started.wait(45) == 0
        assert started.output.endswith(": the configuration is good\n")


def test_what_is_printed_as_effective_can_be_used(
    made: State, directory: Path, spawn: Spawner
) -> None:
    printed = spawn(*offload("frontend", "-T", "-c", made.directory / "frontend.toml"))
    assert printed.wait(45) == 0
    settings = tomllib.loads(printed.output)["frontend"]
    assert settings["processes"] == PROCESSES
    assert settings["handshake_timeout"] == 10.0
    (directory / "printed.toml").write_text(printed.output)
    again = spawn(*offload("frontend", "-T", "-c", directory / "printed.toml"))
    assert again.wait(45) == 0
    assert tomllib.loads(again.output)["frontend"] == settings


def test_check_tells_every_problem_at_once(directory: Path, spawn: Spawner) -> None:
    _remove("certificates/localhost-rsa.pem")(directory)
    _mode("identities/frontend-1.key", 0o644)(directory)
    started = spawn(*offload("check", directory / "frontend.toml"))
    assert started.wait(45) == 1
    assert started.output.count("offload: error: ") == 2
    _assert_plain(started)


def test_an_expired_certificate_is_warned_of(directory: Path, spawn: Spawner, pki: PKI) -> None:
    expired = pki.identity("localhost", days=-1)
    _overwrite(directory / "certificates/localhost-p256.pem", expired.chain_pem)
    started = spawn(*offload("check", directory / "frontend.toml"))
    assert started.wait(45) == 0
    assert "offload: warning: " in started.output
    assert "expired" in started.output


def _assert_plain(started: Spawned) -> None:
    """No traceback, and every line says who speaks."""
    assert "Traceback" not in started.output
    assert "unexpected" not in started.output
    for line in started.output.splitlines():
        assert line.startswith(("offload", "{")), started.output
