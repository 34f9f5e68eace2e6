"""Which role may ask for which act: the one table (docs/security.md shows it too).

The law: who looks after the keys does not decide who may; who reads the audit log changes nothing;
a front-end manages nothing. An officer can stop a key in an emergency, but not start one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from offload.cluster import acts
from offload.cluster.acts import Act
from offload.keys.role import Role

_OFFICER: Final = frozenset((Role.OFFICER,))
_KEY_USER: Final = frozenset((Role.KEY_USER,))
_AUDITOR: Final = frozenset((Role.AUDITOR,))
_EVERYBODY: Final = _OFFICER | _KEY_USER | _AUDITOR

MATRIX: Final[Mapping[type[Act], frozenset[Role]]] = {
    acts.ListKeys: _EVERYBODY,
    acts.ShowKey: _EVERYBODY,
    acts.CreateKey: _KEY_USER,
    acts.ImportKey: _KEY_USER,
    acts.ExportKey: _KEY_USER,
    acts.SetKeyPolicy: _KEY_USER,
    acts.ActivateKey: _KEY_USER,
    acts.SuspendKey: _KEY_USER | _OFFICER,
    acts.ResumeKey: _KEY_USER,
    acts.DeactivateKey: _KEY_USER,
    acts.CompromiseKey: _KEY_USER | _OFFICER,
    acts.DestroyKey: _KEY_USER,
    acts.KeepKey: _KEY_USER,
    acts.RequestCertificate: _KEY_USER,
    acts.InstallCertificate: _KEY_USER,
    acts.RotateKey: _KEY_USER,
    acts.ShowRotation: _KEY_USER,
    acts.CancelRotation: _KEY_USER,
    acts.ListMembers: _EVERYBODY,
    acts.Invite: _OFFICER,
    acts.Approve: _OFFICER,
    acts.Reject: _OFFICER,
    acts.RemoveMember: _OFFICER,
    acts.RollClusterKey: _OFFICER,
    acts.ShowCluster: _EVERYBODY,
    acts.BackUp: _OFFICER,
    acts.SetPolicy: _OFFICER,
    acts.ListFrontends: _EVERYBODY,
    acts.RegisterFrontend: _OFFICER,
    acts.RemoveFrontend: _OFFICER,
    acts.ListUsers: _OFFICER | _AUDITOR,
    acts.CreateUser: _OFFICER,
    acts.SetRole: _OFFICER,
    acts.RemoveUser: _OFFICER,
    acts.MintToken: _EVERYBODY,
    acts.ListApprovals: _EVERYBODY,
    acts.ShowApproval: _EVERYBODY,
    acts.SignApproval: _OFFICER,
    acts.RejectApproval: _OFFICER,
    acts.ShowAudit: _AUDITOR,
    acts.VerifyAudit: _AUDITOR,
    acts.ExportAudit: _AUDITOR,
}

BY_NAME: Final[Mapping[str, type[Act]]] = {act.name: act for act in MATRIX}
"""Every act by its name."""


def allowed(role: Role, act: type[Act]) -> bool:
    """Whether somebody of that role may ask for the act at all; approvals come on top."""
    return role in MATRIX.get(act, ())


def roles_for(act: type[Act]) -> str:
    """Who may, in words: for the text of a refusal."""
    return " or ".join(sorted(MATRIX.get(act, ()))) or "nobody"
