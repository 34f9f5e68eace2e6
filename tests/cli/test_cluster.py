import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.enrolling import Inviting, inviting

from offload.cli import main
from offload.config import EtcdSettings, Pkcs11TokenSettings, load


class Background:
    """A cluster that invites, in a loop of its own, beside commands that block."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self.loop = asyncio.new_event_loop()
        self.cluster: Inviting | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Background":
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self.loop.close()

    def _run(self) -> None:
        self.loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        try:
            async with inviting(self._directory) as self.cluster:
                self._ready.set()
                await self._stop.wait()
        finally:
            self._ready.set()

    def invitation(self) -> str:
        assert self.cluster is not None
        made = asyncio.run_coroutine_threadsafe(self.cluster.invite(), self.loop)
        return made.result(30).encode()

    def approve_whoever_asks(self) -> None:
        async def approve(cluster: Inviting) -> None:
            await cluster.enrolment.approve("worker-2", await cluster.asked())

        assert self.cluster is not None
        asyncio.run_coroutine_threadsafe(approve(self.cluster), self.loop)


@pytest.fixture
def background(tmp_path: Path) -> Iterator[Background]:
    (tmp_path / "founder").mkdir()
    with Background(tmp_path / "founder") as made:
        yield made


def test_the_commands_that_create_prints_exist(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "cluster"
    options = ["--member", "one", "--officer", "olga", "--key-user", "kim", "--frontend", "f"]
    assert main.run(["cluster", "create", str(place), *options]) == 0
    printed = capsys.readouterr().out
    assert f"offload worker -c {place}/worker.toml" in printed
    assert f"{place}/client.toml" in printed
    assert (place / "users/olga.pem").is_file()
    assert f"{place}/client-kim.toml" in printed
    for name in ("client.toml", "client-kim.toml", "users/kim.key", "frontend.toml"):
        assert (place / name).is_file()
    assert main.run(["cluster", "create", str(place)]) == 1
    assert "exists already" in capsys.readouterr().err


def test_a_user_has_one_role(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--officer", "kim", "--key-user", "kim"]
    assert main.run(["cluster", "create", str(tmp_path / "cluster"), *options]) == 2
    assert "names of their own" in capsys.readouterr().err


def test_a_newcomer_asks_waits_and_can_start(
    tmp_path: Path, background: Background, capsys: pytest.CaptureFixture[str]
) -> None:
    letter, place = tmp_path / "invitation", tmp_path / "new"
    letter.write_text(background.invitation() + "\n")
    background.approve_whoever_asks()
    catalogue = str(tmp_path / "catalogue.db")
    command = ["cluster", "join", str(letter), str(place), "--catalogue-file", catalogue]
    assert main.run(command) == 0
    printed = capsys.readouterr().out
    assert "asking to join 'example' as 'worker-2'" in printed
    assert "compare this fingerprint" in printed
    assert "approved" in printed
    assert load(place / "worker.toml", environment={}).worker is not None


def test_etcd_and_an_hsm_are_said_by_options(
    tmp_path: Path, background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.cli import cluster, cluster_join

    asked = []
    monkeypatch.setattr(cluster_join, "prepare", lambda *arguments: asked.append(arguments))
    letter = tmp_path / "invitation"
    letter.write_text(background.invitation())
    options = "--etcd http://127.0.0.1:1 --etcd http://127.0.0.1:2 --etcd-prefix /x/"
    options += f" --pkcs11-token one --pin-file {tmp_path}/pin --zone z --capacity 3"
    main.run(["cluster", "join", str(letter), str(tmp_path / "new"), *options.split()])
    ((_, _, plan),) = asked
    settings = plan.catalogue_settings(tmp_path)
    assert settings == EtcdSettings(
        kind="etcd", endpoints=("http://127.0.0.1:1", "http://127.0.0.1:2"), prefix="/x/"
    )
    assert (plan.zone, plan.capacity, plan.member) == ("z", 3.0, "worker-2")
    token = Pkcs11TokenSettings.model_validate(plan.token)
    assert (token.token_label, token.pin_file) == ("one", tmp_path / "pin")
    assert cluster.app.info.help


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ([], "the cluster's catalogue"),
        (["--etcd", "http://a:1", "--catalogue-file", "f"], "do not go together"),
        (["--etcd-user", "u", "--catalogue-file", "f", "--pin-file", "p"], "need"),
        (["--etcd-user", "u"], "the cluster's catalogue"),
        (["--catalogue-file", "f", "--pkcs11-token", "x"], "'--pkcs11-token' needs '--pin-file'"),
        (["--catalogue-file", "f", "--pkcs11-module", "x"], "need '--pkcs11-token'"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    tmp_path: Path,
    background: Background,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    text: str,
) -> None:
    letter = tmp_path / "invitation"
    letter.write_text(background.invitation())
    assert main.run(["cluster", "join", str(letter), str(tmp_path / "new"), *options]) == 2
    assert text in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_letter_that_is_no_invitation_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "letter").write_text("hello")
    command = ["cluster", "join", str(tmp_path / "letter"), str(tmp_path / "new")]
    assert main.run([*command, "--catalogue-file", "f"]) == 1
    assert "no whole invitation" in capsys.readouterr().err
