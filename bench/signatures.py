"""The worker's measure: signatures over the wire beside the bare library call."""

import subprocess
import sys
from collections.abc import Iterator, Sequence

from bench.cpu import pinned, tree
from bench.lab import MEASURED_CORE
from bench.load import LoadFailed
from bench.process import Process, SubjectUnavailable
from bench.product import FRONTEND_NAME
from bench.report import Row, rows_of
from bench.run import Bench

SCHEMES = {"rsa-2048": 0x0804, "p-256": 0x0403}
IN_FLIGHT = 64
SPARE_SECONDS = 30.0

Figures = tuple[float, float]


def worker_signature(bench: Bench) -> Iterator[Row]:
    """Signatures/s and CPU-us of one, by a worker on one core and by the library alone."""
    try:
        process, port = bench.offload.start_worker(bench.lab, core=MEASURED_CORE)
        for key in SCHEMES:
            yield from _rows(key, *_samples(bench, key, process, port))
        process.stop()
    except (SubjectUnavailable, LoadFailed, OSError, subprocess.SubprocessError) as error:
        bench.note_missing("worker_signature offload", str(error))


def _samples(
    bench: Bench, key: str, process: Process, port: int
) -> tuple[list[Figures], list[Figures]]:
    worker, library = [], []
    for turn in range(bench.plan.signature_rounds):
        if turn and bench.late:
            break
        worker.append(_worker(bench, key, process, port))
        library.append(_library(key, bench.plan.signature_seconds))
    return worker, library


def _worker(bench: Bench, key: str, process: Process, port: int) -> Figures:
    from bench.signload import run
    from offload.config import Identity

    certificate, private = bench.offload.identity(bench.lab, FRONTEND_NAME)
    result = run(
        "127.0.0.1",
        port,
        Identity(certificate=certificate, key=private),
        bench.lab.authority.file,
        bench.offload.keys(bench.lab).skis[key],
        SCHEMES[key],
        IN_FLIGHT,
        bench.plan.signature_seconds,
        tree(process.pid),
    )
    if result["failures"] or not result["signatures"]:
        raise LoadFailed(f"{result['failures']} signatures failed: {process.last_words()}")
    return result["rate"], result["cpu_us"]


def _library(key: str, seconds: float) -> Figures:
    command = [sys.executable, "-m", "bench.library", key, str(seconds)]
    with pinned(MEASURED_CORE):
        output = subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=seconds + SPARE_SECONDS
        ).stdout
    rate, cpu = output.split()
    return float(rate), float(cpu)


def _rows(key: str, worker: Sequence[Figures], library: Sequence[Figures]) -> list[Row]:
    series = {
        ("worker_signature_rate", "1/s"): [rate for rate, _ in worker],
        ("library_signature_rate", "1/s"): [rate for rate, _ in library],
        ("worker_signature_cpu", "us"): [cpu for _, cpu in worker],
        ("library_signature_cpu", "us"): [cpu for _, cpu in library],
        ("worker_signature_ratio", "1"): [
            over[0] / bare[0] for over, bare in zip(worker, library, strict=True)
        ],
        # What the ratio would be if the worker never had to wait for its load.
        ("worker_signature_cpu_ratio", "1"): [
            bare[1] / over[1] for over, bare in zip(worker, library, strict=True)
        ],
    }
    return [
        row
        for (measure, unit), samples in series.items()
        for row in rows_of(measure, key, unit, {"offload": samples})
    ]
