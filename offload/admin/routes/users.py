"""Officers, key users and auditors, and their tokens."""

from typing import Final

from offload.admin.route import Route
from offload.cluster import acts

USERS: Final = (
    Route("GET", "/v1/users", acts.ListUsers),
    Route("POST", "/v1/users", acts.CreateUser, 201),
    Route("POST", "/v1/users/{user}/role", acts.SetRole),
    Route("DELETE", "/v1/users/{user}", acts.RemoveUser),
    Route("POST", "/v1/tokens", acts.MintToken, 201, secret=True),
)
