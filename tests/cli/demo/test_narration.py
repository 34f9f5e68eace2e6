import pytest

from offload.cli.demo.narration import fact, title


def test_facts_stand_below_their_title_in_columns(capsys: pytest.CaptureFixture[str]) -> None:
    title("Running")
    fact("website", "plain HTTP")
    fact("frontend-1", "no private key")
    told = capsys.readouterr().out
    assert told == "\nRunning\n  website    plain HTTP\n  frontend-1 no private key\n"
