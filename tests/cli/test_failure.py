from offload.cli.failure import Complaint, Failure, render


def test_error_and_hint_have_a_line_each() -> None:
    assert render(Complaint("it broke", "mend it")) == (
        "offload: error: it broke\noffload: hint: mend it"
    )
    assert render(Complaint("it may break"), "warning") == "offload: warning: it may break"


def test_a_failure_keeps_all_complaints() -> None:
    failure = Failure("one", "hint", Complaint("two"))
    assert failure.complaints == (Complaint("one", "hint"), Complaint("two", ""))
    assert str(failure) == "one"
