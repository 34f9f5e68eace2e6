"""The front-ends, which ask for signatures."""

from typing import Final

from offload.admin.route import Route
from offload.cluster import acts

FRONTENDS: Final = (
    Route("GET", "/v1/frontends", acts.ListFrontends),
    Route("POST", "/v1/frontends", acts.RegisterFrontend, 201),
    Route("DELETE", "/v1/frontends/{frontend}", acts.RemoveFrontend),
)
