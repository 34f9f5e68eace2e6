"""The C part under AddressSanitizer and UndefinedBehaviorSanitizer.

The harness drives the provider's tables as a libcrypto would, errors and refusals included; the
fuzz target mutates key references, repeatably.
"""

from pathlib import Path

import pytest
from support.compiler import PROVIDER, REPOSITORY, build_sanitized, run_sanitized
from support.pki import ALGORITHMS, shared_key

from offload.provider import key_reference

# All but the Python module, which needs an interpreter around it.
PARTS = ("provider", "key", "keymgmt", "signature", "decoder", "keyref", "parameter")
ROUNDS = 2000


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Files with a reference to a key of each type."""
    directory = tmp_path_factory.mktemp("references")
    paths = []
    for algorithm in ALGORITHMS:
        if algorithm != "rsa-4096":  # like the other two, and slow to make
            paths.append(directory / f"{algorithm}.pem")
            paths[-1].write_bytes(key_reference(shared_key(algorithm).public_key()))
    return paths


def test_the_provider_keeps_to_its_memory(tmp_path: Path, references: list[Path]) -> None:
    program = tmp_path / "harness"
    sources = [PROVIDER / f"{part}.c" for part in PARTS]
    build_sanitized(program, Path(__file__).with_name("harness.c"), *sources)

    run_sanitized(program, *references)


def test_mutated_references_are_parsed_within_bounds(
    tmp_path: Path, references: list[Path]
) -> None:
    program = tmp_path / "fuzz_keyref"
    target = REPOSITORY / "tests" / "fuzz" / "fuzz_keyref.c"
    build_sanitized(program, target, PROVIDER / "keyref.c")

    run_sanitized(program, str(ROUNDS), *references)
