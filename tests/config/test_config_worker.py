from pathlib import Path

import pytest
from support.configuration import WORKER, loaded, problems


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("ab" * 32, "ab" * 31, "worker.frontends[0].fingerprint: '" + "ab" * 31 + "' is not a SHA"),
        ("ab" * 32, "zz" * 32, "worker.frontends[0].fingerprint: '" + "zz" * 32 + "' is not a SHA"),
        ('["*"]', "[]", "worker.frontends[0].keys: is empty; add at least one entry"),
        ('["*"]', '["*", "www"]', "worker.frontends[0].keys: '*' stands for every key; leave it"),
        ('["*"]', '["www", "www"]', "worker.frontends[0].keys: key 'www' stands twice; remove"),
        ('["*"]', '[""]', "worker.frontends[0].keys: a key label is empty; write"),
        ('"passphrase"', '"passphrase", passphrase = "x"', "worker.token.passphrase: unknown key"),
        ("[worker]", "[worker]\nthreads = 0", "threads: 0 is not valid; use a number greater than"),
        ("[worker]", "[worker]\nthreads = 'x'", "threads: 'x' is not valid; use a valid integer"),
    ],
)
def test_what_is_wrong_in_a_worker_is_said(file: Path, old: str, new: str, said: str) -> None:
    assert old in WORKER
    lines = problems(file, WORKER.replace(old, new, 1))
    assert said in lines[0]
    assert "; " in lines[0]


@pytest.mark.parametrize("repeated", ["name", "fingerprint"])
def test_a_front_end_granted_twice_is_refused(file: Path, repeated: str) -> None:
    grant = WORKER[WORKER.index("[[worker.frontends]]") :]
    changed = grant.replace("ab" * 32, "cd" * 32) if repeated == "name" else grant.replace("-1", "")
    assert f"worker.frontends: front-end {repeated}" in problems(file, WORKER + changed)[0]


def test_a_worker_s_name_fits_a_certificate(file: Path) -> None:
    longest = "w" * 63  # of a label in a DNS name (RFC 1035, 2.3.4)
    assert loaded(file, WORKER.replace('name = "worker-1"', f'name = "{longest}"', 1)).worker
    said = problems(file, WORKER.replace('name = "worker-1"', f'name = "{longest}w"', 1))
    assert said
    assert "up to 63" in said[0]


def test_fingerprints_are_taken_as_openssl_prints_them(file: Path) -> None:
    printed = ":".join(["AB"] * 32)
    settings = loaded(file, WORKER.replace("ab" * 32, printed))
    assert settings.worker is not None
    assert settings.worker.frontends[0].fingerprint == "ab" * 32
