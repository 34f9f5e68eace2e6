"""scripts/setup says exactly what a machine is missing, and to whom it may say it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

# Answers what the script asks an interpreter, and has neither venv nor headers.
_BARE_PYTHON = """#!/bin/sh
case "$*" in
*"version_info < (3, 11)"*) exit 0 ;;
*"print("*) echo python3.11 ;;
*) exit 1 ;;
esac
"""
_OLD_PYTHON = "#!/bin/sh\nexit 1\n"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A copy of the script, and a bin/ that is all that it finds on its PATH."""
    (tmp_path / "scripts").mkdir()
    source = Path(__file__).parent.parent.parent / "scripts" / "setup"
    shutil.copy(source, tmp_path / "scripts" / "setup")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "dirname").symlink_to(shutil.which("dirname") or "/usr/bin/dirname")
    return tmp_path


def _install(machine: Path, name: str, script: str = "#!/bin/sh\nexit 0\n") -> None:
    path = machine / "bin" / name
    path.write_text(script)
    path.chmod(0o755)


def _run(machine: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PYTHON", "CC")
    }
    return subprocess.run(
        ["/bin/sh", machine / "scripts" / "setup"],
        env={**environment, "PATH": str(machine / "bin")},
        capture_output=True,
        text=True,
        timeout=20,
    )


def test_old_python_is_not_enough(machine: Path) -> None:
    _install(machine, "python3", _OLD_PYTHON)
    ran = _run(machine)
    assert ran.returncode == 1
    assert ran.stderr.startswith("setup: no Python >= 3.11 found: install one, or name it")


def test_without_root_the_command_is_told(machine: Path) -> None:
    _install(machine, "python3", _BARE_PYTHON)
    _install(machine, "apt-get")
    _install(machine, "id", "#!/bin/sh\necho 1000\n")
    _install(machine, "sudo", "#!/bin/sh\nexit 1\n")
    ran = _run(machine)
    assert ran.returncode == 1
    assert "run 'sudo apt-get install python3.11-venv python3.11-dev gcc libc6-dev'" in ran.stderr


def test_without_apt_the_packages_are_told(machine: Path) -> None:
    _install(machine, "python3", _BARE_PYTHON)
    _install(machine, "cc")
    ran = _run(machine)
    assert ran.returncode == 1
    assert ran.stderr.startswith("setup: missing: python3.11-venv python3.11-dev: install")


def test_with_sudo_they_are_installed(machine: Path) -> None:
    _install(machine, "python3", _BARE_PYTHON)
    _install(machine, "cc")
    _install(machine, "id", "#!/bin/sh\necho 1000\n")
    _install(machine, "apt-get")
    _install(machine, "sudo", f'#!/bin/sh\nprintf "%s\\n" "$*" >> {machine}/asked\n')
    _install(machine, "rm")
    ran = _run(machine)
    asked = (machine / "asked").read_text().splitlines()
    assert asked[0] == "-n true"
    assert asked[1] == "-n apt-get update -qq"
    assert asked[2].endswith("--no-install-recommends python3.11-venv python3.11-dev")
    # The stand-in for an interpreter makes no venv: the script must stop there.
    assert ran.returncode != 0
