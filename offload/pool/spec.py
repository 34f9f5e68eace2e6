"""A worker as whoever knows the workers describes it to the pool."""

from typing import NamedTuple

from offload.config.address import Address


class WorkerSpec(NamedTuple):
    """name: which its certificate must be valid for; zone: '' where nobody says; capacity: relative
    to the others', until its rate is measured.
    """

    name: str
    address: Address
    zone: str = ""
    capacity: float = 1.0
