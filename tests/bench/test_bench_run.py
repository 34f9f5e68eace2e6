import time
from typing import cast

from bench.lab import Lab
from bench.nginx import Backend
from bench.process import Process, SubjectUnavailable
from bench.product import Offload
from bench.run import QUICK, Bench, Subject, interleaved


class Named:
    """A subject that is never started."""

    mode = "stream"

    def __init__(self, name: str) -> None:
        self.name = name

    def version(self) -> str:
        return self.name

    def start(self, lab: Lab, key: str, backend: int) -> tuple[Process, int]:
        raise SubjectUnavailable("it is a name alone")


FIRST, SECOND, OTHER = Named("first"), Named("second"), Named("other")


def bench(started: float) -> Bench:
    return Bench(
        lab=cast(Lab, None),
        backend=cast(Backend, None),
        plan=QUICK,
        subjects=(FIRST, SECOND),
        http_subjects=(FIRST, OTHER),
        offload=cast(Offload, None),
        started=started,
    )


def test_subjects_take_turns_and_one_that_fails_is_left_out() -> None:
    turns: list[str] = []

    def sample(subject: Subject) -> float:
        turns.append(subject.name)
        if subject is SECOND and turns.count("second") == 2:
            raise SubjectUnavailable("it broke")
        return float(len(turns))

    run = bench(time.monotonic())
    samples = interleaved(run, "measure", "key", 3, sample)
    assert turns == ["first", "second", "first", "second", "first"]
    assert samples == {"first": [1.0, 3.0, 5.0], "second": []}
    assert run.missing == {"measure key second": "it broke"}


def test_a_late_run_does_first_rounds_alone() -> None:
    run = bench(time.monotonic() - QUICK.patience_seconds - 1)
    samples = interleaved(run, "measure", "key", 3, lambda _: 1.0, run.http_subjects)
    assert samples == {"first": [1.0], "other": [1.0]}


def test_a_subject_that_did_not_start_is_named_and_not_tried_again() -> None:
    run = bench(time.monotonic())

    def sample(subject: Subject) -> float:
        return float(run.running(subject, "p-256")[1])

    run.backend = cast(Backend, type("Fake", (), {"port": 1}))
    interleaved(run, "measure", "key", 2, sample)
    assert run.missing == {
        "measure key first": "it is a name alone",
        "measure key second": "it is a name alone",
    }
