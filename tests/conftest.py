"""Fixtures of general use; the helpers behind them are in tests/support."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from support.pki import PKI
from support.ports import free_port
from support.processes import Spawner

from offload import provider

pytest_plugins = ["support.requirements"]

# The same examples on every run; `make fuzz` looks further.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("fuzz", max_examples=10_000, deadline=None)
settings.load_profile("repeatable")

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture
def port() -> int:
    """A free TCP port on 127.0.0.1."""
    return free_port()


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PKI:
    """The test run's own certificate authority."""
    return PKI(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Spawner]:
    """Start real processes that end with the test: `spawn("nginx", "-c", path)`."""
    spawner = Spawner(tmp_path)
    yield spawner
    spawner.stop()


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the work tree."""
    return REPOSITORY


def pytest_configure(config: pytest.Config) -> None:
    """Start again with OpenSSL's configuration in the environment: the provider loads by it."""
    if all(os.environ.get(name) == value for name, value in provider.environment().items()):
        return
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        capture.stop_global_capturing()  # or what the new process prints would be lost
    provider.ensure()
