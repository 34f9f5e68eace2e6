"""TLS handshake offload proxy: client TLS ends here, private keys stay in the workers.

The front-end terminates client TLS and asks a worker for the one private-key operation of each
handshake; the workers hold the keys in tokens. docs/architecture.md shows the rooms and the
data's way through them.
"""

from offload.version import __version__

__all__ = ["__version__"]
