"""`python -m bench`: the product, nginx and HAProxy side by side, in one run."""

import argparse
import os
import platform
import signal
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from rich.console import Console

from bench.cpu import pinned
from bench.haproxy import Haproxy
from bench.lab import LOAD_CORE, Lab
from bench.measures import KEYS, MEASURES
from bench.nginx import Backend, Nginx, has_stream
from bench.process import SubjectUnavailable
from bench.product import Offload
from bench.report import Report, Row, fill, markdown, show, write_json
from bench.run import FULL, QUICK, Bench, OutOfTime, Plan


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything: under 50 s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows as JSON")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="fill the figures into this document"
    )
    parser.add_argument(
        "--only",
        type=_measures,
        default=tuple(MEASURES),
        metavar="MEASURE,...",
        help="among " + ", ".join(MEASURES),
    )
    return parser.parse_args(argv)


def _measures(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        if name not in MEASURES:
            raise argparse.ArgumentTypeError(f"{name!r} is not among {', '.join(MEASURES)}")
    return names


def main(argv: Sequence[str]) -> int:
    """Run the measures asked for; 0, or 1 if there is no figure at all."""
    arguments = _arguments(argv)
    signal.signal(signal.SIGTERM, _interrupt)
    started, busy = datetime.now(UTC), os.getloadavg()[0]
    plan = QUICK if arguments.quick else FULL
    with Lab() as lab:
        try:
            report = _run(lab, plan, arguments.only)
        except (SubjectUnavailable, OutOfTime) as error:
            print(f"the benchmark cannot run: {error}", file=sys.stderr)
            return 1
    show(Console(width=None if sys.stdout.isatty() else 140), report)
    if arguments.json:
        write_json(arguments.json, report.rows)
    if arguments.markdown:
        document = arguments.markdown.read_text()
        text = markdown(report, _conditions(started, busy, quick=arguments.quick))
        arguments.markdown.write_text(fill(document, text))
    return 0 if report.rows else 1


def _run(lab: Lab, plan: Plan, only: Sequence[str]) -> Report:
    _end_after(plan.budget_seconds)
    keys = KEYS if {"handshake_cpu", "connection_cpu"} & set(only) else KEYS[:2]
    offload = Offload(keys)
    bench = Bench(
        lab=lab,
        backend=Backend(lab, plan.megabytes),
        plan=plan,
        subjects=(offload, Nginx("stream"), Haproxy("stream")),
        http_subjects=(offload, Nginx("http"), Haproxy("http")),
        offload=offload,
    )
    if not has_stream():
        bench.note_missing("nginx stream module", "measured as an HTTP proxy instead")
    start = time.monotonic()
    _prepare(bench, keys)
    print(f"keys and worker: {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)
    with pinned(LOAD_CORE):
        rows = _measure(bench, [name for name in MEASURES if name in only])
    return Report(rows, bench.described, bench.missing)


def _measure(bench: Bench, names: Sequence[str]) -> list[Row]:
    rows: list[Row] = []
    left = list(names)
    try:
        while left:
            start = time.monotonic()
            for row in MEASURES[left[0]](bench):
                rows.append(row)  # one by one, so that time's end takes no finished row away
            print(f"{left.pop(0)}: {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)
        _end_after(0)
    except OutOfTime as error:
        bench.note_missing(left[0], f"{error}; it lacks what is not above")
        for name in left[1:]:
            bench.note_missing(name, str(error))
    return rows


def _end_after(seconds: float) -> None:
    """Raise OutOfTime then, once, wherever the main thread is; 0 calls it off."""

    def end(number: int, frame: FrameType | None) -> None:
        raise OutOfTime(f"the {seconds:g} s of the run were over")

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _prepare(bench: Bench, keys: Sequence[str]) -> None:
    """Make the keys, which takes longest, on all cores and before anything is measured."""
    with ThreadPoolExecutor() as threads:
        worker = threads.submit(bench.offload.worker_port, bench.lab)
        list(threads.map(bench.lab.local_key, keys))
    with suppress(SubjectUnavailable):  # which the first measure that needs it reports
        worker.result()


def _conditions(started: datetime, busy: float, *, quick: bool) -> str:
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return (
        f"{'Quick' if quick else 'Full'} run of {started:%Y-%m-%d %H:%M} UTC on {cpu},"
        f" {os.cpu_count()} cores, Linux {platform.release()}, CPython {platform.python_version()};"
        f" load average before it {busy:.1f}."
    )


def _interrupt(number: int, frame: FrameType | None) -> None:
    # As an exception, so that every process is ended on the way out.
    raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
