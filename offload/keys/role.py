"""Who somebody is to the cluster."""

from enum import StrEnum


class Role(StrEnum):
    """officer: members, users, front-ends, approvals; key-user: keys; auditor: reads the audit log;
    appliance: a front-end, which asks for signatures and nothing else.
    """

    OFFICER = "officer"
    KEY_USER = "key-user"
    AUDITOR = "auditor"
    APPLIANCE = "appliance"
