"""Acts that wait for officers."""

from typing import Final

from offload.admin.route import Route
from offload.cluster import acts

_APPROVAL: Final = "/v1/approvals/{approval}"

APPROVALS: Final = (
    Route("GET", "/v1/approvals", acts.ListApprovals),
    Route("GET", _APPROVAL, acts.ShowApproval),
    Route("POST", f"{_APPROVAL}/sign", acts.SignApproval),
    Route("POST", f"{_APPROVAL}/reject", acts.RejectApproval),
)
