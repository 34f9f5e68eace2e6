"""Where private keys live, behind one small interface.

Nouns: a `Token` (`base`) holds keys and signs with them; a `ReplicatedToken` also lets them in and
out, wrapped. `SoftwareToken` (`software`) keeps them in a directory (`storage`), each file sealed
(`sealing`) under a key derived from a passphrase (`passphrase`); a `PrivateKey` (`private_key`) is
what signs once unsealed. `Pkcs11Token` (`pkcs11`) keeps them in an HSM: a `Module`
(`pkcs11_module`) is its library, `Lanes` (`lanes`) are the sessions. `open_token` (`opening`) opens
what the configuration names. `FakeToken` (`fake`) is scripted, for tests.
"""
