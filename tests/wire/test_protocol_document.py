"""docs/protocol.md says what the code does: its tables and its example are read and compared."""

import re
from enum import IntEnum
from pathlib import Path

import pytest

from offload.keys.algorithm import Algorithm
from offload.keys.scheme import SignatureScheme
from offload.wire.codec import Decoder, Side, encode
from offload.wire.error import ErrorCode
from offload.wire.frame import MAX_FRAME
from offload.wire.message import Failure, Message, Signature, TlsSign
from offload.wire.opcode import ANSWERS, DECRYPT, PLAIN_SIGN, Opcode
from offload.wire.tag import Tag

DOCUMENT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")

EXAMPLE: list[tuple[Message, Side]] = [
    (
        TlsSign(
            7, bytes(range(20)), SignatureScheme.ECDSA_SECP256R1_SHA256, 0x0304, b"\xaa" * 32,
            "a.example", bytes([192, 0, 2, 1]), b"\xbb" * 32,
        ),
        "worker",
    ),
    (Signature(7, bytes.fromhex("3006020101020102")), "front-end"),
    (Failure(7, ErrorCode.KEY_NOT_FOUND), "front-end"),
]  # fmt: skip


def section(title: str) -> str:
    """The text under a heading, up to the next one."""
    _, _, rest = DOCUMENT.partition(f"# {title}\n")
    assert rest, f"no section {title}"
    return re.split(r"^#+ ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def rows(title: str) -> list[list[str]]:
    """The cells of the rows of a section's table that begin with a number."""
    lines = [line for line in section(title).splitlines() if line.startswith("| 0x")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize(
    ("title", "enum"),
    [("Tags", Tag), ("Opcodes", Opcode), ("Error codes", ErrorCode), ("Schemes", SignatureScheme)],
)
def test_a_table_is_the_enum(title: str, enum: type[IntEnum]) -> None:
    written = [(int(row[0], 16), row[1]) for row in rows(title)]
    assert sorted(written) == sorted((member.value, member.name) for member in enum)


def test_the_kind_of_each_opcode_is_the_codes() -> None:
    kinds = {Opcode(int(row[0], 16)): row[2] for row in rows("Opcodes")}
    assert {opcode for opcode, kind in kinds.items() if kind == "plain digest"} == PLAIN_SIGN
    assert {opcode for opcode, kind in kinds.items() if kind == "decryption"} == DECRYPT
    assert {opcode for opcode, kind in kinds.items() if kind == "answer"} == ANSWERS


def test_the_versions_of_each_scheme_are_the_keys() -> None:
    for codepoint, _, key, versions in rows("Schemes"):
        scheme = SignatureScheme(int(codepoint, 16))
        owners = [one for one in Algorithm if scheme in one.schemes_tls12 | one.schemes]
        assert ("1.2" in versions) == any(scheme in one.schemes_tls12 for one in owners)
        assert ("1.3" in versions) == any(scheme in one.schemes for one in owners)
        assert all(
            one.startswith(key.partition(";")[0]) for one in Algorithm if scheme in one.schemes
        )


def test_the_limit_is_the_codes() -> None:
    assert f"at most {MAX_FRAME} bytes" in section("Frame")


def test_the_example_is_what_is_written_and_read() -> None:
    blocks = re.findall(r"```\n(.*?)```", section("Example"), flags=re.DOTALL)
    frames = [
        bytes.fromhex("".join(re.split(r"\s{3,}", line)[0] for line in block.splitlines()))
        for block in blocks
    ]
    assert frames == [encode(message) for message, _ in EXAMPLE]
    for data, (message, side) in zip(frames, EXAMPLE, strict=True):
        assert Decoder(side).feed(data) == [message]
