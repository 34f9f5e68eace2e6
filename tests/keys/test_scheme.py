import pytest

from offload.keys.scheme import SignatureScheme


@pytest.mark.parametrize(
    ("codepoint", "hash_name", "padding", "digest_length"),
    [
        (0x0401, "sha256", "pkcs1", 32),
        (0x0501, "sha384", "pkcs1", 48),
        (0x0601, "sha512", "pkcs1", 64),
        (0x0403, "sha256", None, 32),
        (0x0503, "sha384", None, 48),
        (0x0603, "sha512", None, 64),
        (0x0804, "sha256", "pss", 32),
        (0x0805, "sha384", "pss", 48),
        (0x0806, "sha512", "pss", 64),
        (0x0807, None, None, None),
        (0x0904, None, None, None),
        (0x0905, None, None, None),
        (0x0906, None, None, None),
    ],
)
def test_a_codepoint_says_hash_and_padding(
    codepoint: int, hash_name: str | None, padding: str | None, digest_length: int | None
) -> None:
    scheme = SignatureScheme(codepoint)
    assert scheme.hash_name == hash_name
    assert scheme.padding == padding
    assert scheme.digest_length == digest_length
