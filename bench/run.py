"""One run: its plan, its subjects, and how they take turns."""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from bench.cpu import Vanished
from bench.lab import Lab
from bench.load import LoadFailed
from bench.negotiation import negotiated
from bench.nginx import Backend
from bench.process import Process, SubjectUnavailable
from bench.product import Offload


class OutOfTime(Exception):
    """The run's time is up; raised wherever it is just then."""


class Subject(Protocol):
    """Something that is measured: starts one front-end for a type of key."""

    name: str

    @property
    def mode(self) -> str:
        """Whether it proxies a "stream" or "http"."""

    def version(self) -> str:
        """Its version and its OpenSSL's; raises SubjectUnavailable."""

    def start(self, lab: Lab, key: str, backend: int) -> tuple[Process, int]:
        """The process and the port it serves; raises SubjectUnavailable."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything a run does; seconds are those of one turn of one subject."""

    rounds: int
    handshake_seconds: float
    connection_rounds: int
    rate_rounds: int
    rate_seconds: float
    signature_rounds: int
    signature_seconds: float
    relay_rounds: int
    megabytes: int
    idle: int
    extras: bool
    # Since the start of the run: from then on there are no second rounds, ...
    patience_seconds: float
    # ... and then the run ends, whatever it is doing.
    budget_seconds: float


QUICK = Plan(
    rounds=2,
    handshake_seconds=0.3,
    connection_rounds=1,
    rate_rounds=1,
    rate_seconds=1.0,
    signature_rounds=1,
    signature_seconds=0.4,
    relay_rounds=1,
    megabytes=200,
    idle=200,
    extras=False,
    patience_seconds=18.0,
    budget_seconds=47.0,
)
FULL = Plan(
    rounds=7,
    handshake_seconds=1.0,
    connection_rounds=5,
    rate_rounds=5,
    rate_seconds=4.0,
    signature_rounds=4,
    signature_seconds=2.0,
    relay_rounds=3,
    megabytes=400,
    idle=1000,
    extras=True,
    patience_seconds=600.0,
    budget_seconds=1200.0,
)


@dataclass(slots=True)
class Bench:
    """One run: its lab, backend and subjects, and what they are called when they are missing."""

    lab: Lab
    backend: Backend
    plan: Plan
    subjects: tuple[Subject, ...]
    # The same, where a handshake without a request must open no connection to the backend.
    http_subjects: tuple[Subject, ...]
    offload: Offload
    # What each subject and mode is and negotiates, in words.
    described: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    _unavailable: dict[Subject, str] = field(default_factory=dict)
    _running: dict[tuple[Subject, str], tuple[Process, int]] = field(default_factory=dict)

    def running(self, subject: Subject, key: str) -> tuple[Process, int]:
        """The subject's process with this type of key, started on first use."""
        known = self._running.get((subject, key))
        if known is None:
            known = self._running[subject, key] = self.fresh(subject, key)
        return known

    def fresh(self, subject: Subject, key: str) -> tuple[Process, int]:
        """A new process of the subject; raises SubjectUnavailable also if it resumes sessions.

        A subject that did not start once is not tried again: each attempt may take its time.
        """
        if subject in self._unavailable:
            raise SubjectUnavailable(self._unavailable[subject])
        try:
            process, port = subject.start(self.lab, key, self.backend.port)
            if self.lab.resumes(port):
                raise SubjectUnavailable("it resumes sessions although it was told not to")
            if (subject.name, subject.mode) not in self.described:
                known = subject.version(), f"{key} key: {negotiated(port)}"
                self.described[subject.name, subject.mode] = known
        except (SubjectUnavailable, OSError) as error:
            self._unavailable[subject] = str(error)
            raise SubjectUnavailable(str(error)) from error
        return process, port

    @property
    def late(self) -> bool:
        """Whether there is no time left for second rounds."""
        return time.monotonic() - self.started > self.plan.patience_seconds

    def note_missing(self, what: str, why: str) -> None:
        """Say once, on standard error and in the report, that something could not be measured."""
        why = " ".join(why.split())
        if what not in self.missing:
            self.missing[what] = why
            print(f"missing: {what}: {why}", file=sys.stderr)


Sample = Callable[[Subject], float]


def interleaved(
    bench: Bench,
    measure: str,
    key: str,
    rounds: int,
    sample: Sample,
    subjects: tuple[Subject, ...] | None = None,
) -> Mapping[str, list[float]]:
    """Samples of each subject, taken in turns; a subject that fails is noted and left out.

    They are `bench.subjects` unless others are given. Rounds after the first are left out when
    it is late.
    """
    left = list(bench.subjects if subjects is None else subjects)
    samples: dict[str, list[float]] = {subject.name: [] for subject in left}
    for turn in range(rounds):
        if turn and bench.late:
            break
        for subject in tuple(left):
            try:
                samples[subject.name].append(sample(subject))
            except (SubjectUnavailable, LoadFailed, Vanished, OSError) as error:
                bench.note_missing(f"{measure} {key} {subject.name}", str(error))
                samples[subject.name].clear()
                left.remove(subject)
    return samples
