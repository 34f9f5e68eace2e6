"""What the cluster refuses, as a command says it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from offload.cli.failure import Failure

if TYPE_CHECKING:
    from offload.cluster.failures import ManagementError

# Where the remedy of REST speaks of HTTP.
_HINTS = {
    "unauthenticated": "name the client file of a user of this cluster with '--client'",
    "unavailable": "try again in a moment",
    "in-progress": "try again in a moment",
    "answer-gone": "see what came of it before you try again",
}


class NeedsApproval(Failure):
    """Officers have to sign `approval` first."""

    def __init__(self, text: str, approval: str) -> None:
        super().__init__(
            text,
            f"officers run 'offload approval sign {approval}'; then repeat this command with "
            f"'--approval {approval}'",
        )
        self.approval = approval


def refused(error: ManagementError) -> Failure:
    """What a member in this process refuses."""
    from offload.admin.problem import of_failure
    from offload.cluster.failures import ApprovalNeeded

    if isinstance(error, ApprovalNeeded):
        return NeedsApproval(str(error), error.approval)
    kind = of_failure(error).kind
    return Failure(str(error), _HINTS.get(kind.slug, kind.remedy))


def answered(status: int, body: bytes) -> Failure:
    """What a member's answer, which is not that of an act done, says."""
    values = _values(body)
    if status == 202 and isinstance(values.get("approval"), str):
        return NeedsApproval(str(values.get("detail", "officers must approve")), values["approval"])
    slug = str(values.get("type", "")).rpartition(":")[2]
    text = str(values.get("detail") or values.get("title") or f"the server answers {status}")
    return Failure(_line(text), _line(_HINTS.get(slug, str(values.get("remedy", "")))))


def is_in_progress(body: bytes) -> bool:
    """Whether the same request, sent before, is still being done."""
    return str(_values(body).get("type", "")).endswith(":in-progress")


def _values(body: bytes) -> dict[str, Any]:
    try:
        values = json.loads(body)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def _line(text: str) -> str:
    # Nobody's answer writes to the terminal what it likes.
    return "".join(character if character.isprintable() else " " for character in text)
