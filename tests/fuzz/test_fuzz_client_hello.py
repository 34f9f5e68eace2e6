import subprocess
import sys
from pathlib import Path

TARGET = Path(__file__).parent / "fuzz_client_hello.py"


def test_a_short_run_finds_nothing() -> None:
    run = subprocess.run(
        [sys.executable, TARGET, "--runs", "3000"],
        check=False,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert run.returncode == 0, run.stderr
