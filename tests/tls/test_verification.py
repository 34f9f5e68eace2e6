"""RSA signatures are always checked; others at first, then a share of them, or all."""

from random import Random

import pytest

from offload.keys.algorithm import Algorithm
from offload.tls.verification import Verification

RSA = [Algorithm.RSA_2048, Algorithm.RSA_3072, Algorithm.RSA_4096]
OTHERS = [algorithm for algorithm in Algorithm if algorithm not in RSA]


class Fixed(Random):
    """Always draws the same number."""

    def __init__(self, drawn: float) -> None:
        super().__init__()
        self.drawn = drawn

    def random(self) -> float:
        return self.drawn


def checked(rule: Verification, worker: str, algorithm: Algorithm, count: int) -> int:
    return sum(rule.is_due(worker, algorithm) for _ in range(count))


@pytest.mark.parametrize("algorithm", RSA)
def test_rsa_is_always_checked(algorithm: Algorithm) -> None:
    assert checked(Verification("sample", Fixed(0.99)), "w", algorithm, 1000) == 1000


@pytest.mark.parametrize("algorithm", OTHERS)
def test_first_ones_of_each_worker_are_checked(algorithm: Algorithm) -> None:
    rule = Verification("sample", Fixed(0.99))
    assert checked(rule, "one", algorithm, 100) == 16
    assert checked(rule, "two", algorithm, 100) == 16


def test_rsa_does_not_use_up_the_first_ones() -> None:
    rule = Verification("sample", Fixed(0.99))
    checked(rule, "w", Algorithm.RSA_2048, 100)
    assert checked(rule, "w", Algorithm.P_256, 100) == 16


def test_one_in_64_is_checked_later() -> None:
    rule = Verification("sample", Random(7))
    checked(rule, "w", Algorithm.P_256, 16)
    assert 900 < checked(rule, "w", Algorithm.P_256, 64_000) < 1100


@pytest.mark.parametrize(("drawn", "due"), [(0.0, True), (1 / 64 - 1e-9, True), (1 / 64, False)])
def test_share_is_decided_by_the_injected_generator(drawn: float, due: bool) -> None:
    rule = Verification("sample", Fixed(drawn))
    checked(rule, "w", Algorithm.ED25519, 16)
    assert rule.is_due("w", Algorithm.ED25519) is due


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_all_means_all(algorithm: Algorithm) -> None:
    assert checked(Verification("all", Fixed(0.99)), "w", algorithm, 200) == 200


def test_worker_in_doubt_is_checked_a_few_times() -> None:
    rule = Verification("sample", Fixed(0.99))
    rule.doubt("new")
    assert checked(rule, "new", Algorithm.P_256, 100) == 16
    for _ in range(3):
        rule.doubt("new")
    assert checked(rule, "new", Algorithm.P_256, 100) == 4


def test_distrusted_worker_is_checked_anew() -> None:
    rule = Verification("sample", Fixed(0.99))
    for worker in ("bad", "good"):
        checked(rule, worker, Algorithm.P_256, 100)
    rule.distrust("bad")
    assert checked(rule, "bad", Algorithm.P_256, 100) == 16
    assert checked(rule, "good", Algorithm.P_256, 100) == 0
