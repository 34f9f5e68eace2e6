from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any, cast

import pytest

from offload.cli.cluster_join import Waiting
from offload.cli.demo import cluster_stage, hsm
from offload.cli.demo.children import Children
from offload.cli.demo.cluster_stage import FRONTEND_ZONES, HSM_WORKER, ZONES, Place, Stage
from offload.cli.demo.hsm import Hsm
from offload.cli.demo.rest import Rest

TABLE = {"kind": "pkcs11", "token_label": "offload-demo"}


class FakeChildren:
    """Keeps what was to be started."""

    def __init__(self) -> None:
        self.commands: dict[str, tuple[str, ...]] = {}
        self.environments: dict[str, Any] = {}

    def run(self, name: str, *command: str, **options: Any) -> SimpleNamespace:
        self.commands[name] = command
        self.environments[name] = options.get("environment")
        return SimpleNamespace(name=name, pid=1)

    start = again = run

    def wait_until(self, _ready: object, _what: str) -> None:
        """Everything has come about."""


@pytest.fixture
def children() -> FakeChildren:
    return FakeChildren()


@pytest.fixture
def stage(tmp_path: Path, children: FakeChildren, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(hsm, "missing", lambda: "")
    monkeypatch.setattr(hsm, "make", lambda _place: Hsm(TABLE, {"SOFTHSM2_CONF": "there"}))
    return Stage(tmp_path, cast(Children, children))


def test_everything_has_a_port_of_its_own(stage: Stage, children: FakeChildren) -> None:
    ports = [stage.website]
    for name, place in stage.places.items():
        ports += [place.port, place.admin, *([place.api] if name in ZONES else [])]
    assert len(set(ports)) == len(ports) == 1 + 3 * len(ZONES) + 2 * len(FRONTEND_ZONES)
    assert set(stage.places) == {*ZONES, *FRONTEND_ZONES}
    assert list(children.commands) == ["etcd-1", "etcd-2", "etcd-3"]


def test_one_worker_has_the_hsm_alone(stage: Stage, children: FakeChildren) -> None:
    stage.start_workers(*ZONES)
    given = {name for name in ZONES if children.environments[name] == {"SOFTHSM2_CONF": "there"}}
    assert given == {HSM_WORKER}
    tokens = {name: stage._plan(name).token for name in ZONES}
    assert [name for name, token in tokens.items() if token == TABLE] == [HSM_WORKER]


def test_without_an_hsm_all_tokens_are_software(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hsm, "missing", lambda: "SoftHSM2 is not installed")
    stage = Stage(tmp_path, cast(Children, FakeChildren()))
    assert stage.hsm is None
    assert "directory" in stage._plan(HSM_WORKER).token


def test_the_website_knows_both_front_ends(stage: Stage, children: FakeChildren) -> None:
    stage.start_front_ends()
    admins = {stage.places[name].admin_url for name in FRONTEND_ZONES}
    assert admins <= set(children.commands["website"])
    assert set(FRONTEND_ZONES) <= set(children.commands)


def test_an_admin_url_is_on_this_machine() -> None:
    assert Place(1, 2).admin_url == "http://127.0.0.1:2"


class FakeRest:
    """A member that three newcomers ask, one after the other."""

    def __init__(self) -> None:
        self.looks = 0
        self.approved: dict[str, str] = {}

    def ask(self, method: str, path: str, **values: str) -> dict[str, Any]:
        if method == "POST":
            self.approved[path] = values["fingerprint"]
            return {}
        self.looks += 1
        names = ("worker-2", "worker-3", "worker-4")[: self.looks]
        return {"members": [{"name": name, "state": "pending"} for name in names]}


def test_the_officer_approves_the_fingerprint_of_the_newcomer_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cluster_stage, "_PAUSE", 0.0)
    rest = FakeRest()
    waiting = {
        name: cast(Waiting, SimpleNamespace(application=SimpleNamespace(fingerprint=name[-1] * 8)))
        for name in ("worker-2", "worker-3", "worker-4")
    }
    cluster_stage._approve(cast(Rest, rest), waiting, Event())
    assert rest.approved == {
        "/v1/members/worker-2/approve": "2" * 8,
        "/v1/members/worker-3/approve": "3" * 8,
        "/v1/members/worker-4/approve": "4" * 8,
    }
    over = Event()
    over.set()
    cluster_stage._approve(cast(Rest, FakeRest()), waiting, over)
