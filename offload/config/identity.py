"""Who we are in mutual TLS."""

from __future__ import annotations

from offload.config.model import File, Model


class Identity(Model):
    """Who we are in mutual TLS: a PEM certificate (leaf first) and its private key, mode 0600."""

    certificate: File
    key: File
