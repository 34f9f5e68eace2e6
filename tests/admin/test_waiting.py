import pytest
from aiohttp.test_utils import TestClient, TestServer

from offload.admin.waiting import waiting_application


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/keys"), ("POST", "/"), ("PUT", "/a/b")])
async def test_everything_is_put_off(method: str, path: str) -> None:
    async with TestClient(TestServer(waiting_application())) as client:
        answer = await client.request(method, path)
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "1"
        assert answer.content_type == "application/problem+json"
        problem = await answer.json()
        assert problem["type"] == "urn:offload:problem:unavailable"
        assert problem["remedy"]
