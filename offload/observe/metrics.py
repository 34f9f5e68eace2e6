"""Every metric of the product, declared here and only here.

Names start with offload_, counters end in _total, units are seconds and bytes. Count through the
cached children, `HANDSHAKES.labels(...).inc()`: they cost a fraction of a microsecond and reach
the real metric at the next `flush`. Keep a child in an attribute where its labels are fixed.

Label values are bounded: `site` is the first name of a configured site, never what a client sent;
`worker` is a configured name. Where a thing is not known (a handshake that failed before its
version was chosen), the value is "none".

In a command with several processes, `multiprocess.prepare` must run before this module is first
imported.
"""

from typing import Final

from prometheus_client import CollectorRegistry

from offload.observe.family import CounterFamily, Family, GaugeFamily, HistogramFamily
from offload.observe.tally import Distribution, Level, Tally

REGISTRY: Final = CollectorRegistry()

# From a fifth of a millisecond, what a local P-256 signature with its round trip takes, to the
# longest deadline that makes sense for a client.
_LATENCY_BUCKETS: Final = (
    0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
)  # fmt: skip

# Front-end: handshakes and connections
HANDSHAKES: Final = CounterFamily(
    REGISTRY,
    "offload_handshakes_total",
    "Client TLS handshakes ended, by outcome (complete, or the class of the failure).",
    "site", "version", "group", "cipher", "resumed", "outcome",
)  # fmt: skip
HANDSHAKE_SECONDS: Final = HistogramFamily(
    REGISTRY,
    "offload_handshake_seconds",
    "Time from the ClientHello to the end of a completed handshake.",
    "site", "resumed",
    buckets=_LATENCY_BUCKETS,
)  # fmt: skip
CONNECTIONS: Final = GaugeFamily(
    REGISTRY,
    "offload_open_connections",
    "Client connections open now, by state (handshake, relay).",
    "state",
)
CONNECTIONS_ACCEPTED: Final = CounterFamily(
    REGISTRY, "offload_connections_total", "Client connections accepted."
)
CONNECTIONS_REFUSED: Final = CounterFamily(
    REGISTRY,
    "offload_connections_refused_total",
    "Client connections refused, by the limit they would have broken.",
    "scope", "limit",
)  # fmt: skip
ACCEPT_PAUSES: Final = CounterFamily(
    REGISTRY,
    "offload_accept_pauses_total",
    "Times that a process stopped accepting, as it had as many connections as it can bear.",
)
CONNECTION_ERRORS: Final = CounterFamily(
    REGISTRY,
    "offload_connection_errors_total",
    "Client connections ended by an error, by reason.",
    "reason",
)
BYTES: Final = CounterFamily(
    REGISTRY,
    "offload_bytes_total",
    "Plaintext bytes relayed, by direction (request is client to backend, response the other).",
    "site", "direction",
)  # fmt: skip
BACKEND_CONNECTIONS: Final = GaugeFamily(
    REGISTRY,
    "offload_open_backend_connections",
    "Connections to a backend open now.",
    "site", "backend",
)  # fmt: skip

# Front-end: the pool of workers
SIGNING_OPERATIONS: Final = CounterFamily(
    REGISTRY,
    "offload_signing_operations_total",
    "Signing operations ended, by the worker that answered and by outcome.",
    "worker", "algorithm", "outcome",
)  # fmt: skip
SIGNING_SECONDS: Final = HistogramFamily(
    REGISTRY,
    "offload_signing_seconds",
    "Time from asking the pool for a signature to having it.",
    "worker", "algorithm",
    buckets=_LATENCY_BUCKETS,
)  # fmt: skip
SIGNING_IN_FLIGHT: Final = GaugeFamily(
    REGISTRY,
    "offload_signing_in_flight",
    "Signing operations sent to a worker and not answered yet.",
    "worker",
)
SIGNING_RETRIES: Final = CounterFamily(
    REGISTRY,
    "offload_signing_retries_total",
    "Signing operations sent again to another worker, by reason.",
    "reason",
)
SIGNING_HEDGES: Final = CounterFamily(
    REGISTRY,
    "offload_signing_hedges_total",
    "Late operations sent to a second worker too, by outcome (won: the second was first).",
    "outcome",
)
SIGNATURES_REJECTED: Final = CounterFamily(
    REGISTRY,
    "offload_signatures_rejected_total",
    "Signatures from a worker that the certificate's public key does not verify.",
    "worker", "algorithm",
)  # fmt: skip
POOL_LINKS: Final = GaugeFamily(
    REGISTRY,
    "offload_pool_links",
    "Links to a worker that are up, over all processes.",
    "worker",
)
POOL_MEASURED_RATE: Final = GaugeFamily(
    REGISTRY,
    "offload_pool_measured_rate",
    "Work a worker completes per second as measured, in microseconds of one core's signing.",
    "worker",
    mode="livemostrecent",
)
POOL_SHARE: Final = GaugeFamily(
    REGISTRY,
    "offload_pool_share",
    "Chance with which a worker is a candidate for an operation: 0 while ejected or down, then"
    " growing to 1; the least of all processes.",
    "worker",
    mode="livemin",
)
POOL_EJECTIONS: Final = CounterFamily(
    REGISTRY,
    "offload_pool_ejections_total",
    "Times that a process stopped asking a worker for a while, by reason.",
    "worker", "reason",
)  # fmt: skip

# Front-end: its cluster
POOL_MEMBERS: Final = GaugeFamily(
    REGISTRY,
    "offload_pool_members",
    "Workers of the cluster that this front-end asks, by zone.",
    "zone",
    mode="livemin",
)
CERTIFICATE_GENERATION: Final = GaugeFamily(
    REGISTRY,
    "offload_certificate_generation",
    "Generation of a key that handshakes are served with: the oldest of all processes.",
    "label",
    mode="livemin",
)
DIRECTORY_AGE: Final = GaugeFamily(
    REGISTRY,
    "offload_directory_age_seconds",
    "Time since the catalogue last answered this front-end.",
    "frontend",
    mode="livemax",
)
DIRECTORY_REFUSED: Final = GaugeFamily(
    REGISTRY,
    "offload_directory_refused_values",
    "Values in the catalogue that no member signed, or that are older than what was seen.",
    "frontend",
    mode="livemax",
)

# Worker
WORKER_OPERATIONS: Final = CounterFamily(
    REGISTRY,
    "offload_worker_operations_total",
    "Signing requests that this worker answered, by outcome.",
    "algorithm", "outcome",
)  # fmt: skip
WORKER_OPERATION_SECONDS: Final = HistogramFamily(
    REGISTRY,
    "offload_worker_operation_seconds",
    "Time from a request's last byte to its answer, queueing included.",
    "algorithm",
    buckets=_LATENCY_BUCKETS,
)
WORKER_REFUSALS: Final = CounterFamily(
    REGISTRY,
    "offload_worker_refusals_total",
    "Requests that the policy of this worker refused, by reason.",
    "reason",
)
WORKER_LINKS: Final = GaugeFamily(
    REGISTRY,
    "offload_worker_links",
    "Links from a front-end that are up.",
    "frontend",
)
WORKER_IN_FLIGHT: Final = GaugeFamily(
    REGISTRY,
    "offload_worker_in_flight",
    "Requests received by this worker and not answered yet.",
)
WORKER_LINK_ERRORS: Final = CounterFamily(
    REGISTRY,
    "offload_worker_link_errors_total",
    "Links ended by an error, by reason.",
    "reason",
)
WORKER_KEYS: Final = GaugeFamily(
    REGISTRY,
    "offload_worker_keys",
    "Keys in this worker's token, by algorithm.",
    "algorithm",
    mode="livemax",
)

# Cluster, as a worker sees it
CLUSTER_UNTRUSTED: Final = GaugeFamily(
    REGISTRY,
    "offload_cluster_untrusted_values",
    "Values of the catalogue that this worker refuses: not signed by a member, or older than seen.",
    mode="livemax",
)
CLUSTER_KEYS: Final = GaugeFamily(
    REGISTRY,
    "offload_cluster_keys",
    "Keys of the cluster, by state; each generation counts.",
    "state",
    mode="livemax",
)
CLUSTER_KEYS_SHORT: Final = GaugeFamily(
    REGISTRY,
    "offload_cluster_keys_short",
    "Keys that fewer members hold than is promised.",
    mode="livemax",
)
CLUSTER_MEMBER_KEYS_MISSING: Final = GaugeFamily(
    REGISTRY,
    "offload_cluster_member_keys_missing",
    "Keys that a member is to hold and does not say it holds.",
    "member",
    mode="livemax",
)
CLUSTER_REPLICATION_SECONDS: Final = HistogramFamily(
    REGISTRY,
    "offload_cluster_replication_seconds",
    "Time from a key's record in the catalogue to the key in this worker's token.",
    buckets=_LATENCY_BUCKETS,
)
CLUSTER_KEY_FAILURES: Final = GaugeFamily(
    REGISTRY,
    "offload_cluster_key_failures",
    "Keys that this worker's token could not take in, wrap or erase when it last tried.",
    mode="livemax",
)
CLUSTER_CATALOGUE_ERRORS: Final = CounterFamily(
    REGISTRY,
    "offload_cluster_catalogue_errors_total",
    "Times that replication was held up by the catalogue, the token or the audit log.",
    "reason",
)

# Management
MANAGEMENT_ACTS: Final = CounterFamily(
    REGISTRY,
    "offload_management_acts_total",
    "Acts of management that change something, and refused reads, by act and outcome.",
    "act",
    "outcome",
)
API_REQUESTS: Final = CounterFamily(
    REGISTRY, "offload_api_requests_total", "Requests to the REST API, by status.", "status"
)

# Audit log
AUDIT_RECORDS: Final = CounterFamily(
    REGISTRY, "offload_audit_records_total", "Records appended to the audit log, by kind.", "kind"
)
AUDIT_ERRORS: Final = CounterFamily(
    REGISTRY,
    "offload_audit_errors_total",
    "Times that the audit log could not be written: what had to be recorded was refused.",
)
AUDIT_LAST_SEQUENCE: Final = GaugeFamily(
    REGISTRY,
    "offload_audit_last_sequence",
    "Sequence number of the last record of the audit log.",
    mode="livemax",
)
AUDIT_CHECKPOINT_SEQUENCE: Final = GaugeFamily(
    REGISTRY,
    "offload_audit_checkpoint_sequence",
    "Sequence number of the last record covered by a checkpoint in the catalogue.",
    mode="livemax",
)
AUDIT_CHECKPOINT_TIME: Final = GaugeFamily(
    REGISTRY,
    "offload_audit_checkpoint_timestamp_seconds",
    "When that checkpoint was made, in seconds since 1970.",
    mode="livemax",
)
AUDIT_COUNTERSIGNERS: Final = GaugeFamily(
    REGISTRY,
    "offload_audit_countersigners",
    "Other members that have countersigned this worker's last checkpoint.",
    mode="livemax",
)
AUDIT_CHECKPOINTS_REFUSED: Final = CounterFamily(
    REGISTRY,
    "offload_audit_checkpoints_refused_total",
    "Checkpoints of other members that were not countersigned, since they contradict earlier ones.",
)

# Both
PROCESS_RESTARTS: Final = CounterFamily(
    REGISTRY,
    "offload_process_restarts_total",
    "Serving processes that the supervisor brought back, by role.",
    "role",
)
BUILD_INFO: Final = GaugeFamily(
    REGISTRY,
    "offload_build_info",
    "Always 1; the labels tell what is running.",
    "version", "openssl", "python",
    mode="max",
)  # fmt: skip

FAMILIES: Final[tuple[Family[Tally] | Family[Level] | Family[Distribution], ...]] = tuple(
    value for value in dict(globals()).values() if isinstance(value, Family)
)


def flush() -> None:
    """Write what this process counted since the last flush to the real metrics."""
    for family in FAMILIES:
        family.flush()
