"""One chain for all tests that leave it as it was; a factory for those that do not."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.chain import Chain, State
from support.pki import ALGORITHMS, PKI
from support.processes import Spawner

_HERE = Path(__file__).parent

# Real processes on a busy machine; what waits for them gives up earlier, and says for what.
_TIMEOUT_SECONDS = 150


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_TIMEOUT_SECONDS))


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory, pki: PKI) -> Iterator[Chain]:
    """A site of each algorithm, called `ALGORITHM.test`, none the default, and some others:

    localhost (P-256 and RSA), unix.test (its backend on a Unix socket), spare.test (its backend at
    `state.spare_port`), orphan.test (no worker has its key).
    """
    directory = tmp_path_factory.mktemp("chain")
    state = State(directory / "state")
    # RSA last, the largest at the end: a token with large RSA keys takes long to open.
    for algorithm in sorted(ALGORITHMS):
        state.add_site(f"{algorithm}.test", state.add_key(algorithm, f"{algorithm}.test"))
    certificates = state.directory / "certificates"
    state.front_end["frontend"]["sites"][0]["default"] = False
    state.add_site(
        "unix.test", certificates / "p-256.test.pem", backends=[f"unix://{state.socket_path}"]
    )
    state.add_site(
        "spare.test",
        certificates / "localhost-p256.pem",
        backends=[f"tcp://127.0.0.1:{state.spare_port}"],
    )
    state.add_site("orphan.test", pki.site("orphan.test").certificate_path)
    # Signatures are counted: none is asked for twice, nor refused while tests stop all workers.
    state.front_end["frontend"]["pool"] |= {"hedge_budget": 0.0, "outage_grace": 30.0}
    state.write()
    spawner = Spawner(directory)
    try:
        chain = Chain(state, spawner)
        chain.until_linked()
        yield chain
    finally:
        spawner.stop()


@pytest.fixture
def make_state(tmp_path: Path) -> Callable[[], State]:
    """A state directory of the test's own."""
    return lambda: State(tmp_path / "state")
