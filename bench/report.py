"""Figures of a run: rows, ratios, verdicts, and their table, JSON and Markdown."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.targets import TARGETS, Target

REFERENCE = "nginx"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure; `ratio_to_nginx` is None where nginx has no such figure."""

    measure: str
    subject: str
    key: str
    value: float
    unit: str
    ratio_to_nginx: float | None


def rows_of(measure: str, key: str, unit: str, samples: Mapping[str, Sequence[float]]) -> list[Row]:
    """A row for each subject from its samples, one sample a round, in the order of the rounds.

    The value is the median of the samples. The ratio is the median of the rounds' own ratios:
    what disturbs the machine for longer than a round disturbs both sides of it.
    """
    reference = samples.get(REFERENCE, ())
    return [
        Row(measure, subject, key, median(values), unit, ratio(values, reference))
        for subject, values in samples.items()
        if values
    ]


def ratio(values: Sequence[float], reference: Sequence[float]) -> float | None:
    """The median ratio of paired samples; None without a pair."""
    pairs = [value / other for value, other in zip(values, reference, strict=False) if other]
    return median(pairs) if pairs else None


def verdict(target: Target, rows: Iterable[Row]) -> tuple[float | None, str]:
    """The product's figure for a target, and "met", "missed" or "not measured"."""
    for row in rows:
        if (row.measure, row.subject, row.key) == (target.measure, "offload", target.key):
            figure = row.ratio_to_nginx if target.of_ratio else row.value
            if figure is not None:
                return figure, "met" if target.met_by(figure) else "missed"
    return None, "not measured"


def write_json(path: Path, rows: Sequence[Row]) -> None:
    """Write the rows as a JSON list of objects."""
    path.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


def show(console: Console, rows: Sequence[Row], missing: Mapping[str, str]) -> None:
    """Print the figures, the verdicts, and what could not be measured."""
    for title, header, cells in _tables(rows, missing):
        table = Table(title=title, title_justify="left")
        for number, name in enumerate(header):
            right = number > 1
            table.add_column(name, justify="right" if right else "left", no_wrap=not right)
        for line in cells:
            table.add_row(*line)
        console.print(table)


def markdown(rows: Sequence[Row], missing: Mapping[str, str], conditions: str) -> str:
    """The same as Markdown, headed by the conditions of the run."""
    parts = [conditions]
    for title, header, cells in _tables(rows, missing):
        lines = [header, ["---"] * len(header), *cells]
        text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        parts.append(f"**{title}**\n\n{text}")
    return "\n\n".join(parts)


def fill(document: str, text: str) -> str:
    """The document with the text between its markers; raises ValueError without markers."""
    head, begin, rest = document.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document lacks the lines {BEGIN} and {END}")
    return f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}"


def _tables(
    rows: Sequence[Row], missing: Mapping[str, str]
) -> Iterable[tuple[str, list[str], list[list[str]]]]:
    yield "Figures", ["measure", "key", *_subjects(rows), "unit"], _figures(rows)
    header = ["target", "key", "bound", "this run", "verdict"]
    yield "Targets", header, [_target_line(target, rows) for target in TARGETS]
    if missing:
        yield "Missing", ["what", "why"], [[what, why] for what, why in missing.items()]


def _subjects(rows: Sequence[Row]) -> list[str]:
    return [
        name for name in ("offload", "nginx", "haproxy") if any(r.subject == name for r in rows)
    ]


def _figures(rows: Sequence[Row]) -> list[list[str]]:
    lines: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        lines.setdefault((row.measure, row.key), {})[row.subject] = row
    subjects = _subjects(rows)
    return [
        [
            measure,
            key,
            *(_cell(by.get(subject)) for subject in subjects),
            next(iter(by.values())).unit,
        ]
        for (measure, key), by in lines.items()
    ]


def _cell(row: Row | None) -> str:
    if row is None:
        return "-"
    other = row.subject != REFERENCE and row.ratio_to_nginx is not None
    return number(row.value) + (f" ({row.ratio_to_nginx:.2f} x)" if other else "")


def number(value: float) -> str:
    """Three or more significant digits, no exponent."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _target_line(target: Target, rows: Sequence[Row]) -> list[str]:
    figure, word = verdict(target, rows)
    shown = "-" if figure is None else number(figure)
    return [target.measure, target.key, target.bound_text, shown, word]
