"""The HSM node: signs TLS server handshakes for front-ends that it knows, and nothing else.

Nouns: a `Supervisor` accepts links and hands each to a serving process; there a `Server` keeps
one `Link` for each connection of a front-end; `Grants` of the configuration, or in a cluster the
`Entitlements` that a `Follower` keeps current from a `Replica` of the catalogue, say what `Use` may
be made of each key; a `Policy` turns each request into an `Order` (what exactly to sign) or a
`Refusal`; the `Signer` has orders signed by the token: in turns on the event loop, or in threads
where it waits for an HSM.
"""
