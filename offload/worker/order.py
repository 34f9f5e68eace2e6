"""What becomes of a request: something to sign, or a reason why not."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from offload.keys.algorithm import Algorithm
from offload.keys.scheme import SignatureScheme
from offload.wire.error import ErrorCode


class Order(NamedTuple):
    """One signature to make; `content` is a digest if `prehashed`, else the whole to-be-signed.

    record: what the audit log must have before the signature leaves, None if nothing.
    """

    ski: bytes
    algorithm: Algorithm
    scheme: SignatureScheme
    content: bytes
    prehashed: bool
    record: Mapping[str, Any] | None = None


class Refusal(NamedTuple):
    """Why a request is not served: the code for its sender, the reason for our metrics."""

    code: ErrorCode
    reason: str
