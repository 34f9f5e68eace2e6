"""Figures of a run: rows, ratios, verdicts, and their table, JSON and Markdown."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.targets import TARGETS, Target

REFERENCE = "nginx"
COLUMNS = ("measure", "subject", "key", "value", "unit", "ratio_to_nginx")
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure; `ratio_to_nginx` is None where nginx has no such figure.

    `rounds` says of how many samples it is the median.
    """

    measure: str
    subject: str
    key: str
    value: float
    unit: str
    ratio_to_nginx: float | None
    rounds: int = 1


@dataclass(frozen=True, slots=True)
class Report:
    """All that a run has found out.

    `described` has, by subject and mode, its version and what it negotiates; `missing` has what
    could not be measured, and why.
    """

    rows: Sequence[Row]
    described: Mapping[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)


def rows_of(measure: str, key: str, unit: str, samples: Mapping[str, Sequence[float]]) -> list[Row]:
    """A row for each subject from its samples, one sample a round, in the order of the rounds.

    The value is the median of the samples. The ratio is the median of the rounds' own ratios:
    what disturbs the machine for longer than a round disturbs both sides of it.
    """
    reference = samples.get(REFERENCE, ())
    return [
        Row(measure, subject, key, median(values), unit, ratio(values, reference), len(values))
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
    objects = [{column: getattr(row, column) for column in COLUMNS} for row in rows]
    path.write_text(json.dumps(objects, indent=1) + "\n")


def show(console: Console, report: Report) -> None:
    """Print the figures, the verdicts, the subjects, and what could not be measured."""
    for title, header, cells in _tables(report):
        table = Table(title=title, title_justify="left")
        for number, name in enumerate(header):
            right = number > 1
            table.add_column(name, justify="right" if right else "left", no_wrap=not right)
        for line in cells:
            table.add_row(*line)
        console.print(table)
    if sentence := once_only(report.rows):
        console.print(sentence, highlight=False)


def once_only(rows: Iterable[Row]) -> str:
    """A sentence that names the figures which are one round's alone; empty if none is."""
    names = dict.fromkeys(f"{row.measure} {row.key}" for row in rows if row.rounds == 1)
    return f"One round only: {', '.join(names)}." if names else ""


def markdown(report: Report, conditions: str) -> str:
    """The same as Markdown, headed by the conditions of the run."""
    parts = [conditions]
    for title, header, cells in _tables(report):
        lines = [header, ["---"] * len(header), *cells]
        text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        parts.append(f"**{title}**\n\n{text}")
    if sentence := once_only(report.rows):
        parts.append(sentence)
    return "\n\n".join(parts)


def fill(document: str, text: str) -> str:
    """The document with the text between its markers; raises ValueError without markers."""
    head, begin, rest = document.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document lacks the lines {BEGIN} and {END}")
    return f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}"


def _tables(report: Report) -> Iterable[tuple[str, list[str], list[list[str]]]]:
    rows = report.rows
    yield "Figures", ["measure", "key", *_subjects(rows), "unit"], _figures(rows)
    header = ["target", "key", "bound", "this run", "verdict"]
    yield "Targets", header, [_target_line(target, rows) for target in TARGETS]
    if report.described:
        header = ["subject", "proxies", "version", "negotiates"]
        lines = [[*subject, *words] for subject, words in sorted(report.described.items())]
        yield "Subjects", header, lines
    if report.missing:
        yield "Missing", ["what", "why"], [[what, why] for what, why in report.missing.items()]


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
