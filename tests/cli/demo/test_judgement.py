import pytest

from offload.cli.demo.judgement import judge
from offload.cli.demo.memory import Scan
from offload.cli.failure import Failure

BOTH = ("localhost-p256", "localhost-rsa")
CLEAN = Scan(frozenset(), 5_000_000)


@pytest.mark.parametrize(
    ("front_end", "workers", "said"),
    [
        (Scan(frozenset(BOTH), 1), [Scan(frozenset(BOTH), 1)], "in the memory of front-end: local"),
        (
            CLEAN,
            [Scan(frozenset(BOTH[:1]), 1), CLEAN],
            "misses localhost-rsa, so it proves nothing",
        ),
        (CLEAN, [CLEAN], "misses localhost-p256, localhost-rsa, so it proves nothing"),
    ],
)
def test_a_memory_that_is_not_as_it_should_be_is_a_failure(
    front_end: Scan, workers: list[Scan], said: str
) -> None:
    found = {f"worker-{number}": worker for number, worker in enumerate(workers)}
    with pytest.raises(Failure, match=said):
        judge({"front-end": front_end}, found, frozenset(BOTH))


def test_each_key_is_to_be_found_in_the_worker_that_used_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    workers = {
        "worker-1": Scan(frozenset(BOTH[:1]), 1),
        "worker-2": Scan(frozenset(BOTH[1:]), 1),
        "worker-3": CLEAN,
    }
    judge({"front-end": CLEAN}, workers, frozenset(BOTH))
    told = capsys.readouterr().out
    assert "worker-1   found localhost-p256 (" in told
    assert "worker-3   has used no key yet (5 MB searched)" in told


def test_what_may_not_be_searched_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    judge({"front-end": CLEAN}, {"worker-1": Scan(frozenset(), None)}, frozenset(BOTH))
    front_end, worker = capsys.readouterr().out.splitlines()
    assert front_end.endswith("no private key (5 MB searched)")
    assert "not permitted" in worker
