"""The measures: what is divided by what, for which subjects, in which turns."""

import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import cache, partial

from bench import load
from bench.cpu import Stopwatch, Vanished, proportional_bytes, tree
from bench.lab import LOAD_CORE
from bench.nginx import has_stream
from bench.process import Process, SubjectUnavailable, free_port
from bench.report import Row, rows_of
from bench.run import Bench, Subject, interleaved
from bench.signatures import worker_signature

KEYS = ("p-256", "rsa-2048", "rsa-4096")
DELAYS_MS = (0, 20, 100)
SUITES = {"aes-128": "TLS_AES_128_GCM_SHA256", "aes-256": "TLS_AES_256_GCM_SHA384"}
# Where a handshake takes long, few connections: they tend to be served in step, in waves.
CONNECTIONS = {"p-256": 32, "rsa-2048": 32, "rsa-4096": 8}
# s_time has one handshake under way at a time.
CLIENTS = 8
# By Little's law the longest delay keeps 100 of them busy at 1,000 handshakes/s. More would not
# help: they go round in waves, of which a count must hold many, or it depends on where it began.
RATE_CONNECTIONS = 192
WARM_UP_SECONDS = 0.2
FIRST_IDLE = 50
SETTLE_SECONDS = 0.25
SPARE_SECONDS = 8.0


def handshake_cpu(bench: Bench) -> Iterator[Row]:
    """CPU-us of a full handshake alone, no request and no connection to the backend, by key."""
    for key in KEYS:
        samples = interleaved(
            bench,
            "handshake_cpu",
            key,
            bench.plan.rounds,
            partial(_cpu_per_handshake, bench, key),
            bench.http_subjects,
        )
        yield from rows_of("handshake_cpu", key, "us", samples)


def _cpu_per_handshake(bench: Bench, key: str, subject: Subject) -> float:
    process, port = bench.running(subject, key)
    watch = Stopwatch(process.pid)
    with load.handshakes(port, processes=CLIENTS) as clients:
        _counted(clients.count, WARM_UP_SECONDS, CLIENTS)
        before = bench.backend.connections()
        done = _counted(clients.count, bench.plan.handshake_seconds, CLIENTS, watch.restart)
        spent = watch.seconds()
        relayed = bench.backend.connections() - before
    if relayed * 100 > done:
        raise load.LoadFailed(f"{done} handshakes made {relayed} connections to the backend")
    return spent / done * 1e6


def connection_cpu(bench: Bench) -> Iterator[Row]:
    """CPU-us of a full handshake with one small response, a connection each, by key.

    A quick run has the first key alone: no target is about this measure.
    """
    for key in KEYS if bench.plan.extras else KEYS[:1]:
        samples = interleaved(
            bench,
            "connection_cpu",
            key,
            bench.plan.connection_rounds,
            partial(_cpu_per_request, bench, key, True),
        )
        yield from rows_of("connection_cpu", key, "us", samples)


def keepalive_cpu(bench: Bench) -> list[Row]:
    """CPU-us of a request with a small response on a kept-alive connection."""
    samples = interleaved(
        bench,
        "keepalive_cpu",
        "p-256",
        bench.plan.rounds,
        partial(_cpu_per_request, bench, "p-256", False),
    )
    return rows_of("keepalive_cpu", "p-256", "us", samples)


def _cpu_per_request(bench: Bench, key: str, close: bool, subject: Subject) -> float:
    process, port = bench.running(subject, key)
    connections, count = CONNECTIONS[key], bench.backend.requests
    watch = Stopwatch(process.pid)
    with load.requests(port, connections=connections, close=close):
        _counted(count, WARM_UP_SECONDS, connections)
        done = _counted(count, bench.plan.handshake_seconds, connections, watch.restart)
        spent = watch.seconds()
    return spent / done * 1e6


def _counted(
    count: Callable[[], int],
    seconds: float,
    at_least: int,
    started: Callable[[], None] = lambda: None,
) -> int:
    """Wait so long, and on until `count` has risen by so many; by how many it has.

    The load goes on before and after, so that no half-done handshake is counted; `started` is
    called when the count starts. Raises LoadFailed if it takes too long.
    """
    first = count()
    started()
    deadline = time.monotonic() + seconds + SPARE_SECONDS
    pause = seconds
    while time.monotonic() < deadline:
        time.sleep(pause)
        pause = 0.05
        done = count() - first
        if done >= at_least:
            return done
    raise load.LoadFailed(f"{SPARE_SECONDS:g} s more were not enough for {at_least} in all")


def handshake_rate(bench: Bench) -> list[Row]:
    """Full handshakes/s; the product's also with a delay added to every signature, and the ratio.

    The product's signatures pass through the delaying relay with a delay of 0 too.
    """
    rates: dict[int, list[float]] = {delay: [] for delay in DELAYS_MS}
    frontend = cache(partial(_delayed_frontend, bench))

    def sample(subject: Subject) -> float:
        if subject is not bench.offload:
            return _rate(bench, bench.running(subject, "p-256")[1])
        relay, port = frontend()
        for delay in DELAYS_MS:
            rates[delay].append(_rate(bench, port, delay / 1e3))
            relay.signal(signal.SIGUSR1)  # on to the next delay
        return rates[0][-1]

    samples = interleaved(bench, "handshake_rate", "0ms", bench.plan.rate_rounds, sample)
    rows = rows_of("handshake_rate", "0ms", "1/s", samples)
    if not samples[bench.offload.name]:
        return rows
    for delay in DELAYS_MS:
        name = f"{delay}ms"
        ratios = [rate / base for rate, base in zip(rates[delay], rates[0], strict=True)]
        if delay:
            rows += rows_of("handshake_rate", name, "1/s", {"offload": rates[delay]})
        rows += rows_of("handshake_rate_ratio", name, "1", {"offload": ratios})
    return rows


def _delayed_frontend(bench: Bench) -> tuple[Process, int]:
    port = free_port()
    worker = bench.offload.worker_port(bench.lab)
    delays = [str(delay) for delay in DELAYS_MS]
    command = [sys.executable, "-m", "bench.delay", str(port), str(worker), *delays]
    relay = bench.lab.start("delay", command, core=LOAD_CORE)
    bench.lab.wait_listening(relay, port)
    start = bench.offload.start_frontend
    return relay, start(bench.lab, "p-256", bench.backend.port, worker=port)[1]


def _rate(bench: Bench, port: int, delay: float = 0) -> float:
    count = bench.backend.requests
    with load.requests(port, connections=RATE_CONNECTIONS, close=True):
        # Once round at least, so that connections no longer come in the wave they started in.
        _counted(count, WARM_UP_SECONDS + delay, RATE_CONNECTIONS)
        start = time.monotonic()
        done = _counted(count, bench.plan.rate_seconds, RATE_CONNECTIONS)
        return done / (time.monotonic() - start)


def relay_cpu(bench: Bench) -> Iterator[Row]:
    """CPU seconds per gigabyte relayed each way; with extras also with the suite prescribed."""
    suites = {"": "", **({f"-{name}": suite for name, suite in SUITES.items()})}
    for suffix, suite in suites.items() if bench.plan.extras else [("", "")]:
        loads: dict[str, Callable[[int], float]] = {
            "download": partial(load.download, bench.plan.megabytes * 1_000_000, suite),
            "upload": partial(load.upload, bench.backend.large, suite),
        }
        for name, transfer in loads.items():
            samples = interleaved(
                bench,
                "relay_cpu",
                name + suffix,
                bench.plan.relay_rounds,
                partial(_cpu_per_gigabyte, bench, name == "upload", transfer),
            )
            yield from rows_of("relay_cpu", name + suffix, "s/GB", samples)


def _cpu_per_gigabyte(
    bench: Bench, sends: bool, transfer: Callable[[int], float], subject: Subject
) -> float:
    process, port = bench.running(subject, "p-256")
    if subject.name == "nginx" and sends and not has_stream():
        raise SubjectUnavailable("as an HTTP proxy it drops an upload once it has the response")
    watch = Stopwatch(process.pid)
    gigabytes = transfer(port)
    return watch.seconds() / gigabytes


def idle_memory(bench: Bench) -> list[Row]:
    """KiB of an idle connection, after its handshake and after a request besides.

    It comes before any other measure: a process that had many connections before has memory left
    over from them, and would seem to need less for new ones.
    """
    samples: dict[str, dict[str, list[float]]] = {"handshake": {}, "request": {}}
    for subject in bench.subjects:
        try:
            process, port = bench.running(subject, "p-256")
            handshake, request = _idle_kibibytes(bench, process.pid, port)
        except (SubjectUnavailable, load.LoadFailed, Vanished, OSError) as error:
            bench.note_missing(f"idle_memory {subject.name}", str(error))
            continue
        samples["handshake"][subject.name] = [handshake]
        samples["request"][subject.name] = [request]
    return [row for key, by in samples.items() for row in rows_of("idle_memory", key, "KiB", by)]


def _idle_kibibytes(bench: Bench, pid: int, port: int) -> tuple[float, float]:
    count, context = bench.plan.idle, bench.lab.client_context()
    with ExitStack() as stack:
        # What the first connections cost once and for all is no cost of each.
        first = stack.enter_context(load.idle_connections(port, FIRST_IDLE, context))
        load.one_request_each(first)
        before = _settled_bytes(pid)
        more = stack.enter_context(load.idle_connections(port, count, context))
        handshake = _settled_bytes(pid) - before
        load.one_request_each(more)
        request = _settled_bytes(pid) - before
    return handshake / count / 1024, request / count / 1024


def _settled_bytes(pid: int) -> int:
    time.sleep(SETTLE_SECONDS)
    return proportional_bytes(tree(pid))


# In the order in which they are run: what comes last goes short when time does.
MEASURES: dict[str, Callable[[Bench], Iterable[Row]]] = {
    "idle_memory": idle_memory,
    "handshake_cpu": handshake_cpu,
    "keepalive_cpu": keepalive_cpu,
    "relay_cpu": relay_cpu,
    "worker_signature": worker_signature,
    "handshake_rate": handshake_rate,
    "connection_cpu": connection_cpu,
}
