import hashlib

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from offload.keys.identifier import subject_key_identifier


def test_it_is_the_sha1_of_the_key_bits_alone() -> None:
    # The bits of an Ed25519 key are its 32 bytes (RFC 8410 4), here those of RFC 8032 7.1 test 1.
    bits = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    key = ed25519.Ed25519PublicKey.from_public_bytes(bits)
    assert subject_key_identifier(key) == hashlib.sha1(bits).digest()


def test_an_ec_keys_bits_are_its_uncompressed_point() -> None:
    numbers = ec.derive_private_key(1, ec.SECP256R1()).public_key().public_numbers()
    point = b"\x04" + numbers.x.to_bytes(32) + numbers.y.to_bytes(32)
    assert subject_key_identifier(numbers.public_key()) == hashlib.sha1(point).digest()
