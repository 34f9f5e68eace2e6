from offload.admin.rate import Bucket


def test_a_burst_is_let_through_and_then_so_many_a_second() -> None:
    bucket = Bucket(3, 2, 100.0)
    assert [bucket.take(100.0) for _ in range(4)] == [0, 0, 0, 0.5]
    assert bucket.take(100.5) == 0
    assert bucket.take(100.5) == 0.5


def test_it_never_holds_more_than_its_size() -> None:
    bucket = Bucket(2, 10, 0.0)
    assert [bucket.take(1000.0) for _ in range(3)] == [0, 0, 0.1]
