import subprocess
from pathlib import Path

import pytest

from offload.cli import state
from offload.cli.failure import Failure
from offload.config import SoftwareTokenSettings, load


def test_secrets_are_their_owners_alone(made_state: Path) -> None:
    assert made_state.stat().st_mode & 0o777 == 0o700
    secrets = [
        *made_state.glob("authority/*.key"),
        *made_state.glob("identities/*.key"),
        *made_state.glob("token/*.key"),
        made_state / "token.passphrase",
    ]
    assert len(secrets) == 1 + 2 + 2 + 1
    for path in secrets:
        assert path.stat().st_mode & 0o777 == 0o600, path


def test_no_site_key_lies_in_a_plain_file(made_state: Path) -> None:
    plain = [
        path.relative_to(made_state)
        for path in made_state.rglob("*")
        if path.is_file() and b"PRIVATE KEY" in path.read_bytes()
    ]
    assert {path.parts[0] for path in plain} == {"authority", "identities"}


def test_site_certificates_are_of_an_authority_of_their_own(made_state: Path) -> None:
    def verified(authority: str, name: str) -> bool:
        command = ["openssl", "verify", "-x509_strict", "-CAfile", authority, name]
        return subprocess.run(command, cwd=made_state, capture_output=True).returncode == 0

    for label in state.KEYS:
        assert verified("certificates/authority.pem", f"certificates/{label}.pem")
        assert not verified("authority/authority.pem", f"certificates/{label}.pem")
    assert verified("authority/authority.pem", "identities/worker-1.pem")
    assert not list(made_state.glob("certificates/*.key"))


def test_it_may_be_moved(state_directory: Path) -> None:
    moved = state_directory.rename(state_directory.parent / "elsewhere")
    settings = load(moved / "worker.toml", environment={})
    assert settings.worker is not None
    token = settings.worker.token
    assert isinstance(token, SoftwareTokenSettings)
    assert token.directory == moved / "token"


def test_each_worker_has_its_own_identity_and_file(tmp_path: Path) -> None:
    workers = {
        name: state.WorkerPlan(f"127.0.0.1:{port}", f"127.0.0.1:{port + 1}", f"{name}.toml", 1)
        for name, port in {"a": 1000, "b": 2000}.items()
    }
    state.create(tmp_path / "state", state.Plan(workers=workers))
    front_end = load(tmp_path / "state" / "frontend.toml", environment={}).frontend
    assert front_end is not None
    assert [worker.name for worker in front_end.pool.workers] == ["a", "b"]
    for name in workers:
        worker = load(tmp_path / "state" / f"{name}.toml", environment={}).worker
        assert worker is not None
        assert (worker.name, worker.processes) == (name, 1)


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    with pytest.raises(Failure, match="exists already"):
        state.create(tmp_path, state.Plan())
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(state, "write_secret", fail)
    with pytest.raises(OSError, match="no space left"):
        state.create(tmp_path / "state", state.Plan())
    assert list(tmp_path.iterdir()) == []


def test_an_empty_directory_may_be_used(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    state.create(tmp_path / "state", state.Plan())
    assert (tmp_path / "state" / "frontend.toml").exists()
