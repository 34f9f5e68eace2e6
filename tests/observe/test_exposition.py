"""Without a shared directory the scrape shows this process's own metrics."""

import pytest

from offload.observe import exposition, metrics, multiprocess


def test_own_metrics_are_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(multiprocess.VARIABLE, raising=False)
    metrics.SIGNING_RETRIES.labels("exposition-test").inc(3)
    metrics.flush()
    text = exposition.render().decode()
    assert 'offload_signing_retries_total{reason="exposition-test"} 3.0\n' in text
    assert exposition.CONTENT_TYPE.startswith("text/plain")
