"""What officers sign, whose signatures count, and how many are needed."""

import base64
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from support.cluster import NOW, cluster_record
from support.pki import pem, shared_key

from offload.catalogue.records import UserRecord
from offload.cluster.acts import Act, CreateUser, DestroyKey, SetPolicy, SetRole
from offload.cluster.approval import (
    ApprovalRecord,
    UserPrivateKey,
    approvers,
    officers_needed,
    policy_problem,
    sign,
    statement,
    verifies,
)
from offload.cluster.roles import MATRIX

DESTROY = DestroyKey(key="www")
RECORD = ApprovalRecord(
    id="0" * 32,
    name=DESTROY.name,
    act=DESTROY.canonical().decode(),
    digest=DESTROY.digest(),
    requested_by="kim",
    created=NOW,
    expires=NOW + timedelta(hours=1),
    needed=2,
)


def key(number: int, algorithm: str = "p-256") -> UserPrivateKey:
    made = shared_key(algorithm, number)
    assert isinstance(made, UserPrivateKey)
    return made


def public(private: UserPrivateKey) -> str:
    encoded = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return encoded.decode()


def user(name: str, number: int, role: str = "officer") -> UserRecord:
    return UserRecord.model_validate(
        {
            "name": name,
            "role": role,
            "fingerprint": name,
            "public_key": public(key(number)),
            "created": NOW,
        }
    )


@pytest.mark.parametrize("algorithm", ["p-256", "p-384", "ed25519", "rsa-2048"])
def test_keys_of_users_sign_and_verify(algorithm: str) -> None:
    mine = key(0, algorithm)
    signature = sign(mine, b"content")
    assert verifies(public(mine), signature, b"content")
    assert not verifies(public(mine), signature, b"other")
    assert not verifies(public(key(1, algorithm)), signature, b"content")


@pytest.mark.needs("openssl")
@pytest.mark.parametrize(
    ("algorithm", "options"),
    [
        ("p-256", []),
        ("rsa-2048", ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"]),
    ],
)
def test_an_officer_can_sign_with_the_openssl_command(
    tmp_path: Path, algorithm: str, options: list[str]
) -> None:
    mine = key(0, algorithm)
    (tmp_path / "key.pem").write_bytes(pem(mine))
    (tmp_path / "statement").write_bytes(RECORD.statement)
    command = ["openssl", "dgst", "-sha256", *options, "-sign", "key.pem", "statement"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, timeout=30)
    signature = base64.b64encode(made.stdout).decode()
    assert verifies(public(mine), signature, RECORD.statement)


@given(st.text())
def test_what_is_no_signature_does_not_verify(text: str) -> None:
    assert not verifies(public(key(0)), text, b"content")


def test_other_kinds_of_keys_verify_nothing() -> None:
    other = shared_key("ml-dsa-44").public_key()
    text = other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    assert not verifies(text, "AAAA", b"")


def test_a_statement_names_everything_that_it_binds() -> None:
    assert RECORD.statement.decode() == (
        "offload approval 1\n"
        f"id: {'0' * 32}\n"
        f"act: sha256:{DESTROY.digest()}\n"
        "requested by: kim\n"
        "expires: 2026-01-01T01:00:00+00:00\n"
    )


def test_a_statement_differs_with_each_of_its_parts() -> None:
    later = NOW + timedelta(days=1)
    made = {
        statement("a", "b", "c", NOW),
        statement("x", "b", "c", NOW),
        statement("a", "x", "c", NOW),
        statement("a", "b", "x", NOW),
        statement("a", "b", "c", later),
    }
    assert len(made) == 5


def test_signatures_count_with_the_keys_and_roles_of_now() -> None:
    signed = RECORD.model_copy(
        update={
            "signatures": {
                name: sign(key(number), RECORD.statement)
                for number, name in enumerate(("olga", "otto", "ute", "gone"))
            }
        }
    )
    users = {
        "olga": user("olga", 0),
        "otto": user("otto", 7),  # another key by now
        "ute": user("ute", 2, "auditor"),
    }
    assert approvers(signed, users) == ("olga",)


def test_an_officer_counts_once_whatever_he_signs() -> None:
    signature = sign(key(0), RECORD.statement)
    signed = RECORD.model_copy(update={"signatures": {"olga": signature, "otto": signature}})
    assert approvers(signed, {"olga": user("olga", 0), "otto": user("otto", 1)}) == ("olga",)


@pytest.mark.parametrize(
    ("act", "needed"),
    [
        (DESTROY, 3),
        (SetPolicy(approvals={}), 3),
        (SetPolicy(copies=3), 0),
        (CreateUser(user="uma", role="officer", request=""), 3),
        (CreateUser(user="uma", role="auditor", request=""), 1),
        (SetRole(user="kim", role="officer"), 3),
        (SetRole(user="olga", role="auditor"), 0),
    ],
)
def test_what_could_do_away_with_approvals_needs_as_many_as_the_strictest(
    act: Act, needed: int
) -> None:
    cluster = cluster_record(approvals={"key.destroy": 3, "user.create": 1})
    assert officers_needed(cluster, act) == needed


def test_without_a_policy_nothing_needs_approvals() -> None:
    assert officers_needed(cluster_record(), SetPolicy(approvals={})) == 0


@pytest.mark.parametrize(
    ("approvals", "problem"),
    [
        ({}, ""),
        ({"key.destroy": 2}, ""),
        ({"key.destroy": 3}, "there are 2"),
        ({"key.destroy": 0}, "cannot need 0"),
        ({"key.list": 1}, "cannot need approvals"),
        ({"approval.sign": 1}, "cannot need approvals"),
        ({"no.such": 1}, "possible are"),
    ],
)
def test_a_policy_can_be_met(approvals: dict[str, int], problem: str) -> None:
    found = policy_problem(approvals, MATRIX, 2)
    assert problem in found
    assert bool(found) is bool(problem)
