from pathlib import Path

import pytest
from support.commands import Commands


def test_a_user_s_life(officer: Commands, tmp_path: Path) -> None:
    place = tmp_path / "petra"
    said = officer("user", "create", "petra", "--role", "auditor", "-d", place)
    assert said[0] == f"created auditor 'petra', with the client file {place}/client.toml"
    assert {path.name for path in place.iterdir()} == {
        "petra.key",
        "petra.pem",
        "authority.pem",
        "client.toml",
    }
    petra = officer.with_options("--client", str(place / "client.toml"))
    assert [one["name"] for one in petra.json("user", "list")] == ["kim", "olga", "petra"]
    assert officer("user", "role", "petra", "key-user") == ["'petra' is key-user now"]
    assert "does not cover user.list" in petra.refused("user", "list")
    assert officer("user", "remove", "petra") == ["removed 'petra'"]
    errors = petra.refused("user", "token")
    assert "is not that of a user of this cluster" in errors
    assert "'--client'" in errors


def test_a_token_is_all_that_standard_output_gets(officer: Commands) -> None:
    (token,) = officer("user", "token", "--seconds", 60)
    assert token.startswith("offload_")
    assert officer.json("user", "token")["token"].startswith("offload_")


def test_a_refusal_leaves_no_key_behind(officer: Commands, tmp_path: Path) -> None:
    create = ("user", "create", "kim", "--role", "officer", "-d", tmp_path / "kim")
    assert officer.refused(*create).startswith("offload: error: there is a user 'kim' already")
    create = ("user", "create", "ken", "--role", "king", "-d", tmp_path / "ken")
    assert "invalid value: role: " in officer.refused(*create, code=2)
    assert list(tmp_path.iterdir()) == []


def test_only_users_have_tokens(embedded: Commands) -> None:
    assert "there is no user 'local:" in embedded.refused("user", "token")


@pytest.mark.parametrize("name", ["a/b", "../a", "a" * 65])
def test_names_that_are_no_names(officer: Commands, tmp_path: Path, name: str) -> None:
    create = ("user", "create", name, "--role", "auditor", "-d", tmp_path / "new")
    assert "invalid value: user: " in officer.refused(*create, code=2)
