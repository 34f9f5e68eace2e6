"""Who belongs to a cluster, and the certificates that say so.

Nouns: `Authority`, the private CA that issues the identities of mutual TLS; `TokenKey`, a
private key that can only sign because it stays in a token; `CertificateProfile`, what a
certificate is for. A public key and a signing function go in, a verified certificate or
certification request comes out; nothing here reads or writes a file.
"""
