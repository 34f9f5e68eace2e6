"""One TOML file -> validated, immutable settings.

Nouns: `Settings` (the whole file) with `Log`, `Frontend` (`Pool`, `Site`, `Backend`,
`FrontendCluster`, `Limits`) and `Worker` (`TokenSettings`, `FrontendGrant`, `WorkerCluster`);
`CatalogueSettings`, where a cluster keeps what its members agree on; `Address`, where something
listens or is reached; `Identity`, a certificate and key for mutual TLS. `load()` reads a file, lays
the environment over it, validates it, and raises `ConfigurationError`, which names file, key and
remedy.

Importing this package loads no cryptographic library; checking the files that a configuration
names does, and so lives in `offload.config_files`.
"""

from offload.config.address import Address, Backend
from offload.config.cluster import (
    CatalogueSettings,
    EtcdSettings,
    FrontendCluster,
    SqliteSettings,
    WorkerCluster,
)
from offload.config.frontend import Frontend, Pool, Site, WorkerAddress
from offload.config.host import site_name
from offload.config.identity import Identity
from offload.config.limits import Caps, Limits, SourceCaps
from offload.config.listener import Listener
from offload.config.loading import load
from offload.config.log import Log
from offload.config.model import Model
from offload.config.negotiation import APPLICATION_PROTOCOLS, GROUPS
from offload.config.problem import ConfigurationError, Problem
from offload.config.settings import Role, Settings
from offload.config.token import Pkcs11TokenSettings, SoftwareTokenSettings, TokenSettings
from offload.config.worker import FrontendGrant, Worker

__all__ = [
    "APPLICATION_PROTOCOLS", "GROUPS", "Address", "Backend", "Caps", "CatalogueSettings",
    "ConfigurationError", "EtcdSettings", "Frontend", "FrontendCluster", "FrontendGrant",
    "Identity", "Limits", "Listener", "Log", "Model", "Pkcs11TokenSettings", "Pool", "Problem",
    "Role", "Settings", "Site", "SoftwareTokenSettings", "SourceCaps", "SqliteSettings",
    "TokenSettings", "Worker", "WorkerAddress", "WorkerCluster", "load", "site_name",
]  # fmt: skip
