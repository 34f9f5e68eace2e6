import pytest
from pydantic import ValidationError

from offload.cluster.failures import Invalid
from offload.cluster.standing import Standing, member_name


def test_its_hosts_are_named_once() -> None:
    assert Standing(address="10.0.0.1:2407", api="10.0.0.1:8443").hosts == ("10.0.0.1",)
    assert Standing(address="10.0.0.1:2407", api="hsm-1.example.org:8443").hosts == (
        "10.0.0.1",
        "hsm-1.example.org",
    )


@pytest.mark.parametrize(
    "address", ["0.0.0.0:1", "[::]:1", "unix:/run/x", "127.0.0.1:0", "host", "a b:1", ""]
)
def test_an_address_that_others_cannot_reach_is_refused(address: str) -> None:
    with pytest.raises(ValidationError):
        Standing(address=address, api="127.0.0.1:1")


@pytest.mark.parametrize("capacity", [0, -1, 1001, float("nan"), float("inf")])
def test_a_capacity_is_a_small_positive_number(capacity: float) -> None:
    with pytest.raises(ValidationError):
        Standing(address="127.0.0.1:1", api="127.0.0.1:2", capacity=capacity)


@pytest.mark.parametrize("name", ["", "-a", "a/b", "a" * 64, "10.0.0.1", "a b"])
def test_no_name_for_a_member(name: str) -> None:
    with pytest.raises(Invalid):
        member_name(name)


def test_a_name_for_a_member() -> None:
    assert member_name("hsm-1.example.org") == "hsm-1.example.org"
