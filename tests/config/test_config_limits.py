import pytest
from pydantic import ValidationError

from offload.config import Caps, Limits, SourceCaps


def test_nothing_is_limited_unless_it_is_said() -> None:
    limits = Limits()
    for caps in (limits, limits.source, Caps()):
        assert (caps.connections, caps.handshakes, caps.handshakes_per_second) == (0, 0, 0)
    assert limits.memory == 0


def test_a_source_is_an_address_of_version_4_or_a_network_of_version_6() -> None:
    assert (SourceCaps().ipv4_prefix, SourceCaps().ipv6_prefix) == (32, 64)


@pytest.mark.parametrize(
    ("model", "setting", "value"),
    [
        (Caps, "connections", -1),
        (Caps, "handshakes_per_second", float("inf")),
        (Limits, "memory", -1),
        (SourceCaps, "ipv4_prefix", 33),
        (SourceCaps, "ipv6_prefix", 129),
    ],
)
def test_senseless_values_are_refused(model: type[Caps], setting: str, value: float) -> None:
    with pytest.raises(ValidationError, match=setting):
        model.model_validate({setting: value})
