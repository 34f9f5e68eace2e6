"""The TLS engine: server handshakes that can wait for a key held elsewhere; no sockets.

The nouns:

* `ClientHello` (client_hello): what is read of the client's first message before OpenSSL sees it,
  so that the site's own context serves the connection from its first byte; a `ClientHelloReader`
  takes one that comes in pieces;
* `Site` and `Sites` (site): a site's OpenSSL context, and the choice of one by server name; a
  `Chain` (chain) is what a context is given, at the start or later;
* `Session` (session): one connection's TLS state; bytes in, bytes and at most one
  `SignatureRequest` out;
* `SignatureRequest` (signature): what a worker is asked to sign, and the check of what it answered;
  `Verification` (verification) says which answers are checked;
* suspension: the greenlets in which handshakes run, and are held while a signature is under way;
* `Rehearsal` (rehearsal): a client in the same process, for a handshake before any client's;
* `MutualSession` (mutual): one side of a link between front-end and worker, on the same engine.

A connection feeds its first bytes to `read_client_hello`, asks `Sites` for the site, makes a
`Session` and feeds it everything. When the state becomes SIGNING the session's `request` goes to a
worker; the answer goes to `Session.resume` (or `Session.abort`), exactly once.
"""
