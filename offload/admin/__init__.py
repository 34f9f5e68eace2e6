"""A worker's management process: it replicates keys and serves REST and the console.

Nouns: `Manager`, the process with its view of the catalogue, lease and replication; `Route`, which
request asks for which act; `Api`, which reads a request, has the act performed and answers;
`Authenticator`, who the request is from; `Problem`, an error as problem+json (RFC 9457). A request
goes in, an act of `cluster` is performed, its view comes out as JSON.
"""
