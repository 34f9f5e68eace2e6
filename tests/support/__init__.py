"""Helpers that several tests share: ports, a private PKI, real processes, required peers."""
