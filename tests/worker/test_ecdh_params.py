"""ServerECDHParams are taken strictly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offload.worker.ecdh_params import is_ecdh_params

# Named group and length of its point (RFC 8422 5.1.1, 5.4.1).
GROUPS = {0x0017: 65, 0x0018: 97, 0x0019: 133, 0x001D: 32, 0x001E: 56}


def params(group: int, length: int, first: int = 4) -> bytes:
    return bytes([3, group >> 8, group & 255, length]) + bytes([first]) + bytes(length - 1)


@pytest.mark.parametrize(("group", "length"), list(GROUPS.items()))
def test_known_groups_are_taken_whole(group: int, length: int) -> None:
    good = params(group, length)
    assert is_ecdh_params(good)
    for cut in range(len(good)):
        assert not is_ecdh_params(good[:cut])
    assert not is_ecdh_params(good + b"\0")


@pytest.mark.parametrize("group", [0x0000, 0x0016, 0x001A, 0x0100, 0x11EC, 0x17E9, 0xFFFF])
def test_other_groups_are_refused(group: int) -> None:
    for length in GROUPS.values():
        assert not is_ecdh_params(params(group, length))


@pytest.mark.parametrize(("group", "length"), list(GROUPS.items()))
def test_points_have_their_groups_length(group: int, length: int) -> None:
    for other in set(range(1, 256)) - {length}:
        assert not is_ecdh_params(params(group, other))
        assert not is_ecdh_params(params(group, length)[:3] + bytes([other]) + bytes(length))


@pytest.mark.parametrize("group", [0x0017, 0x0018, 0x0019])
@pytest.mark.parametrize("form", [0, 2, 3, 6, 7])
def test_points_are_not_compressed(group: int, form: int) -> None:
    assert not is_ecdh_params(params(group, GROUPS[group], form))


@pytest.mark.parametrize("curve_type", [0, 1, 2, 4, 255])
def test_only_named_curves(curve_type: int) -> None:
    assert not is_ecdh_params(bytes([curve_type]) + params(0x001D, 32)[1:])


@given(st.binary(max_size=200))
def test_anything_else_is_refused_without_an_error(data: bytes) -> None:
    group = int.from_bytes(data[1:3])
    expected = data[:1] == b"\3" and GROUPS.get(group) == len(data) - 4 == data[3]
    if not expected:
        assert not is_ecdh_params(data)
