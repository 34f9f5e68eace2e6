"""The HSM node: signs TLS server handshakes for front-ends that it knows, and nothing else.

Nouns: a `Supervisor` accepts links and hands each to a serving process; there a `Server` keeps
one `Link` for each connection of a front-end; a `Grant` says which keys that front-end may use; a
`Policy` turns each request into an `Order` (what exactly to sign) or a `Refusal`; the `Signer` has
orders signed by the token: in turns on the event loop, or in threads where it waits for an HSM.
"""
