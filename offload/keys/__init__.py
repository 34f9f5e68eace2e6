"""What a key is, without any key: names, kinds and records. No I/O, no private keys.

Nouns: `SignatureScheme` (how TLS asks for a signature, a codepoint), `Algorithm` (what kind of
key it is, and so which schemes it may serve and what a signature costs), the *subject key
identifier* (a key's name on the wire), `KeyRecord` (what everyone may know of a key).

The way through: a public key goes into `algorithm_of` and `subject_key_identifier`; what comes
out, with a label and a date, is a `KeyRecord`. A token makes records, the worker's policy reads
their algorithm's schemes, the pool its cost.
"""
