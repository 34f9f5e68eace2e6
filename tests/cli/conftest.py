import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from support.commands import Commands, Running, found

from offload.cli import state
from offload.token.sealing import Cost


@pytest.fixture(scope="session", autouse=True)
def _cheap_passphrases() -> Iterator[None]:
    """Tokens whose passphrase costs next to nothing to try: the tests open dozens."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("offload.token.software.Cost", lambda: Cost(64, 1, 1))
        yield


@pytest.fixture(scope="session")
def made_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory that tests read only."""
    directory = tmp_path_factory.mktemp("made") / "state"
    state.create(directory, state.Plan())
    return directory


@pytest.fixture
def state_directory(made_state: Path, tmp_path: Path) -> Path:
    """A state directory of the test's own."""
    return Path(shutil.copytree(made_state, tmp_path / "state"))


@pytest.fixture(scope="session")
def made_cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cluster's directory that tests copy."""
    directory = tmp_path_factory.mktemp("founded") / "cluster"
    found(directory)
    return directory


@pytest.fixture
def cluster(made_cluster: Path, tmp_path: Path) -> Path:
    """A cluster's directory of the test's own."""
    return Path(shutil.copytree(made_cluster, tmp_path / "cluster"))


@pytest.fixture
def embedded(
    cluster: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Commands]:
    """Commands that act in this process, on `cluster`."""
    monkeypatch.setattr("offload.observe.log.configure", lambda *_: None)
    with structlog.testing.capture_logs():
        yield Commands(capsys, "-c", str(cluster / "worker.toml"))


@pytest.fixture(scope="module")
def running(made_cluster: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A worker that serves REST to the tests of a file."""
    directory = tmp_path_factory.mktemp("running") / "cluster"
    shutil.copytree(made_cluster, directory)
    with structlog.testing.capture_logs(), Running(directory) as made:
        yield made


@pytest.fixture
def officer(running: Running, capsys: pytest.CaptureFixture[str]) -> Commands:
    """Commands of an officer, who asks `running`."""
    return Commands(capsys, "--client", str(running.directory / "client.toml"))


@pytest.fixture
def key_user(running: Running, capsys: pytest.CaptureFixture[str]) -> Commands:
    """Commands of a key user, who asks `running`."""
    return Commands(capsys, "--client", str(running.directory / "client-kim.toml"))
