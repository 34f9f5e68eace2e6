"""`offload demo --cluster --once`: the whole grown-up form, told and verified by itself."""

import re
import resource
import sys
from pathlib import Path

import pytest
from support.processes import Spawner

_CPU_SECONDS = 60.0
_PATIENCE = 140.0


@pytest.mark.needs("etcd", "softhsm2-util")
def test_the_demonstration_of_a_cluster_verifies_itself(tmp_path: Path, spawn: Spawner) -> None:
    directory = tmp_path / "state"
    before = _cpu_seconds()
    demo = spawn(
        *(sys.executable, "-m", "offload", "demo", "--cluster", "--once"),
        *("--directory", directory),
    )
    assert demo.wait(_PATIENCE) == 0, demo.output
    told = demo.output
    # How long it takes depends on what else this machine does; what it takes of it does not.
    assert _cpu_seconds() - before < _CPU_SECONDS, told
    assert re.search(r"worker-4 +zone b, .*, SoftHSM2; joined, approved by the officer", told)
    assert re.search(r"on worker-1 worker-2 worker-3 worker-4 after \d+ ms", told)
    served = r"frontend-[12] https: 200, TLSv1.3, X25519MLKEM768, www@1 signed by worker-"
    assert len(re.findall(served, told)) == 2
    assert re.search(r"worker-2, which made the key, is killed .*\n +requests +20 of 20 ", told)
    assert re.search(r"etcd-\d, the leader .*\n +requests +20 of 20 .*\n +key +api@1", told)
    assert re.search(r"switched +both front-ends.*\n +requests +20 of 20 ", told)
    assert re.search(r"old +www@1 is deactivated", told)
    assert re.search(r"worker-2 +has www@1 api@1 www@2 after", told)
    assert len(re.findall(r"(frontend|etcd)-\d +(no private key|not permitted)", told)) == 5
    assert re.search(r"worker-\d +(found .*www@2|not permitted)", told)
    assert re.search(r"All as it should be \(\d+\.\d s\)\n$", told)
    assert not _running(directory)


def _cpu_seconds() -> float:
    """Of all processes that ended and were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _running(directory: Path) -> list[str]:
    """Command lines of processes that have to do with it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(directory) in line:
            found.append(line)
    return found
