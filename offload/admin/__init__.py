"""A worker's management process: it replicates keys and serves REST and the console.

Nouns: `Manager`, the process with its view of the catalogue, lease and replication; `Application`,
REST over mutual TLS; `Problem`, an error as problem+json (RFC 9457). A request goes in, an act of
`cluster` is performed, its view comes out as JSON.
"""
