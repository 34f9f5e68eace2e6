"""The HSM cluster: who belongs to it, which keys it has, and what may be done to them.

Nouns: `View`, all that stands in the catalogue, verified, in memory; `Node`, a member from its own
point of view, which writes what the others will see; the services (keys, members, front-ends,
users, approvals, ...), which carry out acts; `Management`, the one way to them, which asks for role
and approval and leaves a record; `Replicator`, which keeps a member's token as the catalogue says;
`Enrolment`, by which others become members.

The certificates that say who somebody is come from an `Issuer`: its key is in memory (`Authority`,
for a set-up without a cluster) or in the tokens (`TokenAuthority`). A `TokenKey` is a private key
that can only sign because it stays in a token.
"""
