from pathlib import Path

import pytest

from offload.cli.failure import Failure
from offload.cli.tokens import chosen, opened
from offload.token.base import TokenError


def test_a_key_is_chosen_by_label_or_identifier(made_state: Path) -> None:
    with opened(made_state / "worker.toml", None, None) as token:
        by_label = chosen(token, "localhost-rsa")
        assert chosen(token, by_label.ski.hex()) == by_label
        with pytest.raises(Failure, match="no key 'other'"):
            chosen(token, "other")


def test_the_options_name_a_token_without_a_configuration(made_state: Path) -> None:
    place = (made_state / "token", made_state / "token.passphrase")
    with opened(Path("/nowhere.toml"), *place) as token:
        assert [record.label for record in token.keys()] == ["localhost-p256", "localhost-rsa"]


def test_what_the_token_raises_is_a_failure(made_state: Path) -> None:
    with (
        pytest.raises(Failure, match="broken: replace it"),
        opened(made_state / "worker.toml", None, None),
    ):
        raise TokenError("broken: replace it")
