"""Lines are JSON or text on standard error, and no secret reaches them."""

import io
import logging
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import structlog
from pydantic import SecretStr

from offload.observe import log


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def _line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    captured = capsys.readouterr()
    assert captured.out == ""
    line: dict[str, Any] = orjson.loads(captured.err)
    return line


def test_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json")
    log.get_logger("pool").info("link is up", worker="one", seconds=0.25)
    line = _line(capsys)
    assert line.pop("time").endswith("Z")
    assert line == {
        "event": "link is up",
        "level": "info",
        "logger": "pool",
        "worker": "one",
        "seconds": 0.25,
    }


def test_text_line(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "text")
    log.get_logger("pool").warning("link is down", worker="one")
    error = capsys.readouterr().err
    assert "link is down" in error
    assert "worker=one" in error


def test_lower_levels_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("warning", "json")
    log.get_logger("pool").info("not shown")
    logging.getLogger("library").info("not shown")
    assert capsys.readouterr().err == ""


def test_secrets_are_masked(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json")
    log.get_logger("token").info(
        "opened",
        passphrase="hunter2",
        user_pin="1234",
        sealed=b"hunter2",
        settings={"password": "hunter2", "name": "one"},
        wrapped=SecretStr("hunter2"),
    )
    line = _line(capsys)
    assert "hunter2" not in str(line)
    assert line["user_pin"] == "[masked]"
    assert line["sealed"] == "[7 bytes]"
    assert line["settings"] == {"password": "[masked]", "name": "one"}


@pytest.mark.parametrize("format", ["json", "text"])
def test_tracebacks_carry_no_locals(capsys: pytest.CaptureFixture[str], format: log.Format) -> None:
    log.configure("info", format)
    private = "hunter" + str(2)
    try:
        raise ValueError(f"wrong length {len(private)}")
    except ValueError:
        log.get_logger("token").exception("failed")
    error = capsys.readouterr().err
    assert "wrong length 7" in error
    assert private not in error


@pytest.mark.parametrize("name", ["passphrase_file", "pinned", "shipping"])
def test_names_that_only_look_secret_are_shown(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    log.configure("info", "json")
    log.get_logger("x").info("shown", **{name: "value"})
    assert _line(capsys)[name] == "value"


def test_libraries_speak_the_same_format(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json")
    logging.getLogger("library").warning("slow %s", "answer")
    line = _line(capsys)
    assert (line["event"], line["logger"], line["level"]) == ("slow answer", "library", "warning")


def test_configuring_again_does_not_double_lines(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json")
    log.configure("info", "json")
    logging.getLogger("library").warning("once")
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_broken_standard_error_does_not_break_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.BytesIO):
        def write(self, data: Any) -> int:
            raise BrokenPipeError

    log.configure("info", "json")
    monkeypatch.setattr("sys.stderr", io.TextIOWrapper(Gone()))
    log.get_logger("x").info("lost")
