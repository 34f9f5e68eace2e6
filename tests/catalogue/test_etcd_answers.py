"""etcd's errors, as its gateway writes them, and what follows from each."""

import pytest

from offload.catalogue.etcd_answers import Meaning, Refusal

SERVER = "etcdserver: "


@pytest.mark.parametrize(
    ("code", "text", "meaning"),
    [
        (16, "invalid auth token", Meaning.TOKEN),
        (3, "revision of auth store is old", Meaning.TOKEN),
        (3, "user name is empty", Meaning.TOKEN),
        (7, "permission denied", Meaning.DENIED),
        (3, "authentication failed, invalid user ID or password", Meaning.DENIED),
        (8, "mvcc: database space exceeded", Meaning.FULL),
        (8, "too many requests", Meaning.NOT_DONE),
        (14, "no leader", Meaning.NOT_DONE),
        (14, "leader changed", Meaning.UNKNOWN),
        (14, "request timed out", Meaning.UNKNOWN),
        (14, "request timed out, possibly due to previous leader failure", Meaning.UNKNOWN),
        (14, "server stopped", Meaning.UNKNOWN),
        (1, "context canceled", Meaning.UNKNOWN),
        (4, "context deadline exceeded", Meaning.UNKNOWN),
        (13, "internal error", Meaning.UNKNOWN),
        (5, "requested lease not found", Meaning.FINAL),
        (3, "duplicate key given in txn request", Meaning.FINAL),
        (11, "mvcc: required revision has been compacted", Meaning.FINAL),
    ],
)
def test_each_error_has_its_meaning(code: int, text: str, meaning: Meaning) -> None:
    message = {"error": SERVER + text, "message": SERVER + text, "code": code}
    assert Refusal.of(message, "").meaning is meaning
    stream = {"error": {"grpc_code": code, "http_code": 500, "message": SERVER + text}}
    assert Refusal.of(stream, "") == Refusal(code, SERVER + text)


def test_what_callers_ask_about() -> None:
    assert Refusal(5, "etcdserver: requested lease not found").lease_is_over
    assert Refusal(11, "etcdserver: mvcc: required revision has been compacted").compacted
    assert Refusal(11, "etcdserver: mvcc: required revision is a future revision").to_come
    assert Refusal(9, "etcdserver: authentication is not enabled").authentication_is_off


@pytest.mark.parametrize(
    ("status", "body", "refusal", "meaning"),
    [
        (502, b"<html>bad gateway", Refusal(2, "<html>bad gateway"), Meaning.UNKNOWN),
        (503, b"", Refusal(2, "HTTP status 503"), Meaning.UNKNOWN),
        (404, b"[]", Refusal(3, "[]"), Meaning.FINAL),
        (400, b"CommonName of client", Refusal(3, "CommonName of client"), Meaning.NAMED),
        (500, b"{}", Refusal(2, "HTTP status 500"), Meaning.UNKNOWN),
    ],
)
def test_answers_of_others_have_a_meaning_too(
    status: int, body: bytes, refusal: Refusal, meaning: Meaning
) -> None:
    assert Refusal.parse(status, body) == refusal
    assert refusal.meaning is meaning
