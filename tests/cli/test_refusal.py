import json

from offload.cli.failure import Complaint
from offload.cli.refusal import NeedsApproval, answered, is_in_progress, refused
from offload.cluster.failures import ApprovalNeeded, Unavailable, WrongState


def test_a_problem_is_what_is_wrong_and_what_to_do() -> None:
    problem = {"type": "urn:offload:problem:taken", "detail": "it is in use", "remedy": "another"}
    failure = answered(409, json.dumps(problem).encode())
    assert failure.complaints == (Complaint("it is in use", "another"),)


def test_remedies_speak_of_commands_not_of_http() -> None:
    problem = {"type": "urn:offload:problem:unavailable", "detail": "no", "remedy": "Retry-After"}
    assert answered(503, json.dumps(problem).encode()).complaints[0].hint == "try again in a moment"
    assert refused(Unavailable("no")).complaints[0].hint == "try again in a moment"
    assert refused(WrongState("no")).complaints == (Complaint("no", "see what state it is in"),)


def test_an_approval_is_named_with_the_commands_for_it() -> None:
    body = json.dumps({"approval": "a" * 32, "detail": "one officer"}).encode()
    for failure in (answered(202, body), refused(ApprovalNeeded("one officer", "a" * 32))):
        assert isinstance(failure, NeedsApproval)
        assert failure.approval == "a" * 32
        assert f"--approval {'a' * 32}" in failure.complaints[0].hint


def test_answers_that_are_no_problems() -> None:
    for body in (b"", b"<html>", b"[1]", b"\xff"):
        assert answered(502, body).complaints == (Complaint("the server answers 502"),)
        assert not is_in_progress(body)
    assert is_in_progress(b'{"type": "urn:offload:problem:in-progress"}')


def test_nobody_writes_to_the_terminal_what_he_likes() -> None:
    body = json.dumps({"detail": "bad\x1b[2J\nnews", "remedy": "\r"}).encode()
    assert answered(400, body).complaints == (Complaint("bad [2J news", " "),)
