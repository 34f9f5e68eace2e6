"""Which requests ask for which acts: one table for each kind of resource."""

from typing import Final

from offload.admin.route import Route
from offload.admin.routes.approvals import APPROVALS
from offload.admin.routes.audit import AUDIT
from offload.admin.routes.cluster import CLUSTER
from offload.admin.routes.frontends import FRONTENDS
from offload.admin.routes.keys import KEYS
from offload.admin.routes.members import MEMBERS
from offload.admin.routes.users import USERS

ROUTES: Final[tuple[Route, ...]] = (
    *KEYS,
    *MEMBERS,
    *FRONTENDS,
    *USERS,
    *APPROVALS,
    *AUDIT,
    *CLUSTER,
)
"""Every act has one route."""
