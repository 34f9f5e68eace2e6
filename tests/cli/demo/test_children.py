import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from offload.cli.demo.children import Child, Children, family
from offload.cli.failure import Failure

SLEEPER = "import signal, sys; sys.stdout.write('up\\n'); sys.stdout.flush(); signal.pause()"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules for the children to run."""
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    (tmp_path / "stubborn.py").write_text(
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEPER
    )
    (tmp_path / "parent.py").write_text(
        f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {SLEEPER!r}])\n{SLEEPER}"
    )
    (tmp_path / "failing.py").write_text("raise SystemExit('first line\\nit cannot work')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def up(log: Path, count: int = 1) -> bool:
    return log.read_text().count("up") >= count


@pytest.mark.usefixtures("programs")
def test_leaving_ends_every_child(tmp_path: Path) -> None:
    with Children(tmp_path / "logs") as children:
        started = [children.start(name, "sleeper") for name in ("a", "b")]
        for child in started:
            children.wait_until(lambda log=child.log: up(log), "start")  # type: ignore[misc]
        assert all(child.process.poll() is None for child in started)
    assert [child.process.returncode for child in started] == [-signal.SIGTERM] * 2


@pytest.mark.usefixtures("programs")
def test_an_interrupt_ends_every_child(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Children(tmp_path / "logs") as children:
        child = children.start("a", "sleeper")
        raise KeyboardInterrupt
    assert child.process.returncode is not None


@pytest.mark.usefixtures("programs")
def test_a_stubborn_child_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offload.cli.demo.children._STOP_SECONDS", 0.05)
    with Children(tmp_path / "logs") as children:
        child = children.start("a", "stubborn")
        children.wait_until(lambda: up(child.log), "start")
    assert child.process.returncode == -signal.SIGKILL


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize("how", ["wait_until", "watch"])
def test_a_child_that_ends_is_said_with_its_last_words(tmp_path: Path, how: str) -> None:
    with (
        pytest.raises(Failure, match=r"^a ended: it cannot work$"),
        Children(tmp_path / "logs") as children,
    ):
        children.start("a", "failing")
        if how == "watch":
            children.watch(lambda _: None)
        children.wait_until(lambda: False, "nothing")


@pytest.mark.usefixtures("programs")
def test_an_expendable_child_is_started_again(tmp_path: Path) -> None:
    restarted: list[Child] = []

    def again(child: Child) -> None:
        restarted.append(child)
        os.kill(child.pid, signal.SIGKILL)  # too soon after its start to be started once more

    with pytest.raises(Failure, match=r"^a ended"), Children(tmp_path / "logs") as children:
        first = children.start("a", "sleeper")
        children.wait_until(lambda: up(first.log), "start")
        os.kill(first.pid, signal.SIGKILL)
        children.watch(again, "a")
    assert [child.name for child in restarted] == ["a"]
    assert restarted[0].pid != first.pid


@pytest.mark.usefixtures("programs")
def test_a_child_that_we_kill_is_not_missed_and_comes_back(tmp_path: Path) -> None:
    with Children(tmp_path / "logs") as children:
        first = children.start("a", "sleeper", environment={"WHO": "a"})
        children.wait_until(lambda: up(first.log), "start")
        children.kill(first)
        assert first.process.returncode == -signal.SIGKILL
        children.wait_until(lambda: True, "nothing")
        second = children.again(first)
        children.wait_until(lambda: up(second.log, 2), "start")
        assert b"WHO=a" in Path(f"/proc/{second.pid}/environ").read_bytes()
    assert second.process.returncode == -signal.SIGTERM


@pytest.mark.usefixtures("programs")
def test_a_command_need_not_be_python(tmp_path: Path) -> None:
    with Children(tmp_path / "logs") as children:
        child = children.run("a", "sh", "-c", "echo up; exec sleep 60")
        children.wait_until(lambda: up(child.log), "start", interval=0.01)
    assert child.process.returncode == -signal.SIGTERM


@pytest.mark.usefixtures("programs")
def test_an_abrupt_child_is_killed_when_the_others_have_ended(tmp_path: Path) -> None:
    with Children(tmp_path / "logs") as children:
        abrupt = children.run("a", sys.executable, "-m", "sleeper", abrupt=True)
        other = children.start("b", "sleeper")
        for child in (abrupt, other):
            children.wait_until(lambda log=child.log: up(log), "start")  # type: ignore[misc]
    assert abrupt.process.returncode == -signal.SIGKILL
    assert other.process.returncode == -signal.SIGTERM


def test_waiting_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offload.cli.demo.children._START_SECONDS", 0.05)
    with (
        pytest.raises(Failure, match=r"^readiness did not come about within"),
        Children(tmp_path / "logs") as children,
    ):
        children.wait_until(lambda: False, "readiness")


@pytest.mark.usefixtures("programs")
def test_a_family_is_a_process_and_its_descendants(tmp_path: Path) -> None:
    with Children(tmp_path / "logs") as children:
        child = children.start("a", "parent")
        children.wait_until(lambda: up(child.log, 2), "start")
        members = family(child.pid)
        assert members[0] == child.pid
        assert len(members) == 2
        assert set(members) <= set(family(os.getpid()))
        os.kill(members[1], signal.SIGKILL)


@pytest.mark.usefixtures("programs")
def test_children_end_when_the_demonstration_is_killed(tmp_path: Path) -> None:
    program = (
        "import os, sys\nfrom pathlib import Path\n"
        "from offload.cli.demo.children import Children\n"
        f"with Children(Path({str(tmp_path / 'logs')!r})) as children:\n"
        "    child = children.start('a', 'sleeper')\n"
        "    children.wait_until(lambda: 'up' in child.log.read_text(), 'start')\n"
        "    print(child.pid, flush=True)\n"
        "    children.watch(print)\n"
    )
    root = str(Path(__file__).parents[3])
    paths = {**os.environ, "PYTHONPATH": f"{tmp_path}:{root}"}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env=paths
    ) as started:
        assert started.stdout is not None
        descriptor = os.pidfd_open(int(started.stdout.readline()))
        started.kill()
    import select

    assert select.select([descriptor], [], [], 10)[0] == [descriptor]
    os.close(descriptor)
