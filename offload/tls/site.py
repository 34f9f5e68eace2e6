"""A site's OpenSSL context, and the choice of a site by server name."""

import warnings
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from cryptography import x509
from OpenSSL import SSL, crypto

from offload.config import Site as SiteSettings
from offload.keys.algorithm import PublicKey, UnsupportedKey, algorithm_of
from offload.keys.identifier import subject_key_identifier
from offload.provider import key_reference
from offload.tls.alpn import set_protocols
from offload.tls.openssl import address, error_reasons, lib
from offload.tls.signature import SiteKey

# AES-128-GCM with SHA-256 first: AES-256-GCM's SHA-384 makes the key schedule, hence each
# handshake, about a tenth dearer, for no attack that anybody knows of.
_TLS_1_3_CIPHERS = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
_TLS_1_2_CIPHERS = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    b"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    b"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
_SIGNATURE_ALGORITHMS = (
    b"ecdsa_secp256r1_sha256:ecdsa_secp384r1_sha384:ecdsa_secp521r1_sha512:ed25519:"
    b"rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:"
    b"rsa_pkcs1_sha256:rsa_pkcs1_sha384:rsa_pkcs1_sha512:mldsa44:mldsa65:mldsa87"
)
_VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
_OPTIONS = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE


class SiteError(Exception):
    """A site cannot be served as configured; the text names the file and the reason."""


class Site:
    """One site: its settings, its context, the public keys that its certificates certify.

    name: the first of its names, by which metrics and logs call it.
    address: the context's own, for the engine.
    keys: by subject key identifier, 20 bytes.
    """

    __slots__ = ("_alpn", "address", "context", "keys", "name", "settings")

    def __init__(self, settings: SiteSettings) -> None:
        """Raises SiteError."""
        self.settings = settings
        self.name = settings.names[0] if settings.names else "default"
        self.keys: dict[bytes, SiteKey] = {}
        self.context = self._context()
        self.address = address(self.context._context)

    def _context(self) -> SSL.Context:
        settings = self.settings
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(_VERSIONS[settings.min_version])
        context.set_options(_OPTIONS if settings.tickets else _OPTIONS | SSL.OP_NO_TICKET)
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_session_id(sha256(self.name.encode()).digest())
        context.set_cipher_list(_TLS_1_2_CIPHERS)
        context.set_tls13_ciphersuites(_TLS_1_3_CIPHERS)
        self._set_list(lib.SSL_CTX_set1_curves_list, context, ":".join(settings.groups).encode())
        self._set_list(lib.SSL_CTX_set1_sigalgs_list, context, _SIGNATURE_ALGORITHMS)
        for path in settings.certificates:
            self._use_certificate(context, path)
        if settings.alpn:
            self._alpn = set_protocols(context, settings.alpn)
        return context

    def _use_certificate(self, context: SSL.Context, path: Path) -> None:
        """The chain from the file, with a reference to its key in place of the key."""
        try:
            certified = x509.load_pem_x509_certificate(path.read_bytes()).public_key()
            algorithm = algorithm_of(certified)
            public_key = cast(PublicKey, certified)
            key = SiteKey(subject_key_identifier(public_key), algorithm, public_key)
            context.use_certificate_chain_file(path)
            _use_key_reference(context, key_reference(public_key))
            context.check_privatekey()
        except (OSError, ValueError, UnsupportedKey, SSL.Error, crypto.Error) as error:
            raise SiteError(f"{path}: site {self.name!r}: {_words(error)}") from error
        self.keys[key.ski] = key

    def _set_list(self, function: Any, context: SSL.Context, names: bytes) -> None:
        if function(context._context, names) != 1:
            reasons = "; ".join(error_reasons())
            raise SiteError(
                f"site {self.name!r}: OpenSSL does not take {names.decode()}: {reasons}"
            )


class Sites:
    """All sites of a front-end, found by server name in constant time."""

    def __init__(self, sites: Sequence[Site]) -> None:
        self.all = tuple(sites)
        self._exact: dict[str, Site] = {}
        self._wildcard: dict[str, Site] = {}
        self._default: Site | None = None
        for site in sites:
            for name in site.settings.names:
                table = self._wildcard if name.startswith("*.") else self._exact
                table[name.removeprefix("*.").lower()] = site
            if site.settings.default:
                self._default = site

    @classmethod
    def from_settings(cls, settings: Iterable[SiteSettings]) -> "Sites":
        """Build every site's context. Raises SiteError."""
        return cls([Site(site) for site in settings])

    def choose(self, server_name: str | None) -> Site | None:
        """The site for a name: exact, then wildcard for one label (RFC 9525, 6.3), then the
        default.
        """
        if server_name is not None:
            site = self._exact.get(server_name)
            if site is not None:
                return site
            site = self._wildcard.get(server_name.partition(".")[2])
            if site is not None:
                return site
        return self._default


def _use_key_reference(context: SSL.Context, reference: bytes) -> None:
    with warnings.catch_warnings():
        # pyOpenSSL would rather have a key object of cryptography's, which none but a whole private
        # key can be. The wheel's own function is the way out if it ever refuses its own PKey.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.use_privatekey(crypto.load_privatekey(crypto.FILETYPE_PEM, reference))


def _words(error: Exception) -> str:
    """What went wrong with a certificate, with OpenSSL's reasons where they are its own."""
    if isinstance(error, SSL.Error | crypto.Error):
        reasons = [entry[-1] for entry in error.args[0]] if error.args else []
        return f"OpenSSL does not take the certificate: {'; '.join(reasons)}"
    return str(error)
