"""How the cluster's keys stand, counted."""

from __future__ import annotations

from support.still_view import StillView, managed

from offload.cluster.survey import show, survey
from offload.keys.state import State
from offload.observe import metrics


def test_counts_states_shortages_and_copies() -> None:
    keys = [
        managed(1, state=State.ACTIVE),
        managed(2, state=State.ACTIVE),
        managed(3, state=State.DESTROYED),
        managed(4, replicated=False),
    ]
    found = survey(StillView(keys, {1: "abc", 2: "a", 4: "a"}).view)
    assert found.states == {State.ACTIVE: 2, State.DESTROYED: 1, State.PRE_ACTIVE: 1}
    assert found.short == 1
    assert found.held == {"a": 3, "b": 1, "c": 1}
    assert found.missing == {"a": 0, "b": 1, "c": 1}


def test_the_gauges_show_it_and_forget_who_is_gone() -> None:
    found = survey(StillView([managed(1)], {1: "a"}).view)
    show(found, ("a", "b", "c", "removed"))
    assert metrics.CLUSTER_KEYS.labels("pre-active").value == 1
    assert metrics.CLUSTER_KEYS_SHORT.labels().value == 1
    assert metrics.CLUSTER_MEMBER_KEYS_MISSING.labels("b").value == 1
    assert metrics.CLUSTER_MEMBER_KEYS_MISSING.labels("removed").value == 0
