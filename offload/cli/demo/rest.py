"""A worker's REST, as a user of the cluster asks it."""

from __future__ import annotations

import http.client
import json
import secrets
import ssl
import time
from pathlib import Path
from typing import Any

from offload.cli.demo.ports import LOOPBACK
from offload.cli.failure import Failure

_SECONDS = 15.0
_PATIENCE = 30.0
_PAUSE = 0.1
_BUSY = (429, 503)


class Rest:
    """Asks one worker; holds nothing open."""

    def __init__(self, port: int, certificate: Path, key: Path, trust: Path) -> None:
        self._port = port
        self._tls = ssl.create_default_context(cafile=trust)
        self._tls.load_cert_chain(certificate, key)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"https://{LOOPBACK}:{self._port}"

    def ask(self, method: str, path: str, **values: Any) -> dict[str, Any]:
        """The answer. What cannot be done right now, as while etcd elects a leader, is tried
        again; the worker does it once all the same. Raises Failure if it is refused.
        """
        headers = {"Idempotency-Key": secrets.token_hex(16)} if method != "GET" else {}
        deadline = time.monotonic() + _PATIENCE
        while True:
            status, answer = self._once(method, path, values, headers)
            if status not in _BUSY or time.monotonic() > deadline:
                break
            time.sleep(_PAUSE)
        if status not in (200, 201):
            reason = answer.get("detail") or answer.get("title") or f"status {status}"
            raise Failure(f"{method} {path}: {reason}")
        return answer

    def _once(
        self, method: str, path: str, values: dict[str, Any], headers: dict[str, str]
    ) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPSConnection(
            LOOPBACK, self._port, timeout=_SECONDS, context=self._tls
        )
        body = json.dumps(values) if values else None
        typed = {"Content-Type": "application/json", **headers} if values else headers
        try:
            connection.request(method, path, body, typed)
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read())
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Failure(f"{self.url} cannot be asked: {error}") from error
        finally:
            connection.close()
        return response.status, answer
