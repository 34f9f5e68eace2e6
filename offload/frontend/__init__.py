"""The front-end: client TLS ends here, plaintext goes on to the backends, no private key is held.

Nouns: the *supervisor*, a process without event loop or threads that binds the *listeners*,
makes the sites' contexts and forks the serving processes and the *admin* process; in a serving
process the *server* accepts *connections*, each with a TLS session, which become *relays* once
their handshake is done; the *limits* say who may come in; a relay connects to one of the site's
*backends* when the client has sent something, or may wait for the backend to speak first;
*timeouts* end those that stall. A *service* is a site as one process serves it, with its backends
and counters.
"""
