"""What is missing is named; in CI a skipped test is a failed one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_TESTS = Path(__file__).parent.parent

_MARKED = """
import pytest

@pytest.mark.needs("sh", "no-such-program")
def test_marked():
    pass

@pytest.mark.needs("libno-such-library.so.1")
def test_library():
    pass

@pytest.mark.needs("sh", "libc.so.6")
def test_satisfied():
    pass
"""
_EXPECTED_FAILURE = """
import pytest

@pytest.mark.xfail(reason="known", strict=True)
def test_known():
    assert False
"""
_SKIPPED_MODULE = 'import pytest; pytest.skip("not here", allow_module_level=True)'


def _run(directory: Path, source: str, ci: str) -> subprocess.CompletedProcess[str]:
    (directory / "test_inner.py").write_text(source)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "support.requirements", "-ra", "test_inner.py"],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(_TESTS), "CI": ci},
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_missing_program_is_named(tmp_path: Path) -> None:
    ran = _run(tmp_path, _MARKED, ci="")
    assert ran.returncode == 0
    assert "1 passed, 2 skipped" in ran.stdout
    assert "missing no-such-program: run scripts/peers" in ran.stdout
    assert "missing libno-such-library.so.1: run scripts/peers" in ran.stdout


@pytest.mark.parametrize("source", [_MARKED, _SKIPPED_MODULE], ids=["marker", "module"])
def test_skip_fails_in_ci(tmp_path: Path, source: str) -> None:
    ran = _run(tmp_path, source, ci="true")
    assert ran.returncode != 0
    assert "nothing may be skipped in CI" in ran.stdout


def test_expected_failure_is_no_skip(tmp_path: Path) -> None:
    ran = _run(tmp_path, _EXPECTED_FAILURE, ci="true")
    assert ran.returncode == 0, ran.stdout
    assert "1 xfailed" in ran.stdout
