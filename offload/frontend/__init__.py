"""The front-end: client TLS ends here, plaintext goes on to the backends, no private key is held.

Nouns: the *supervisor*, a process without event loop or threads that binds the *listeners*,
makes the sites' contexts and forks the serving processes and the *admin* process; in a serving
process the *server* accepts *connections*, each with a TLS engine, which become *relays* to one
of the site's *backends* once their handshake is done; *timeouts* end those that stall.
"""
