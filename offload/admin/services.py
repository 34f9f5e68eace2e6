"""All that a member does for the cluster: who performs which act, and what goes on by itself."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from offload.audit.log import AuditLog
from offload.cluster.approval_service import ApprovalService
from offload.cluster.audit_service import AuditService
from offload.cluster.backup_service import BackupService
from offload.cluster.bearer import Bearers
from offload.cluster.checkpoints import Checkpoints
from offload.cluster.cluster_service import ClusterService
from offload.cluster.enrolment import Enrolment
from offload.cluster.frontend_service import FrontendService
from offload.cluster.intents import Intents
from offload.cluster.invitation import Invitations
from offload.cluster.key_service import KeyService
from offload.cluster.management import Management
from offload.cluster.member_service import MemberService
from offload.cluster.node import Node
from offload.cluster.replication import Replicator
from offload.cluster.rotation_service import RotationService
from offload.cluster.rotator import Rotator
from offload.cluster.token_authority import TokenAuthority
from offload.cluster.user_service import UserService

Task = Callable[[], Coroutine[Any, Any, None]]
"""Runs until it is cancelled."""


@dataclass(frozen=True, slots=True)
class Services:
    """management: does acts; bearers, enrolment: for REST; tasks: what goes on, by name."""

    management: Management
    bearers: Bearers
    enrolment: Enrolment
    tasks: dict[str, Task]

    @classmethod
    def of(cls, node: Node, log: AuditLog) -> Services:
        """Those of the member, whose audit log is `log`; made on the running loop."""
        bearers = Bearers(node)
        authority = TokenAuthority(node)
        invitations = Invitations(node)
        enrolment = Enrolment(node, authority, invitations)
        checkpoints = Checkpoints(node, log)
        intents = Intents(node)
        replicator = Replicator(node, intents=intents)
        keys = KeyService(node, intents)
        handlers = (
            keys.handlers,
            RotationService(node, keys.creation).handlers,
            MemberService(node, enrolment, invitations).handlers,
            FrontendService(node, authority).handlers,
            ApprovalService(node).handlers,
            ClusterService(node).handlers,
            UserService(node, authority.issue_client, bearers).handlers,
            AuditService(node, log, checkpoints).handlers,
            BackupService(node).handlers,
        )
        return cls(
            management=Management(node, handlers),
            bearers=bearers,
            enrolment=enrolment,
            tasks={
                "replication": replicator.run,
                "rotation": Rotator(node).run,
                "checkpoints": checkpoints.run,
            },
        )
