import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

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
