"""Errors say what happened and what to do."""

from offload.pool.errors import LinkLost, Refused, SigningError
from offload.wire.error import ErrorCode


def test_a_refusal_names_worker_code_and_remedy() -> None:
    error = Refused("alpha", ErrorCode.KEY_NOT_FOUND)
    assert str(error) == (
        "worker alpha refused to sign: no such key; add the key to the worker's token and grant it"
    )
    assert (error.worker, error.code, error.outcome) == ("alpha", 2, "refused")


def test_an_unknown_code_is_shown_as_a_number() -> None:
    assert "unknown error code 0xee" in str(Refused("alpha", 0xEE))


def test_a_lost_link_tells_the_reason() -> None:
    assert "alpha lost: closed by the worker" in str(LinkLost("alpha", "closed by the worker"))


def test_outcomes_are_distinct() -> None:
    kinds = SigningError.__subclasses__()
    assert len({kind.outcome for kind in kinds}) == len(kinds) >= 5
