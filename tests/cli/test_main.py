"""Transcripts: what the command says, and its exit code, for good and for bad input.

A transcript holds commands after `$ `, each followed by what it writes: standard output, then
standard error, and `[N]` for an exit code that is not 0. DIR stands for a state directory.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from offload.cli import main
from offload.version import __version__

TRANSCRIPTS = Path(__file__).parent / "transcripts"


@pytest.mark.parametrize("name", sorted(path.stem for path in TRANSCRIPTS.glob("*.txt")))
def test_transcript(
    name: str,
    state_directory: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(state_directory.parent)
    expected = (TRANSCRIPTS / f"{name}.txt").read_text()
    lines = []
    for line in expected.splitlines():
        if line.startswith("$ "):
            lines += [line, *played(line, state_directory, capsys)]
    assert "\n".join(lines) + "\n" == expected


def played(line: str, directory: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    command, *words = line.removeprefix("$ ").replace("DIR", str(directory)).split()
    assert command == "offload"
    code = main.run(words)
    output, errors = capsys.readouterr()
    text = (output + errors).replace(str(directory), "DIR")
    # What differs from run to run: identifiers and dates.
    text = re.sub(r"\b[0-9a-f]{40}\b", "ID", text)
    text = re.sub(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}(:\d{2})?", "DATE", text)
    lines = [line.rstrip() for line in text.splitlines()]
    return [*lines, f"[{code}]"] if code else lines


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--version"]) == 0
    assert capsys.readouterr().out == f"offload {__version__}\n"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--help"]) == 0
    output = capsys.readouterr().out
    groups = ("key", "certificate", "cluster", "user", "approval", "audit")
    for command in ("init", "frontend", "worker", "check", "demo", *groups):
        assert f"  {command} " in output


@pytest.mark.parametrize("arguments", [["--help"], ["frontend", "--help"], ["demo", "--help"]])
def test_help_loads_no_cryptography(arguments: list[str]) -> None:
    program = (
        "import sys; from offload.cli.main import run; code = run(sys.argv[1:]);"
        "heavy = {'cryptography', 'OpenSSL', 'aiohttp', 'rich', 'offload.config'};"
        "print('loaded', *sorted(heavy & sys.modules.keys())); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "loaded"


def test_the_module_is_the_command() -> None:
    command = [sys.executable, "-m", "offload", "bogus"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("offload: error: no such command 'bogus'\n")


def test_a_defect_is_said_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("offload.config.load", fail)
    monkeypatch.delenv(main.TRACEBACK_VARIABLE, raising=False)
    assert main.run(["check", "x"]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == "offload: error: unexpected RuntimeError: two lines"
    assert second.startswith("offload: hint: this is a defect")
    monkeypatch.setenv(main.TRACEBACK_VARIABLE, "1")
    with pytest.raises(RuntimeError):
        main.run(["check", "x"])


_DUMPABLE = """
import atexit, ctypes, sys
from offload.cli import main
atexit.register(lambda: print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)))
main.main()
"""


@pytest.mark.parametrize(
    ("command", "dumpable"), [("key", "0"), ("worker", "0"), ("frontend", "1")]
)
def test_what_may_hold_keys_leaves_no_core_file(command: str, dumpable: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _DUMPABLE, command, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == dumpable
