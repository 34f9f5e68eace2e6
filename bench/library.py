"""The bare library call, for comparison with the worker: `python -m bench.library KEY SECONDS`.

Signs what a TLS 1.3 server signs, in a loop, and prints signatures/s and CPU-us of a signature.
"""

import argparse
import time
from collections.abc import Callable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from bench.pki import generate

# RFC 8446 4.4.3: 64 spaces, the context string, a zero byte, the transcript hash.
CONTENT = b" " * 64 + b"TLS 1.3, server CertificateVerify\0" + bytes(range(32))
BATCH = 8
WARM_UP_SECONDS = 0.1


def signer(key: str) -> Callable[[], bytes]:
    """A call that makes one signature over CONTENT with a new key of this type."""
    private = generate(key)
    if isinstance(private, rsa.RSAPrivateKey):
        digest, pss = hashes.SHA256(), padding.PSS(padding.MGF1(hashes.SHA256()), 32)
        return lambda: private.sign(CONTENT, pss, digest)
    algorithm = ec.ECDSA(hashes.SHA256())
    return lambda: private.sign(CONTENT, algorithm)


def measure(sign: Callable[[], bytes], seconds: float) -> tuple[float, float]:
    """Signatures per second, and processor microseconds of one."""
    done, start, spent = 0, time.perf_counter(), time.process_time()
    while (took := time.perf_counter() - start) < seconds:
        for _ in range(BATCH):
            sign()
        done += BATCH
    return done / took, (time.process_time() - spent) / done * 1e6


def main() -> None:
    """The command line of the module."""
    parser = argparse.ArgumentParser(prog="python -m bench.library", description=__doc__)
    parser.add_argument("key", help="rsa-BITS or p-256")
    parser.add_argument("seconds", type=float)
    arguments = parser.parse_args()
    sign = signer(arguments.key)
    measure(sign, WARM_UP_SECONDS)
    print(*measure(sign, arguments.seconds))


if __name__ == "__main__":
    main()
