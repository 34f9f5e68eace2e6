import os
import sys
from pathlib import Path

import pytest

from bench.process import Process

STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = os.fork()
if child:
    print(child, flush=True)
time.sleep(60)
"""


def test_a_process_that_ignores_the_request_is_ended_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.process.STOP_SECONDS", 0.5)
    log = tmp_path / "log"
    process = Process([sys.executable, "-c", STUBBORN], core=0, log=log)
    while not log.read_text().endswith("\n"):
        assert process.running
    child = int(log.read_text())
    process.stop()
    assert not process.running
    # Reparented, the child may stand as a zombie until it is reaped.
    stat = Path(f"/proc/{child}/stat")
    assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


def test_the_end_of_the_output_is_kept(tmp_path: Path) -> None:
    process = Process(
        [sys.executable, "-c", "print('too bad'); raise SystemExit(1)"],
        core=max(os.sched_getaffinity(0)),
        log=tmp_path / "log",
    )
    while process.running:
        pass
    assert process.last_words() == "too bad"
    process.stop()


def test_nothing_of_ours_is_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENSSL_CONF", "ours")
    monkeypatch.setenv("OFFLOAD_MODULE", "ours")
    monkeypatch.setenv("BENCH_OTHER", "theirs")
    process = Process(
        [sys.executable, "-c", "import os; print(*os.environ)"],
        core=max(os.sched_getaffinity(0)),
        log=tmp_path / "log",
    )
    while process.running:
        pass
    names = process.log.read_text().split()
    process.stop()
    assert "BENCH_OTHER" in names
    assert not {"OPENSSL_CONF", "OFFLOAD_MODULE"} & set(names)
