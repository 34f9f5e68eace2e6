"""The workers of the cluster."""

from typing import Final

from offload.admin.route import Route
from offload.cluster import acts

_MEMBER: Final = "/v1/members/{member}"

MEMBERS: Final = (
    Route("GET", "/v1/members", acts.ListMembers),
    Route("POST", "/v1/members", acts.Invite, 201, secret=True),
    Route("POST", f"{_MEMBER}/approve", acts.Approve),
    Route("POST", f"{_MEMBER}/reject", acts.Reject),
    Route("DELETE", _MEMBER, acts.RemoveMember),
)
