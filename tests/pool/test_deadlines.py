"""The deadline queue against a clock of our own."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from offload.pool.deadlines import DeadlineQueue


@dataclass(eq=False)
class Operation:
    deadline: float
    pending: bool = True


def test_expires_at_the_deadline_and_not_before() -> None:
    queue: DeadlineQueue[Operation] = DeadlineQueue()
    first, second = Operation(5.0), Operation(6.0)
    queue.add(first)
    queue.add(second)
    assert queue.next_due() == 5.0
    assert queue.expire(4.999) == []
    assert queue.expire(5.0) == [first]
    assert queue.next_due() == 6.0
    assert queue.expire(9.0) == [second]
    assert queue.next_due() is None


def test_ended_operations_do_not_expire() -> None:
    queue: DeadlineQueue[Operation] = DeadlineQueue()
    operations = [Operation(float(due)) for due in range(1, 6)]
    for operation in operations:
        queue.add(operation)
    operations[0].pending = operations[2].pending = False
    assert queue.next_due() == 2.0
    assert queue.expire(4.0) == [operations[1], operations[3]]
    assert queue.clear() == [operations[4]]
    assert len(queue) == 0


def test_ended_operations_are_let_go_as_new_ones_come() -> None:
    queue: DeadlineQueue[Operation] = DeadlineQueue()
    for due in range(1000):
        operation = Operation(float(due))
        queue.add(operation)
        operation.pending = False
    assert len(queue) == 1
    queue.prune()
    assert len(queue) == 0


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=40), st.floats(0, 60))
def test_expires_exactly_what_is_due(steps: list[tuple[float, bool]], now: float) -> None:
    queue: DeadlineQueue[Operation] = DeadlineQueue()
    time = 0.0
    operations = []
    for step, pending in steps:
        time += step
        operations.append(Operation(time, pending))
        queue.add(operations[-1])
    due = [one for one in operations if one.pending and one.deadline <= now]
    assert queue.expire(now) == due
