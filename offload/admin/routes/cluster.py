"""The cluster as a whole."""

from typing import Final

from offload.admin.route import Route
from offload.cluster import acts

CLUSTER: Final = (
    Route("GET", "/v1/cluster", acts.ShowCluster),
    Route("POST", "/v1/cluster/policy", acts.SetPolicy),
    Route("POST", "/v1/cluster/roll", acts.RollClusterKey),
    Route("POST", "/v1/cluster/backup", acts.BackUp),
)
