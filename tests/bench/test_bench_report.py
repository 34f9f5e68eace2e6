import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from bench.report import (
    BEGIN,
    END,
    Report,
    Row,
    fill,
    markdown,
    number,
    once_only,
    ratio,
    rows_of,
    show,
    verdict,
    write_json,
)
from bench.targets import Target

ROWS = [
    Row("handshake_cpu", "offload", "p-256", 300.0, "us", 0.75, 2),
    Row("handshake_cpu", "nginx", "p-256", 400.0, "us", 1.0, 2),
    Row("idle_memory", "offload", "handshake", 30.0, "KiB", None, 1),
]
REPORT = Report(
    ROWS,
    described={("nginx", "http"): ("nginx/9", "TLSv1.3")},
    missing={"haproxy": "is not installed"},
)


def test_value_is_the_median_and_ratio_is_of_paired_rounds() -> None:
    samples = {"offload": [10.0, 40.0, 30.0], "nginx": [20.0, 80.0, 30.0], "haproxy": []}
    offload, nginx = rows_of("m", "k", "us", samples)
    # Paired: 0.5, 0.5, 1.0; the ratio of the medians would be 1.0.
    assert offload == Row("m", "offload", "k", 30.0, "us", 0.5, 3)
    assert nginx == Row("m", "nginx", "k", 30.0, "us", 1.0, 3)


def test_without_nginx_there_is_no_ratio() -> None:
    assert rows_of("m", "k", "us", {"offload": [1.0]})[0].ratio_to_nginx is None
    assert ratio([1.0], []) is None
    assert ratio([1.0], [0.0]) is None


def test_json_is_a_list_of_rows(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    write_json(file, ROWS[:1])
    assert json.loads(file.read_text()) == [
        {
            "measure": "handshake_cpu",
            "subject": "offload",
            "key": "p-256",
            "value": 300.0,
            "unit": "us",
            "ratio_to_nginx": 0.75,
        }
    ]


@pytest.mark.parametrize(
    ("target", "figure", "word"),
    [
        (Target("handshake_cpu", "p-256", 0.75, of_ratio=True), 0.75, "met"),
        (Target("handshake_cpu", "p-256", 0.7, of_ratio=True), 0.75, "missed"),
        (Target("handshake_cpu", "p-256", 299, of_ratio=False, at_least=True), 300, "met"),
        (Target("handshake_cpu", "p-256", 301, of_ratio=False, at_least=True), 300, "missed"),
        (Target("handshake_cpu", "rsa-2048", 1.0, of_ratio=True), None, "not measured"),
        (Target("idle_memory", "handshake", 1.0, of_ratio=True), None, "not measured"),
    ],
)
def test_verdict(target: Target, figure: float | None, word: str) -> None:
    assert verdict(target, ROWS) == (figure, word)


def test_markdown_fills_the_place_between_the_markers_again_and_again() -> None:
    text = markdown(REPORT, "Conditions.")
    assert "| handshake_cpu | p-256 | 300 (0.75 x) | 400 | us |" in text
    assert "| nginx | http | nginx/9 | TLSv1.3 |" in text
    assert "| haproxy | is not installed |" in text
    assert "One round only: idle_memory handshake." in text
    document = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    filled = fill(fill(document, text), text)
    assert filled == f"before\n{BEGIN}\n\n{text}\n\n{END}\nafter\n"


def test_a_document_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks the lines"):
        fill(BEGIN, "text")


def test_the_table_has_figures_verdicts_and_what_is_missing() -> None:
    output = io.StringIO()
    show(Console(file=output, width=160), REPORT)
    for part in ("300 (0.75 x)", "met", "missed", "not measured", "nginx/9", "is not installed"):
        assert part in output.getvalue()
    assert "One round only: idle_memory handshake." in output.getvalue()


def test_nothing_is_said_of_rounds_where_each_figure_had_several() -> None:
    assert once_only(ROWS[:2]) == ""


@pytest.mark.parametrize(
    ("value", "text"), [(0.1234, "0.123"), (23.456, "23.5"), (999.4, "999"), (12345.6, "12,346")]
)
def test_numbers_have_three_digits_or_more(value: float, text: str) -> None:
    assert number(value) == text
