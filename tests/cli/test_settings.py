import tomllib
from pathlib import Path

import pytest

from offload.cli.failure import Complaint, Failure
from offload.cli.settings import effective, loaded


def test_every_problem_is_a_complaint(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("[log]\nlevel = 'loud'\ncolour = 1\n")
    with pytest.raises(Failure) as caught:
        loaded(path)
    assert caught.value.complaints == (
        Complaint(
            f"{path}: log.level: 'loud' is not valid",
            "use 'debug', 'info', 'warning' or 'error'",
        ),
        Complaint(f"{path}: log.colour: unknown key", "remove it or correct its spelling"),
    )


@pytest.mark.parametrize("name", ["frontend", "worker"])
def test_the_effective_configuration_is_one_that_can_be_used(made_state: Path, name: str) -> None:
    path = made_state / f"{name}.toml"
    settings = loaded(path)
    again = made_state.parent / f"{name}-effective.toml"
    again.write_text(effective(path, settings))
    assert loaded(again) == settings


def test_the_effective_configuration_shows_no_secret(made_state: Path) -> None:
    path = made_state / "worker.toml"
    text = effective(path, loaded(path))
    passphrase = (made_state / "token.passphrase").read_text().strip()
    assert passphrase not in text
    assert "PRIVATE" not in text
    assert tomllib.loads(text)["worker"]["threads"] == 4
