import json
from pathlib import Path

import pytest
from support.configuration import FRONTEND, WORKER, loaded, problems

from offload.config import ConfigurationError, Listener, load


def test_relative_paths_are_relative_to_the_file(file: Path) -> None:
    settings = loaded(file, FRONTEND.replace('"fe.key"', '"/etc/fe.key"'))
    assert settings.frontend is not None
    assert settings.frontend.pool.trust == file.parent / "ca.pem"
    assert settings.frontend.pool.identity.key == Path("/etc/fe.key")
    assert settings.frontend.sites[0].certificates == (file.parent / "site.pem",)


def test_a_role_reads_its_own_table_only(file: Path) -> None:
    file.write_text(FRONTEND + WORKER)
    alone = load(file, role="worker", environment={}, files=False)
    assert alone.frontend is None
    assert alone.worker is not None
    file.write_text(FRONTEND)
    with pytest.raises(ConfigurationError, match="worker: is missing; add a"):
        load(file, role="worker", environment={}, files=False)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[frontend", "is not TOML: expected ']'"),
        (b"a = 1\na = 2\n", "is not TOML: cannot overwrite a value"),
        (b"# \xff\n", "is not UTF-8 text; save it as UTF-8"),
    ],
)
def test_what_is_no_toml_is_refused(file: Path, content: bytes, said: str) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=said.replace("[", r"\[")):
        load(file)


def test_a_file_that_is_not_there_is_said(file: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: no such file or directory"):
        load(file)


def test_the_environment_overrides_the_file(file: Path) -> None:
    environment = {
        "OFFLOAD_FRONTEND__PROCESSES": "3",
        "OFFLOAD_FRONTEND__POOL__DEADLINE": "1.5",
        "OFFLOAD_FRONTEND__LISTEN": json.dumps(["127.0.0.1:1"]),
        "OFFLOAD_LOG__FORMAT": "text",
        "OFFLOAD_MODULE": "not a setting",
        "OFFLOAD_OTHER__THING": "not a setting",
        "PATH": "/bin",
    }
    settings = loaded(file, FRONTEND, environment)
    assert settings.frontend is not None
    assert settings.frontend.processes == 3
    assert settings.frontend.pool.deadline == 1.5
    assert settings.frontend.listen == (Listener.parse("127.0.0.1:1"),)
    assert settings.log.format == "text"


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("OFFLOAD_FRONTEND__PROCESES", "3", "frontend.proceses: unknown key; did you mean"),
        ("OFFLOAD_FRONTEND__LISTEN", "[1", "frontend.listen: is not a list"),
        ("OFFLOAD_LOG__LEVEL", "loud", "log.level: 'loud' is not valid"),
    ],
)
def test_the_environment_is_checked_too(file: Path, variable: str, value: str, said: str) -> None:
    assert said in problems(file, FRONTEND, {variable: value})[0]


def test_variables_of_the_other_role_do_no_harm(file: Path) -> None:
    file.write_text(FRONTEND)
    environment = {"OFFLOAD_WORKER__PROCESSES": "2", "OFFLOAD_FRONTEND__PROCESSES": "3"}
    settings = load(file, role="frontend", environment=environment, files=False)
    assert settings.worker is None
    assert settings.frontend is not None
    assert settings.frontend.processes == 3
