"""Every act has one way in."""

from collections import Counter

from offload.admin.route import Route, variables
from offload.admin.routes import ROUTES
from offload.cluster import acts
from offload.cluster.roles import MATRIX


def test_every_act_has_one_route() -> None:
    assert Counter(route.act for route in ROUTES) == Counter(dict.fromkeys(MATRIX, 1))


def test_no_two_acts_share_a_route() -> None:
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)


def test_what_changes_nothing_is_a_get() -> None:
    assert {route.act for route in ROUTES if route.method == "GET"} == {
        act for act in MATRIX if not act.writes
    }


def test_variables_are_fields_of_the_act() -> None:
    for route in ROUTES:
        assert set(route.variables) <= set(route.act.model_fields), route


def test_a_delete_has_no_fields_beside_the_path() -> None:
    assert all(not route.fields for route in ROUTES if route.method == "DELETE")


def test_fields_are_divided_between_path_and_body() -> None:
    route = Route("POST", "/v1/keys/{key}/destroy", acts.DestroyKey)
    assert (route.variables, route.fields, route.has_body) == (("key",), ("wait_seconds",), True)
    assert not Route("POST", "/v1/keys/{key}/keep", acts.KeepKey).has_body


def test_names_in_braces_are_variables() -> None:
    assert variables("/v1/{a}/b/{c}") == ("a", "c")
