import pytest

from bench.load import LoadFailed, completed_handshakes, completed_requests

REPORT = """
  2 threads and 32 connections
  {requests} requests in 1.00s, 3.1MB read
  {errors}
Requests/sec:   1234.00
"""


def test_completed_requests_are_read_from_the_report() -> None:
    assert completed_requests(REPORT.format(requests=1234, errors="")) == 1234


def test_an_error_in_a_hundred_is_tolerated() -> None:
    errors = "Socket errors: connect 0, read 10, write 1, timeout 1"
    assert completed_requests(REPORT.format(requests=1234, errors=errors)) == 1234


@pytest.mark.parametrize(
    ("requests", "errors"),
    [
        (1234, "Socket errors: connect 0, read 12, write 1, timeout 0"),
        (1234, "Non-2xx or 3xx responses: 1234"),
        (0, ""),
    ],
)
def test_more_is_a_failed_load(requests: int, errors: str) -> None:
    with pytest.raises(LoadFailed, match="errors"):
        completed_requests(REPORT.format(requests=requests, errors=errors))


def test_no_report_is_a_failed_load() -> None:
    with pytest.raises(LoadFailed):
        completed_requests("unable to connect")


def test_full_handshakes_of_several_clients_are_told_from_others() -> None:
    head = b"Collecting connection statistics for 600 seconds\n"
    assert completed_handshakes(head + b"**" + head + b"*" * 5) == (7, 0)
    assert completed_handshakes(head + b"*r" + head + b"rt*") == (2, 3)
    assert completed_handshakes(b"") == (0, 0)
