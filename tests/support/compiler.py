"""Builds C programs for tests, under AddressSanitizer and UndefinedBehaviorSanitizer."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent.parent
PROVIDER = REPOSITORY / "offload" / "provider"

_FLAGS = (
    *("-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-Wpedantic", "-Wshadow"),
    *("-Wconversion", "-fno-omit-frame-pointer", f"-I{PROVIDER}"),
)
_SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def build_sanitized(program: Path, *sources: Path) -> None:
    """Compile and link `program`; skips the test where there is no compiler or no sanitizer."""
    compiler = os.environ.get("CC", "gcc")
    if shutil.which(compiler) is None:
        pytest.skip(f"missing {compiler}: install gcc, or set CC")
    probe = program.with_suffix(".probe.c")
    probe.write_text("int main(void) { return 0; }\n")
    if _compile(compiler, program, probe).returncode != 0:
        pytest.skip(f"missing libasan or libubsan for {compiler}: install libgcc-dev")
    done = _compile(compiler, program, *sources)
    assert done.returncode == 0, done.stderr


def run_sanitized(*command: str | Path) -> None:
    """Run a program; anything that a sanitizer finds, a leak too, fails the test."""
    options = {
        "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    done = subprocess.run(
        list(map(str, command)),
        env={**os.environ, **options},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}{done.stderr}"


def _compile(compiler: str, program: Path, *sources: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [compiler, *_FLAGS, *_SANITIZERS, "-o", str(program), *map(str, sources)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
