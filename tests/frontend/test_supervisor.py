"""The supervisor as a real process, with a stand-in for the serving processes."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from support.ports import free_ports
from support.processes import Spawned, Spawner

CONFIGURATION = """
[log]
level = "debug"
format = "text"
[frontend]
listen = ["127.0.0.1:{port}"]
admin = "127.0.0.1:{admin}"
processes = 2
drain_timeout = {drain_timeout}
[frontend.pool]
identity = {{ certificate = "c.pem", key = "k.pem" }}
trust = "t.pem"
workers = [{{ name = "w", address = "127.0.0.1:1" }}]
[[frontend.sites]]
default = true
certificates = ["s.pem"]
backends = ["tcp://127.0.0.1:2"]
"""


class Fake:
    """A running front-end with stand-ins, and what a client sees of it."""

    def __init__(self, spawned: Spawned, port: int, admin: int) -> None:
        self.spawned = spawned
        self.port = port
        self.admin = admin

    def connect(self) -> tuple[socket.socket, int, int]:
        """A connection, with the index and id of the process that took it."""
        client = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        with client.makefile() as lines:
            index, pid = lines.readline().split()
        return client, int(index), int(pid)

    def command(self, command: bytes) -> int:
        """Send a command to whichever process takes the connection; return its id."""
        client, _, pid = self.connect()
        with client, suppress(ConnectionError):
            client.sendall(command)
            client.recv(1)
        return pid

    def pids(self) -> dict[int, int]:
        """The id of each serving process by index, found by connecting until all have answered."""
        found: dict[int, int] = {}
        while len(found) < 2:
            client, index, pid = self.connect()
            client.close()
            found[index] = pid
        return found

    def get(self, path: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.admin}{path}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


Start = Callable[..., Fake]


@pytest.fixture
def start(spawn: Spawner, tmp_path: Path, repository: Path) -> Start:
    def make(
        ready: bool = True, drain_timeout: float = 20.0, port: int = 0, admin: int = 0, **env: str
    ) -> Fake:
        free = free_ports(2)
        port, admin = port or free[0], admin or free[1]
        path = tmp_path / "offload.toml"
        path.write_text(CONFIGURATION.format(port=port, admin=admin, drain_timeout=drain_timeout))
        env["PYTHONPATH"] = os.pathsep.join([str(repository), str(repository / "tests")])
        env["TMPDIR"] = str(tmp_path)
        spawned = spawn(sys.executable, "-m", "support.fake_frontend", path, env=env)
        if ready:
            spawned.wait_for_output(r" ready .*processes=2")
        return Fake(spawned, port, admin)

    return make


def alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    # An orphan that has ended may wait for whoever adopted it.
    return status.rpartition(")")[2].split()[0] != "Z"


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
    except ConnectionError:
        return True
    return False


def eventually(condition: Callable[[], bool], timeout: float = 10.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.01)


def test_serves_by_every_process_and_goes_on_through_hang_up_and_user_signal(start: Start) -> None:
    fake = start()
    before = fake.pids()
    assert fake.get("/healthz")[0] == 200
    assert fake.get("/readyz")[0] == 200
    assert "offload_build_info" in fake.get("/metrics")[1]
    os.killpg(fake.spawned.pid, signal.SIGHUP)
    fake.spawned.wait_for_output(" reloaded ")
    before = fake.pids()
    os.killpg(fake.spawned.pid, signal.SIGUSR1)
    fake.spawned.wait_for_output("no file to reopen")
    assert fake.pids() == before


def test_dead_process_is_replaced(start: Start) -> None:
    fake = start()
    admin = int(fake.spawned.wait_for_output(r"process ready.*pid=(\d+) role=admin")[1])
    before = fake.pids()
    dead = {fake.command(b"k"), fake.command(b"x"), admin}
    os.kill(admin, signal.SIGKILL)
    for pid in dead:
        fake.spawned.wait_for_output(rf"process died.*pid={pid}")
    assert dead.isdisjoint(fake.pids().values())
    assert set(fake.pids().values()) != set(before.values())
    eventually(lambda: fake.get("/readyz")[0] == 200)
    metrics = fake.get("/metrics")[1]
    assert 'offload_process_restarts_total{role="serving"} 2.0' in metrics
    assert 'offload_process_restarts_total{role="admin"} 1.0' in metrics


def test_term_drains_and_leaves_nothing_behind(start: Start, tmp_path: Path) -> None:
    fake = start()
    pids = fake.pids().values()
    fake.spawned.signal(signal.SIGTERM)
    assert fake.spawned.wait() == 0
    assert not any(alive(pid) for pid in pids)
    assert list(tmp_path.glob("offload-metrics-*")) == []
    assert fake.spawned.output.count("TERM 1") == 2
    assert "TERM 2" not in fake.spawned.output


def test_interrupt_drains_too(start: Start) -> None:
    fake = start()
    os.killpg(fake.spawned.pid, signal.SIGINT)
    assert fake.spawned.wait() == 0
    assert fake.spawned.output.count("TERM 1") == 2


def test_draining_is_not_ready_and_accepts_nobody_but_keeps_clients(start: Start) -> None:
    fake = start(FAKE_SLOW="1")
    pids = fake.pids().values()
    client, _, _ = fake.connect()
    fake.spawned.signal(signal.SIGTERM)
    eventually(lambda: fake.get("/readyz")[0] == 503)
    assert fake.get("/healthz")[0] == 200
    for process in pids:
        fake.spawned.wait_for_output(rf"TERM 1 in {process}")
    eventually(lambda: refused(fake.port))
    client.settimeout(0)
    with pytest.raises(BlockingIOError):
        client.recv(1)
    fake.spawned.signal(signal.SIGTERM)
    assert fake.spawned.wait() == 0
    assert fake.spawned.output.count("TERM 2") == 2
    client.settimeout(5)
    with suppress(ConnectionResetError):
        assert client.recv(1) == b""
    client.close()


def test_second_term_ends_even_a_stubborn_process(start: Start) -> None:
    fake = start(FAKE_STUBBORN="1")
    fake.spawned.signal(signal.SIGTERM)
    fake.spawned.wait_for_output("phase=draining")
    fake.spawned.signal(signal.SIGTERM)
    fake.spawned.wait_for_output("phase=stopping")
    assert fake.spawned.wait(10) == 0
    assert "phase=killing" in fake.spawned.output


def test_deadline_ends_the_drain(start: Start) -> None:
    fake = start(FAKE_SLOW="1", drain_timeout=0.1)
    fake.spawned.signal(signal.SIGTERM)
    assert fake.spawned.wait() == 0
    assert fake.spawned.output.count("TERM 2") == 2
    assert "phase=killing" not in fake.spawned.output


def test_process_that_dies_while_draining_is_not_replaced(start: Start) -> None:
    fake = start(FAKE_SLOW="1")
    first, second = fake.pids().values()
    fake.spawned.signal(signal.SIGTERM)
    fake.spawned.wait_for_output(rf"TERM 1 in {first}")
    fake.spawned.wait_for_output(rf"TERM 1 in {second}")
    os.kill(first, signal.SIGKILL)
    os.kill(second, signal.SIGKILL)
    assert fake.spawned.wait() == 0
    assert fake.spawned.output.count("process started") == 3


def test_crash_loop_is_slowed_down_and_the_others_take_over(start: Start) -> None:
    fake = start(ready=False, FAKE_CRASH="1")
    fake.spawned.wait_for_output("process keeps dying.*restart_in=2.0")
    assert fake.spawned.output.count("process died") == 5
    # While process 1 waits, every connection is process 0's.
    for _ in range(20):
        client, index, _ = fake.connect()
        client.close()
        assert index == 0
    assert fake.get("/readyz")[0] == 503
    assert fake.get("/healthz")[0] == 200


def test_children_die_with_a_killed_supervisor(start: Start) -> None:
    fake = start()
    pids = fake.pids().values()
    fake.spawned.signal(signal.SIGKILL)
    fake.spawned.wait()
    eventually(lambda: not any(alive(pid) for pid in pids))


def test_connection_queued_while_its_process_is_dead_is_served_by_the_next(start: Start) -> None:
    fake = start()
    target = fake.pids()[0]
    os.kill(target, signal.SIGSTOP)
    clients = [socket.create_connection(("127.0.0.1", fake.port)) for _ in range(20)]
    os.kill(target, signal.SIGKILL)
    answers = []
    for client in clients:
        client.settimeout(10)
        with client.makefile() as lines:
            answers.append(lines.readline())
        client.close()
    assert all(answers)
    assert str(target) not in " ".join(answers).split()


def test_port_in_use_by_a_front_end_is_said_plainly(start: Start) -> None:
    first = start()
    second = start(ready=False, port=first.port).spawned
    assert second.wait() == 1
    assert f"cannot listen on 127.0.0.1:{first.port}: address already in use" in second.output
    assert "Traceback" not in second.output


def test_admin_port_in_use_is_said_plainly(start: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        fake = start(ready=False, admin=taken.getsockname()[1])
        assert fake.spawned.wait() == 1
    assert f"cannot listen on 127.0.0.1:{fake.admin}: address already" in fake.spawned.output


def test_systemd_is_told(start: Start, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10)
        fake = start(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="200000")
        states = [manager.recv(100)]
        while b"READY=1" not in states:
            states.append(manager.recv(100))
        while b"WATCHDOG=1" not in states:
            states.append(manager.recv(100))
        fake.spawned.signal(signal.SIGTERM)
        while states[-1] != b"STOPPING=1":
            states.append(manager.recv(100))
        assert fake.spawned.wait() == 0


# reload


def test_reload_replaces_the_processes_and_keeps_their_clients(start: Start) -> None:
    fake = start(FAKE_SLOW="1")
    old = set(fake.pids().values())
    client, _, _ = fake.connect()
    fake.spawned.signal(signal.SIGHUP)
    fake.spawned.wait_for_output(" reloaded ")
    assert old.isdisjoint(fake.pids().values())
    client.settimeout(0)
    with pytest.raises(BlockingIOError):
        client.recv(1)
    assert fake.get("/readyz")[0] == 200
    assert all(alive(pid) for pid in old)
    client.close()
    fake.spawned.signal(signal.SIGTERM)
    fake.spawned.wait_for_output("phase=draining")
    fake.spawned.signal(signal.SIGTERM)
    assert fake.spawned.wait() == 0
    assert not any(alive(pid) for pid in old)


@pytest.mark.parametrize(
    ("find", "replace", "reason"),
    [
        ("listen =", "lisen =", "lisen"),
        ("processes = 2", "processes = 3", "frontend.process_count cannot change while it runs"),
        ('listen = ["127.0.0.1:', 'listen = ["127.0.0.2:', "frontend.listen cannot change"),
    ],
)
def test_reload_of_what_cannot_be_leaves_all_as_it_was(
    start: Start, tmp_path: Path, find: str, replace: str, reason: str
) -> None:
    fake = start()
    before = fake.pids()
    path = tmp_path / "offload.toml"
    good = path.read_text()
    path.write_text(good.replace(find, replace))
    fake.spawned.signal(signal.SIGHUP)
    fake.spawned.wait_for_output(f"old configuration stays in force.*{reason}")
    assert fake.pids() == before
    path.write_text(good)
    fake.spawned.signal(signal.SIGHUP)
    fake.spawned.wait_for_output(" reloaded ")


def test_reload_whose_processes_die_is_given_up(start: Start, tmp_path: Path) -> None:
    crash = tmp_path / "crash"
    fake = start(FAKE_CRASH_IF=str(crash))
    before = fake.pids()
    crash.touch()
    fake.spawned.signal(signal.SIGHUP)
    fake.spawned.wait_for_output("old configuration stays in force.*ended with 3")
    crash.unlink()
    assert fake.pids() == before
    assert fake.get("/readyz")[0] == 200
    fake.spawned.signal(signal.SIGTERM)
    assert fake.spawned.wait() == 0
