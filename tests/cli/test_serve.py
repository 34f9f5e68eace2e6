import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from support.processes import Spawner

from offload.cli import main
from offload.config import Settings


@pytest.mark.parametrize("role", ["frontend", "worker"])
def test_dump_prints_the_effective_configuration(
    made_state: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    role: str,
) -> None:
    monkeypatch.setenv(f"OFFLOAD_{role.upper()}__PROCESSES", "7")
    assert main.run([role, "-T", "-c", str(made_state / f"{role}.toml")]) == 0
    table = tomllib.loads(capsys.readouterr().out)
    assert table[role]["processes"] == 7
    assert table["log"] == {"level": "info", "format": "json"}


def test_a_front_end_has_its_environment_before_its_settings(
    made_state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []

    def run(settings: Settings, load: Callable[[], Settings]) -> int:
        assert settings.frontend is not None
        assert load() == settings
        happened.append("run")
        return 3

    monkeypatch.setattr("offload.provider.ensure", lambda: happened.append("ensure"))
    monkeypatch.setattr("offload.provider.check", lambda: happened.append("check"))
    monkeypatch.setattr("offload.frontend.supervisor.run", run)
    monkeypatch.setattr("offload.observe.log.configure", lambda *_: happened.append("log"))
    assert main.run(["frontend", "-c", str(made_state / "frontend.toml")]) == 3
    assert happened == ["ensure", "check", "log", "run"]


@pytest.mark.parametrize("step", ["ensure", "check"])
def test_a_provider_that_does_not_load_is_said(
    made_state: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    from offload.provider import ProviderUnavailable

    def fail() -> None:
        raise ProviderUnavailable("the provider did not load: mend it")

    monkeypatch.setattr("offload.provider.ensure", lambda: None)
    monkeypatch.setattr(f"offload.provider.{step}", fail)
    assert main.run(["frontend", "-c", str(made_state / "frontend.toml")]) == 1
    assert capsys.readouterr().err == "offload: error: the provider did not load: mend it\n"


def test_a_worker_with_a_wrong_passphrase_says_so(state_directory: Path, spawn: Spawner) -> None:
    (state_directory / "token.passphrase").write_text("wrong\n")
    worker = spawn(sys.executable, "-m", "offload", "worker", "-c", state_directory / "worker.toml")
    assert worker.wait() == 1
    assert "passphrase" in worker.output
    assert "Traceback" not in worker.output


@pytest.mark.parametrize("role", ["frontend", "worker"])
def test_a_port_in_use_is_said(state_directory: Path, spawn: Spawner, role: str) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        path = state_directory / f"{role}.toml"
        old = "127.0.0.1:8443" if role == "frontend" else "127.0.0.1:2407"
        path.write_text(path.read_text().replace(old, f"127.0.0.1:{port}"))
        started = spawn(sys.executable, "-m", "offload", role, "-c", path)
        assert started.wait() == 1
    assert str(port) in started.output
    assert "in use" in started.output
    assert "Traceback" not in started.output
