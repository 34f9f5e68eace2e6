"""The audit log: an append-only chain of hashes on each worker, and what proves it whole.

Nouns: `AuditRecord`, one act or signature on one line; `AuditLog`, the chain in a file, written by
all processes of a worker; `Checkpoint`, the chain's head signed by its worker and countersigned by
others, so that a cut tail is found; `Verification`, which names the first bad record, offline;
`SignatureAudit`, which has signatures recorded before they leave.
"""
