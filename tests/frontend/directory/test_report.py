"""What follows from what processes have reached: the slowest counts."""

from hypothesis import given
from hypothesis import strategies as st

from offload.frontend.directory.board import Board
from offload.frontend.directory.report import Report, merged, reports, unserved

skis = st.dictionaries(st.sampled_from("ab"), st.sampled_from(["", "01", "02"]))
all_reports = st.lists(st.builds(Report, serving=skis, staged=skis, failed=skis), max_size=4)


@given(all_reports)
def test_only_what_all_have_reached_counts(found: list[Report]) -> None:
    record = merged("front", ["a", "b"], found)
    assert record.serving.keys() == {"a", "b"}
    for reached, of in ((record.serving, "serving"), (record.staged, "staged")):
        for label, ski in reached.items():
            assert not ski or all(getattr(one, of).get(label) == ski for one in found)
            assert not ski or found
    assert record.canary_errors.keys() == {ski for one in found for ski in one.failed}


def test_labels_are_there_before_anything_is_reached() -> None:
    record = merged("front", ["a"], [])
    assert (record.serving, record.staged, record.canary_errors) == ({"a": ""}, {}, {})


def test_agreement_is_told() -> None:
    one = Report(serving={"a": "01"}, staged={"a": "02"}, failed={})
    record = merged("front", ["a"], [one, one])
    assert (record.serving, record.staged) == ({"a": "01"}, {"a": "02"})
    late = Report(serving={"a": "00"}, staged={}, failed={"02": "no worker"})
    record = merged("front", ["a"], [one, late])
    assert (record.serving, record.staged) == ({"a": ""}, {})
    assert record.canary_errors == {"02": "no worker"}


def test_labels_that_nobody_serves() -> None:
    board = Board(2)
    try:
        assert unserved(board) == []
        board.write(0, Report(serving={"a": "", "b": "01", "c": ""}, staged={}, failed={}).body())
        board.write(1, Report(serving={"a": "", "b": "01", "c": "03"}, staged={}, failed={}).body())
        assert unserved(board) == ["a"]
        assert len(reports(board)) == 2
    finally:
        board.close()
