import orjson

from offload.audit.report import Finding, Report


def test_a_finding_names_its_place() -> None:
    assert str(Finding("a.jsonl", 3, 7, "it is gone")) == "a.jsonl:3: record 7: it is gone"
    assert str(Finding("a.jsonl", 0, 7, "it is gone")) == "a.jsonl: record 7: it is gone"


def test_a_report_counts_and_is_json() -> None:
    report = Report("w1", "example", first=3, last=12, checkpoints={"w1": 10, "w2": 11})
    assert (report.records, report.covered) == (10, 11)
    assert orjson.loads(orjson.dumps(report.as_json()))["whole"] is True
    report.bad = Finding("a.jsonl", 3, 13, "it is gone")
    assert orjson.loads(orjson.dumps(report.as_json()))["bad"]["seq"] == 13


def test_an_empty_report_covers_nothing() -> None:
    assert (Report().records, Report().covered) == (0, 0)
