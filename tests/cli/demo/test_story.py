import os
import re
import signal
import sys
from pathlib import Path

import pytest
from support.chain import until
from support.processes import Spawner

from offload.cli.demo.children import family
from offload.cli.demo.story import WORKERS, Ports, say_where


def test_the_demonstration_verifies_itself(tmp_path: Path, spawn: Spawner) -> None:
    directory = tmp_path / "state"
    demo = spawn(sys.executable, "-m", "offload", "demo", "--once", "--directory", directory)
    assert demo.wait(50) == 0, demo.output
    told = demo.output
    assert re.search(r"protocol +TLSv1.3\n +group +X25519MLKEM768", told)
    assert re.search(r"protocol +TLSv1.2\n", told)
    assert re.search(r"front-end +(no private key|not permitted)", told)
    assert len(re.findall(r"signed by +worker-[12]\n", told)) == 2
    assert told.endswith("All as it should be\n")
    assert {path.stem for path in (directory / "logs").iterdir()} == {
        "frontend",
        "website",
        *WORKERS,
    }


def test_an_interrupt_leaves_nothing_running(tmp_path: Path, spawn: Spawner) -> None:
    demo = spawn(sys.executable, "-m", "offload", "demo", "--directory", tmp_path / "state")
    demo.wait_for_output("Running on this machine", 50)
    members = family(demo.pid)
    assert len(members) > len(WORKERS) + 2
    demo.signal(signal.SIGINT)
    assert demo.wait() == 0
    # What ended with its parent is reaped, and seen to be gone, a moment later.
    until(lambda: not any(map(_runs, members)), "the end of all processes")


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_failed_start_is_said_and_cleaned_up(tmp_path: Path, spawn: Spawner) -> None:
    broken = {"OFFLOAD_WORKER__THREADS": "none"}
    arguments = ["demo", "--once", "--directory", str(tmp_path / "state")]
    demo = spawn(sys.executable, "-m", "offload", *arguments, env=broken)
    assert demo.wait(50) == 1
    assert re.search(r"^offload: error: worker-[12] ended: ", demo.output, re.MULTILINE)
    assert "Traceback" not in demo.output
    assert os.getpid() in family(os.getpid())


def test_everything_has_a_port_of_its_own() -> None:
    ports = Ports.choose()
    numbers = [ports.site, ports.admin, ports.website, *ports.workers, *ports.worker_admins]
    assert len(set(numbers)) == len(numbers) == 7
    assert ports.admin_url == f"http://127.0.0.1:{ports.admin}"


@pytest.mark.parametrize("once", [True, False])
def test_it_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], once: bool
) -> None:
    ports = Ports(1, 2, 3, (4, 5), (6, 7))
    say_where(ports, tmp_path, once=once)
    told = capsys.readouterr().out
    command = f"curl --cacert {tmp_path}/certificates/authority.pem https://localhost:1/\n"
    assert (command in told) is not once
    assert ("http://127.0.0.1:2/metrics\n" in told) is not once
