from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import pytest
import typer
from support.commands import Commands

from offload.cli.caller import Call, built, server_command
from offload.cli.failure import Failure
from offload.cluster.acts import CreateKey, Invite


def test_options_of_all_commands_become_the_call(capsys: pytest.CaptureFixture[str]) -> None:
    app = typer.Typer()
    seen: list[tuple[Call, str, int]] = []

    @server_command(app, "do", writes=True)
    def do(call: Call, what: str, times: Annotated[int, typer.Option("--times")] = 1) -> None:
        """Do it."""
        seen.append((call, what, times))

    @server_command(app, "look")
    def look(call: Call, approval: str) -> None:
        """Look at it."""
        seen.append((call, approval, 0))

    def run(*arguments: str) -> None:
        app(list(arguments), standalone_mode=False)

    run("do", "it", "--times", "2", "--client", "c", "-c", "w", "--json", "--approval", "a")
    run("look", "a")
    full = Call(Path("c"), Path("w"), json=True, approval="a")
    assert seen == [(full, "it", 2), (Call(), "a", 0)]
    with pytest.raises(typer.TyperException, match="--approval"):
        run("look", "a", "--approval", "a")
    with pytest.raises(typer.Exit):
        app(["do", "--help"], standalone_mode=False)
        raise typer.Exit
    assert "Do it." in capsys.readouterr().out


def test_what_is_wrong_with_a_field_is_wrong_usage() -> None:
    act = built(CreateKey, label="www", activates=None, sites=("a",))
    assert act == CreateKey(label="www", sites=("a",))
    assert "activates" not in act.model_fields_set
    with pytest.raises(typer.BadParameter, match="label: 'a b' has characters"):
        built(CreateKey, label="a b")
    with pytest.raises(typer.BadParameter, match="seconds: input should be greater than 0"):
        built(Invite, member="w", seconds=0.0)
    with pytest.raises(typer.BadParameter, match="activates: "):
        built(
            CreateKey, label="www", activates=datetime(2030, 1, 1, tzinfo=UTC).replace(tzinfo=None)
        )


def test_a_worker_alone_has_no_cluster_to_ask(
    made_state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = made_state / "worker.toml"
    assert Call(config=config).alone() == config
    alone = Commands(capsys, "-c", str(config))
    errors = alone.refused("key", "suspend", "localhost-p256")
    assert errors.startswith(f"offload: error: {config}: the worker is in no cluster")
    assert "offload cluster create" in errors
    assert "are for keys of a cluster" in alone.refused("key", "create", "w", "--site", "a", code=2)


def test_a_client_file_comes_before_the_usual_configuration(
    made_cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OFFLOAD_CLIENT", str(made_cluster / "client.toml"))
    assert Call().alone() is None
    assert Call().identity().path == made_cluster / "client.toml"
    assert Call(config=made_cluster / "worker.toml").alone() is None
    monkeypatch.setenv("OFFLOAD_CLIENT", "")
    monkeypatch.setattr("offload.cli.client_file.SYSTEM", made_cluster / "none")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(made_cluster))
    with pytest.raises(Failure, match="a user has to be named"):
        Call().identity()
