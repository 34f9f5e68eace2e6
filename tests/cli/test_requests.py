import json

import pytest
from aiohttp.test_utils import make_mocked_request

from offload.admin.reading import read_act
from offload.admin.routes import ROUTES
from offload.cli.requests import request_of
from offload.cluster import acts
from offload.cluster.acts import Act
from offload.keys.algorithm import Algorithm

ACTS: list[Act] = [
    acts.ListKeys(label="a*", algorithm=Algorithm("p-384"), limit=7),
    acts.ListKeys(),
    acts.ShowKey(key="www@2"),
    acts.CreateKey(label="www", sites=("*.example.org",), exportable=True),
    acts.DestroyKey(key="www", wait_seconds=0),
    acts.SetKeyPolicy(key="www", frontends=()),
    acts.RotateKey(label="www", names=("a", "b")),
    acts.CancelRotation(label="www"),
    acts.RemoveMember(member="worker-2"),
    acts.RollClusterKey(),
    acts.SetPolicy(approvals={"key.destroy": 2}),
    acts.ShowAudit(after=0),
    acts.RejectApproval(approval="0" * 32),
]


@pytest.mark.parametrize("act", ACTS, ids=lambda act: f"{act.name}-{len(act.model_fields_set)}")
def test_the_server_reads_the_same_act(act: Act) -> None:
    made = request_of(act)
    route = next(route for route in ROUTES if route.act is type(act))
    query = "&".join(f"{name}={value}" for name, value in made.query.items())
    body = b"" if made.body is None else json.dumps(made.body).encode()
    variables = {name: str(getattr(act, name)) for name in route.variables}
    assert made.path == route.path.format_map(variables)
    request = make_mocked_request(
        made.method,
        made.path + (f"?{query}" if query else ""),
        headers={"Content-Type": "application/json"},
        match_info=variables,
    )
    assert read_act(route, request, body) == act
