"""The audit log."""

from typing import Final

from offload.admin.route import Route
from offload.cluster import acts

AUDIT: Final = (
    Route("GET", "/v1/audit", acts.ShowAudit),
    Route("GET", "/v1/audit/verification", acts.VerifyAudit),
    Route("GET", "/v1/audit/export", acts.ExportAudit),
)
