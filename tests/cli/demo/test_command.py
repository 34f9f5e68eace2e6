import os
import signal
from pathlib import Path

import pytest

from offload.cli import main
from offload.cli.failure import Failure


@pytest.mark.parametrize(("arguments", "code"), [([], 0), (["--once"], 130)])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_it(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, number: signal.Signals
) -> None:
    def tell(_directory: Path, *, once: bool) -> None:
        assert once is bool(arguments)
        os.kill(os.getpid(), number)
        signal.pause()

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("offload.cli.demo.story.tell", tell)
    assert main.run(["demo", *arguments]) == code
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_state_is_gone_unless_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    places: list[Path] = []

    def tell(directory: Path, *, once: bool) -> None:
        places.append(directory)
        directory.mkdir()

    monkeypatch.setattr("offload.cli.demo.story.tell", tell)
    assert main.run(["demo", "--once"]) == 0
    assert main.run(["demo", "--once", "--directory", str(tmp_path / "kept")]) == 0
    assert [place.exists() for place in places] == [False, True]


def test_a_failure_is_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def tell(_directory: Path, *, once: bool) -> None:
        raise Failure("no signature came")

    monkeypatch.setattr("offload.cli.demo.story.tell", tell)
    assert main.run(["demo"]) == 1
    assert capsys.readouterr().err == "offload: error: no signature came\n"
