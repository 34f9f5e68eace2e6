import os
from pathlib import Path

import pytest
from support.commands import Commands, Running


def test_everything_works_without_a_server(embedded: Commands) -> None:
    made = embedded.json("key", "create", "www", "-a", "ed25519", "--site", "www.example.org")
    assert (made["state"], made["sites"]) == ("active", ["www.example.org"])
    assert embedded.json("cluster", "show")["members"] == 1
    assert [one["name"] for one in embedded.json("user", "list")] == ["kim", "olga"]
    actors = {one["fields"].get("actor") for one in embedded.json("audit", "show")}
    assert any(actor and actor.startswith("local:") for actor in actors)


def test_a_user_can_be_named_and_has_his_role(embedded: Commands, cluster: Path) -> None:
    config = ("-c", str(cluster / "worker.toml"))
    olga = embedded.with_options(*config, "--client", str(cluster / "client.toml"))
    kim = embedded.with_options(*config, "--client", str(cluster / "client-kim.toml"))
    assert "the role officer does not cover key.create" in olga.refused("key", "create", "www")
    kim("key", "create", "www")
    assert "the role key-user does not cover user.list" in kim.refused("user", "list")


def test_it_works_beside_a_running_worker(
    embedded: Commands, key_user: Commands, running: Running
) -> None:
    beside = embedded.with_options("-c", str(running.directory / "worker.toml"))
    beside("key", "create", "beside")
    assert key_user.json("key", "show", "beside")["state"] == "active"
    key_user("key", "create", "over-rest")
    assert beside.json("key", "show", "over-rest")["state"] == "active"


def test_another_user_s_worker_is_left_alone(
    embedded: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    errors = embedded.refused("key", "create", "www")
    assert "what another user writes there the worker cannot use" in errors
    assert "sudo -u" in errors


def test_a_catalogue_that_is_not_there(embedded: Commands, cluster: Path) -> None:
    (cluster / "catalogue").rename(cluster / "elsewhere")
    errors = embedded.refused("key", "list")
    assert errors.startswith("offload: error: the catalogue cannot be opened: ")


def test_a_wrong_passphrase(embedded: Commands, cluster: Path) -> None:
    (cluster / "token.passphrase").write_text("wrong\n")
    assert "passphrase" in embedded.refused("key", "list")
