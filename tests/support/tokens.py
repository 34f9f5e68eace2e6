"""The token implementations that the contract's tests run on, cheap and empty."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from offload.keys.algorithm import Algorithm
from offload.token.base import ReplicatedToken
from offload.token.sealing import Cost
from offload.token.software import SoftwareToken
from support import softhsm

CHEAP = Cost(memory_kib=64, iterations=1, lanes=1)


class Maker(NamedTuple):
    """Makes a token; `algorithms` are tried, of which `moving` may leave it; it has no `others`."""

    make: Callable[[Path], ReplicatedToken]
    algorithms: tuple[Algorithm, ...]
    moving: tuple[Algorithm, ...]
    others: tuple[Algorithm, ...] = ()

    @property
    def fixed(self) -> tuple[Algorithm, ...]:
        """What it takes from nobody."""
        return (*self.others, *(each for each in self.algorithms if each not in self.moving))


def make_software(directory: Path) -> ReplicatedToken:
    return SoftwareToken.create(directory / "token", b"passphrase", CHEAP)


def make_pkcs11(directory: Path) -> ReplicatedToken:
    from offload.token.pkcs11 import Pkcs11Token

    place = softhsm.new_token()
    return Pkcs11Token.open(place.pin, label=place.label, module=place.module, pause=0)


# SoftHSM takes many seconds for a larger RSA key, which is no other key to it.
_MOVING = (Algorithm.RSA_2048, Algorithm.P_256, Algorithm.P_384, Algorithm.P_521)
_OTHERS = (Algorithm.ML_DSA_44, Algorithm.ML_DSA_65, Algorithm.ML_DSA_87)
SOFTWARE = Maker(make_software, tuple(Algorithm), tuple(Algorithm))
# SoftHSM 2.6 wraps no Ed25519 keys.
PKCS11 = Maker(make_pkcs11, (*_MOVING, Algorithm.ED25519), _MOVING, _OTHERS)

_NEEDS = pytest.mark.needs("softhsm2-util")
MAKERS: list[Any] = [
    pytest.param(SOFTWARE, id="software"),
    pytest.param(PKCS11, id="pkcs11", marks=_NEEDS),
]
PAIRS: list[Any] = [
    pytest.param((SOFTWARE, SOFTWARE), id="software-software"),
    pytest.param((SOFTWARE, PKCS11), id="software-pkcs11", marks=_NEEDS),
    pytest.param((PKCS11, SOFTWARE), id="pkcs11-software", marks=_NEEDS),
    pytest.param((PKCS11, PKCS11), id="pkcs11-pkcs11", marks=_NEEDS),
]
