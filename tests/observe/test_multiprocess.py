"""Processes of one command share their metrics; each case runs in a fresh interpreter."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from offload.observe import multiprocess

_FORK = """
import os, sys
from pathlib import Path
from offload.observe import multiprocess
where = multiprocess.prepare(Path(sys.argv[1]))
from offload.observe import exposition, metrics

def child():
    metrics.CONNECTIONS_ACCEPTED.labels().inc(2)
    metrics.CONNECTIONS.labels("relay").set(5)
    metrics.SIGNING_SECONDS.labels("one", "p-256").observe(0.003)
    metrics.POOL_MEASURED_RATE.labels("one").set(7)
    metrics.flush()

def fork():
    pid = os.fork()
    if not pid:
        child()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    return pid

SHOWN = ("offload_connections", "offload_open", "offload_signing_seconds_count", "offload_pool")

def show(when):
    for line in sorted(exposition.render().decode().splitlines()):
        if line.startswith(SHOWN):
            print(when, line)

metrics.PROCESS_RESTARTS.labels("frontend").inc()
metrics.flush()
first, second = fork(), fork()
show("both")
multiprocess.mark_dead(first)
show("one")
multiprocess.remove(where)
print("left", os.path.exists(where), multiprocess.directory())
"""


def test_processes_are_summed_and_the_dead_leave_only_their_counters(tmp_path: Path) -> None:
    assert _run(_FORK, tmp_path).splitlines() == [
        "both offload_connections_total 4.0",
        'both offload_open_connections{state="relay"} 10.0',
        'both offload_pool_measured_rate{worker="one"} 7.0',
        'both offload_signing_seconds_count{algorithm="p-256",worker="one"} 2.0',
        "one offload_connections_total 4.0",
        'one offload_open_connections{state="relay"} 5.0',
        'one offload_pool_measured_rate{worker="one"} 7.0',
        'one offload_signing_seconds_count{algorithm="p-256",worker="one"} 2.0',
        "left False None",
    ]


def test_directory_is_private(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from offload.observe import multiprocess\n"
        "print(oct(multiprocess.prepare(Path(sys.argv[1])).stat().st_mode))"
    )
    assert _run(script, tmp_path) == "0o40700\n"


def test_unusable_parent_is_told_with_the_remedy(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from offload.observe import multiprocess\n"
        "try: multiprocess.prepare(Path(sys.argv[1]))\n"
        "except multiprocess.MetricsDirectoryError as error: print(error)"
    )
    missing = tmp_path / "missing"
    assert _run(script, missing).startswith(f"cannot create a metrics directory in {missing}: No")


def test_too_late_is_refused() -> None:
    importlib.import_module("offload.observe.metrics")
    with pytest.raises(RuntimeError, match="before importing"):
        multiprocess.prepare()


def test_marking_without_a_directory_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(multiprocess.VARIABLE, raising=False)
    multiprocess.mark_dead(1)


def _run(script: str, argument: Path) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", script, str(argument)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout
