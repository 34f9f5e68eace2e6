"""Mutual TLS channels between front-ends and workers, as asyncio sees them.

A `Channel` stands between a plain transport and the protocol of a link: to the transport it is a
protocol, to the link it is a transport. The TLS is `offload.tls.mutual`'s.
"""
