import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from support.chain import until
from support.processes import Spawner

from offload.cli.demo import cluster_story
from offload.cli.demo.children import family
from offload.cli.demo.cluster_stage import FRONTEND_ZONES, ZONES, Place, Stage
from offload.cli.demo.cluster_story import say_where, tell_cluster
from offload.cli.demo.visit import Visit
from offload.cli.failure import Failure

SEEN = Visit("TLSv1.3", "X25519MLKEM768", "a cipher", "a key", "aa", 0.01, 200, "hello")


class FakeChildren:
    """Waits for nothing: what is asked for has come about or never will."""

    def wait_until(self, ready: Callable[[], bool], what: str, **_options: float) -> None:
        if not ready():
            raise Failure(f"{what} did not come about")


def stage(tmp_path: Path, answers: dict[str, Any] | None = None) -> Stage:
    """One whose REST gives these answers by path."""
    names = (*ZONES, *FRONTEND_ZONES)
    places = {name: Place(10 + index, 20 + index) for index, name in enumerate(names)}

    def ask(_method: str, path: str, **_values: object) -> Any:
        return (answers or {})[path]

    fake = SimpleNamespace(
        directory=tmp_path,
        places=places,
        authority=SimpleNamespace(path=tmp_path / "site.pem"),
        trust=tmp_path / "ca.pem",
        identity=lambda user: (Path(f"{user}.pem"), Path(f"{user}.key")),
        rest=lambda _worker, _user: SimpleNamespace(url="https://127.0.0.1:30", ask=ask),
        children=FakeChildren(),
    )
    return cast(Stage, fake)


def story(tmp_path: Path, answers: dict[str, Any] | None = None) -> cluster_story._Story:
    return cluster_story._Story(stage(tmp_path, answers), skis={"www@1": "aa", "www@2": "bb"})


def test_it_says_how_to_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    say_where(stage(tmp_path))
    told = capsys.readouterr().out
    assert told.count(f"curl --cacert {tmp_path}/site.pem https://localhost:") == 2
    assert f"offload key list --client {tmp_path}/worker-1/client.toml\n" in told
    assert "https://127.0.0.1:30/v1/keys" in told
    assert told.count("/metrics (") == len(ZONES) + len(FRONTEND_ZONES)


def test_requests_are_counted_and_the_key_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cluster_story, "visit", lambda _port, _trust: SEEN)
    story(tmp_path)._say_requests("www@1")
    assert "20 of 20 answered through both front-ends" in capsys.readouterr().out
    with pytest.raises(Failure, match="frontend-1 served another key than www@2"):
        story(tmp_path)._say_requests("www@2")


def test_a_rotation_that_was_rolled_back_is_a_failure(tmp_path: Path) -> None:
    path = "/v1/keys/www/rotation"
    back = {"phase": "rolled-back", "reason": "the canary failed on frontend-1"}
    with pytest.raises(Failure, match=r"rolled back: the canary failed on frontend-1"):
        story(tmp_path, {path: back})._rotation(lambda _view: True, "the end")
    view = {"phase": "done", "reason": ""}
    assert story(tmp_path, {path: view})._rotation(lambda _view: True, "the end") == view
    with pytest.raises(Failure, match="the end did not come about"):
        story(tmp_path, {path: view})._rotation(lambda _view: False, "the end")


def test_only_copies_that_are_held_count(tmp_path: Path) -> None:
    copies = [{"member": "worker-1", "state": "held"}, {"member": "worker-2", "state": "missing"}]
    told = story(tmp_path, {"/v1/keys/www@1": {"copies": copies}})
    assert told._holders("www@1") == ["worker-1"]


def test_without_etcd_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Failure, match="etcd is not installed"):
        tell_cluster(tmp_path / "state", once=True)
    assert not (tmp_path / "state").exists()


@pytest.mark.needs("etcd")
def test_an_occupied_directory_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(Failure, match="exists already"):
        tell_cluster(tmp_path, once=True)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.needs("etcd")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing_running(
    tmp_path: Path, spawn: Spawner, number: signal.Signals
) -> None:
    logs = tmp_path / "state" / "logs"
    arguments = ["demo", "--cluster", "--once", "--directory", str(tmp_path / "state")]
    demo = spawn(sys.executable, "-m", "offload", *arguments)
    until((logs / "etcd-3.log").exists, "the start of etcd")
    members = family(demo.pid)
    demo.signal(number)
    assert demo.wait() == 130
    assert [pid for pid in members if Path(f"/proc/{pid}").exists()] == []


@pytest.mark.needs("etcd")
def test_a_failed_start_is_said_and_cleaned_up(tmp_path: Path, spawn: Spawner) -> None:
    broken = {"OFFLOAD_WORKER__THREADS": "none"}
    arguments = ["demo", "--cluster", "--once", "--directory", str(tmp_path / "state")]
    demo = spawn(sys.executable, "-m", "offload", *arguments, env=broken)
    assert demo.wait(50) == 1
    assert "offload: error: worker-1 ended: " in demo.output
    assert "Traceback" not in demo.output
