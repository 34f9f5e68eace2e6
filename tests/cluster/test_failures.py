from offload.cluster.failures import ApprovalNeeded, ManagementError


def test_who_needs_an_approval_is_told_which() -> None:
    error = ApprovalNeeded("have it signed", "00")
    assert (str(error), error.approval) == ("have it signed", "00")
    assert isinstance(error, ManagementError)
