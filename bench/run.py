"""One run: its plan, its subjects, and how they take turns."""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from bench.cpu import Vanished
from bench.lab import Lab
from bench.load import LoadFailed
from bench.nginx import Backend
from bench.process import Process, SubjectUnavailable
from bench.product import Offload


class Subject(Protocol):
    """Something that is measured: starts one front-end for a type of key."""

    name: str

    def start(self, lab: Lab, key: str, backend: int) -> tuple[Process, int]:
        """The process and the port it serves; raises SubjectUnavailable."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything a run does; seconds are those of one turn of one subject."""

    rounds: int
    handshake_seconds: float
    rate_rounds: int
    rate_seconds: float
    signature_rounds: int
    signature_seconds: float
    relay_rounds: int
    megabytes: int
    idle: int
    extras: bool
    # From then on since its start, the run does no second rounds.
    patience_seconds: float


QUICK = Plan(
    rounds=2,
    handshake_seconds=0.35,
    rate_rounds=1,
    rate_seconds=0.8,
    signature_rounds=1,
    signature_seconds=0.5,
    relay_rounds=1,
    megabytes=200,
    idle=300,
    extras=False,
    patience_seconds=18.0,
)
FULL = Plan(
    rounds=7,
    handshake_seconds=1.0,
    rate_rounds=3,
    rate_seconds=4.0,
    signature_rounds=4,
    signature_seconds=2.0,
    relay_rounds=3,
    megabytes=400,
    idle=1000,
    extras=True,
    patience_seconds=600.0,
)


@dataclass(slots=True)
class Bench:
    """One run: its lab, backend and subjects, and what they are called when they are missing."""

    lab: Lab
    backend: Backend
    plan: Plan
    subjects: tuple[Subject, ...]
    offload: Offload
    missing: dict[str, str] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    _unavailable: dict[str, str] = field(default_factory=dict)
    _running: dict[tuple[str, str], tuple[Process, int]] = field(default_factory=dict)

    def running(self, subject: Subject, key: str) -> tuple[Process, int]:
        """The subject's process with this type of key, started on first use."""
        known = self._running.get((subject.name, key))
        if known is None:
            known = self._running[subject.name, key] = self.fresh(subject, key)
        return known

    def fresh(self, subject: Subject, key: str) -> tuple[Process, int]:
        """A new process of the subject; raises SubjectUnavailable also if it resumes sessions.

        A subject that did not start once is not tried again: each attempt may take its time.
        """
        if subject.name in self._unavailable:
            raise SubjectUnavailable(self._unavailable[subject.name])
        try:
            process, port = subject.start(self.lab, key, self.backend.port)
            if self.lab.resumes(port):
                raise SubjectUnavailable("it resumes sessions although it was told not to")
        except (SubjectUnavailable, OSError) as error:
            self._unavailable[subject.name] = str(error)
            raise SubjectUnavailable(str(error)) from error
        return process, port

    def note_missing(self, what: str, why: str) -> None:
        """Say once, on standard error and in the report, that something could not be measured."""
        why = " ".join(why.split())
        if what not in self.missing:
            self.missing[what] = why
            print(f"missing: {what}: {why}", file=sys.stderr)


Sample = Callable[[Subject], float]


def interleaved(
    bench: Bench, measure: str, key: str, rounds: int, sample: Sample
) -> Mapping[str, list[float]]:
    """Samples of each subject, taken in turns; a subject that fails is noted and left out."""
    samples: dict[str, list[float]] = {subject.name: [] for subject in bench.subjects}
    left = list(bench.subjects)
    for turn in range(rounds):
        if turn and time.monotonic() - bench.started > bench.plan.patience_seconds:
            break
        for subject in tuple(left):
            try:
                samples[subject.name].append(sample(subject))
            except (SubjectUnavailable, LoadFailed, Vanished, OSError) as error:
                bench.note_missing(f"{measure} {key} {subject.name}", str(error))
                samples[subject.name].clear()
                left.remove(subject)
    return samples
