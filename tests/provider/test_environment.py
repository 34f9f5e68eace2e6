"""The environment that loads the provider: given, ensured, checked, and what is said without it."""

import json
from pathlib import Path

import pytest
from support.fresh_process import run_python

from offload.provider import environment

REPORT = (
    "import json, os, sys; import offload.provider as provider; provider.ensure();"
    "print(json.dumps([os.getpid(), sys.argv, sys.flags.dev_mode,"
    " os.environ['OPENSSL_CONF'], os.environ['OFFLOAD_MODULE']]))"
)
WITHOUT = {"OPENSSL_CONF": None, "OFFLOAD_MODULE": None}
CHECK = "import offload.provider as p\ntry: p.check()\nexcept p.ProviderUnavailable as e: print(e)"


def test_the_environment_names_files_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENSSL_CONF", raising=False)
    named = environment()
    assert set(named) == {"OPENSSL_CONF", "OFFLOAD_MODULE"}
    assert all(Path(path).is_file() for path in named.values())


def test_an_operators_configuration_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENSSL_CONF", "/etc/ssl/fips.cnf")
    assert environment()["OPENSSL_CONF"] == "/etc/ssl/fips.cnf"


@pytest.mark.parametrize("form", ["code", "file", "module"])
def test_a_process_starts_again_with_its_flags_and_arguments(form: str, tmp_path: Path) -> None:
    script = tmp_path / "report.py"
    script.write_text(REPORT)
    start: dict[str, tuple[str | Path, ...]] = {
        "code": ("-c", REPORT),
        "file": (script,),
        "module": ("-m", "report"),
    }
    search = {**WITHOUT, "PYTHONPATH": f"{Path(__file__).parent.parent.parent}:{tmp_path}"}

    done = run_python("-X", "dev", *start[form], "--one", "two words", env=search)

    assert done.returncode == 0, done.stderr
    _, argv, dev_mode, configuration, module = json.loads(done.stdout)
    assert argv[1:] == ["--one", "two words"]
    assert dev_mode
    assert {"OPENSSL_CONF": configuration, "OFFLOAD_MODULE": module} == environment()


def test_a_process_with_the_environment_goes_on() -> None:
    code = "import os; os.execve = None; import offload.provider as p; p.ensure(); print('on')"
    assert run_python("-c", code).stdout == "on\n"


def test_an_environment_that_does_not_last_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os; os.environ.pop('OPENSSL_CONF', None)")
    search = {**WITHOUT, "PYTHONPATH": f"{tmp_path}:{Path(__file__).parent.parent.parent}"}

    done = run_python("-c", "import offload.provider as p; p.ensure()", env=search)

    assert done.returncode == 1
    assert "taken out of the environment as Python starts" in done.stderr


def test_a_process_without_the_environment_is_told_how_to_get_it() -> None:
    done = run_python("-c", CHECK, env=WITHOUT)
    assert "started without OPENSSL_CONF and OFFLOAD_MODULE: use the offload command" in done.stdout


def test_a_library_in_use_before_is_told() -> None:
    code = (
        "import os, offload.provider as p; from OpenSSL import SSL; SSL.Context(SSL.TLS_METHOD);"
        "os.environ.update(p.environment())\n" + CHECK
    )
    done = run_python("-c", code, env=WITHOUT)
    assert "did not load the provider" in done.stdout
    assert "in use before OPENSSL_CONF was set" in done.stdout


def test_an_operators_configuration_is_told_the_lines_that_it_lacks(tmp_path: Path) -> None:
    own = tmp_path / "own.cnf"
    own.write_text(
        "openssl_conf = here\n[here]\nproviders = mine\n[mine]\ndefault = d\n[d]\nactivate = 1\n"
    )

    told = run_python("-c", CHECK, env={"OPENSSL_CONF": str(own)}).stdout

    assert f"OPENSSL_CONF is {own}, which does not load the provider" in told
    assert "offload = offload_module" in told
    own.write_text(
        own.read_text().replace("default = d\n", "default = d\noffload = offload_module\n")
        + "[offload_module]\nmodule = $ENV::OFFLOAD_MODULE\nactivate = 1\n"
    )
    assert run_python("-c", CHECK, env={"OPENSSL_CONF": str(own)}).stdout == ""


def test_a_module_that_is_not_the_one_python_has_is_told(tmp_path: Path) -> None:
    copy = tmp_path / "_native.abi3.so"
    copy.write_bytes(Path(environment()["OFFLOAD_MODULE"]).read_bytes())

    told = run_python("-c", CHECK, env={"OFFLOAD_MODULE": str(copy)}).stdout

    assert f"OpenSSL loaded the provider from {copy}" in told


def test_a_module_that_is_not_built_is_told() -> None:
    code = "import sys; sys.modules['offload.provider._native'] = None\n" + CHECK
    told = run_python("-c", code).stdout
    assert "offload.provider._native is not built: run `pip install .`" in told
