import pytest

from offload.keys.algorithm import Algorithm
from offload.wire.error import ErrorCode
from offload.worker.order import Refusal
from offload.worker.use import LEGAL, NOT_GRANTED, TLS_1_2, TLS_1_3, Limits, Sites


@pytest.mark.parametrize(
    ("name", "served"),
    [
        ("www.example.org", True),
        ("WWW.Example.ORG", True),
        ("a.shop.example.org", True),
        ("*.shop.example.org", True),
        ("shop.example.org", False),
        ("a.b.shop.example.org", False),
        (".shop.example.org", False),
        ("example.org", False),
        ("", False),
    ],
)
def test_a_wildcard_stands_for_one_label(name: str, served: bool) -> None:
    assert (name in Sites(["www.example.org", "*.Shop.example.org"])) is served


def test_a_front_end_that_may_not_use_a_key_learns_nothing_of_it() -> None:
    suspended = Refusal(ErrorCode.KEY_NOT_FOUND, "suspended")
    limits = Limits(suspended, frozenset({"f"}), Sites(["www.example.org"]))
    assert limits.refuse("g", "www.example.org") == NOT_GRANTED
    assert limits.refuse("f", "www.example.org") == suspended
    open_again = limits._replace(refusal=None)
    assert open_again.refuse("f", "www.example.org") is None
    refusal = open_again.refuse("f", "")
    assert refusal is not None
    assert refusal.reason == "server_name"


@pytest.mark.parametrize("algorithm", Algorithm)
def test_every_algorithm_has_its_schemes(algorithm: Algorithm) -> None:
    legal = LEGAL[algorithm]
    assert {scheme for (version, _), scheme in legal.items() if version == TLS_1_3} == (
        algorithm.schemes
    )
    assert {scheme for (version, _), scheme in legal.items() if version == TLS_1_2} == (
        algorithm.schemes_tls12
    )
