from pathlib import Path

import pytest
from pydantic import ValidationError
from support.configuration import FRONTEND, WORKER, loaded, problems

from offload.config import Log


def test_defaults_are_those_of_the_documentation(file: Path) -> None:
    settings = loaded(file, FRONTEND + WORKER)
    front_end, worker = settings.frontend, settings.worker
    assert front_end is not None
    assert worker is not None
    assert settings.log == Log(level="info", format="json")
    assert (front_end.processes, front_end.backlog, front_end.admin) == (0, 4096, None)
    assert front_end.handshake_timeout == 10.0
    assert front_end.idle_timeout == 300.0
    assert front_end.drain_timeout == 30.0
    assert (front_end.pool.deadline, front_end.pool.links) == (5.0, 1)
    assert front_end.pool.verify == "sample"
    site = front_end.sites[0]
    assert (site.default, site.alpn, site.min_version) == (False, (), "1.2")
    assert (site.tickets, site.proxy_protocol) == (True, False)
    assert site.groups == ("X25519MLKEM768", "X25519", "P-256", "P-384")
    assert (worker.processes, worker.threads, worker.plain_digests) == (0, 4, False)
    assert worker.drain_timeout == 10.0


def test_settings_cannot_be_changed(file: Path) -> None:
    settings = loaded(file, FRONTEND)
    with pytest.raises(ValidationError):
        setattr(settings, "log", Log())  # noqa: B010 - the type checker forbids it too


def test_nothing_to_run_is_refused(file: Path) -> None:
    assert "configures nothing to run" in problems(file, "")[0]
