from datetime import UTC, datetime

import pytest

from offload.cli import printing
from offload.cluster.views import Done


def test_fields_are_aligned_and_none_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    printing.fields((("a", True), ("long", ("x", "y")), ("none", None), ("empty", ())))
    assert capsys.readouterr().out == "a      yes\nlong   x, y\nempty  -\n"
    printing.fields((("a", 0),), err=True)
    assert capsys.readouterr() == ("", "a  0\n")


def test_a_table_shows_what_it_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    printing.table(("ID", "WHAT"), (("f" * 64, "[bold]x[/bold]"), ("1", "")))
    head, *rows = (line.split() for line in capsys.readouterr().out.splitlines())
    assert head == ["ID", "WHAT"]
    assert rows == [["f" * 64, "[bold]x[/bold]"], ["1", "-"]]


def test_a_line_of_json_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    printing.views((Done(), Done()))
    assert capsys.readouterr().out == '{"done":true}\n{"done":true}\n'


def test_moments() -> None:
    assert (
        printing.moment(datetime(2030, 1, 2, 3, 4, 5, 6, tzinfo=UTC)) == "2030-01-02 03:04:05 UTC"
    )
    assert printing.moment(None) is None
