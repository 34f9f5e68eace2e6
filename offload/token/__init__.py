"""Where private keys live, behind one small interface.

Nouns: a `Token` (`base`) holds keys and signs with them; `SoftwareToken` (`software`) keeps them
in a directory (`storage`), each file sealed (`sealing`) under a key derived from a passphrase
(`passphrase`); a `PrivateKey` (`private_key`) is what signs once unsealed. `FakeToken` (`fake`) is
scripted, for tests.
"""
