"""The Keyless protocol, version 1, with our TLS-sign extension: bytes <-> messages. No I/O.

Nouns: a *frame* is a header and items; an item is a `Tag`, a length and data; a `Message` says
what a frame means, named by its `Opcode`; a `Failure` carries an `ErrorCode`; a `Decoder` is one
side of one link.

The way through: `codec.encode(message)` gives a frame's bytes; on the other side the bytes of
the link, cut anywhere, go into `Decoder.feed`, which gives the messages that they complete. What
is no frame of the protocol raises `ProtocolError` and ends that link. Requests go from front-end
to worker, answers back, matched by id, in any order. docs/protocol.md is the specification.
"""
