"""A cluster of a worker with a software token and one with an HSM, as real processes: keys of both
serve on both, a key made for the HSM alone stays there, and an HSM may go away and come back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from support import softhsm
from support.cluster_processes import KEY_USER, Cluster, found, join
from support.front_end import FrontEnd
from support.processes import Spawner

from offload.keys.scheme import SignatureScheme
from offload.wire.error import ErrorCode
from offload.wire.message import Failure, Message, Signature, TlsSign
from offload.worker.policy import SERVER_CONTEXT
from offload.worker.use import TLS_1_3

pytestmark = pytest.mark.needs("softhsm2-util")

SOFTWARE, HSM = "worker-1", "worker-2"
HASH = bytes(range(32))
SCHEMES = {
    "p-256": SignatureScheme.ECDSA_SECP256R1_SHA256,
    "rsa-2048": SignatureScheme.RSA_PSS_RSAE_SHA256,
}
NOT_HERE: Message = Failure(1, ErrorCode.KEY_NOT_FOUND)
# What a request may be refused with while the HSM is away.
BROKEN = (ErrorCode.KEY_NOT_FOUND, ErrorCode.CRYPTO, ErrorCode.INTERNAL)


class Mixed(NamedTuple):
    """The cluster, and where the HSM keeps its tokens."""

    cluster: Cluster
    tokens: Path


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mixed]:
    directory = tmp_path_factory.mktemp("mixed")
    spawner = Spawner(directory)
    try:
        yield asyncio.run(started(directory, spawner))
    finally:
        spawner.stop()


async def started(directory: Path, spawner: Spawner) -> Mixed:
    configuration = softhsm.make_tokens(directory / "hsm", ["vault"])
    pin = directory / "pin"
    pin.touch(0o600)
    pin.write_text(softhsm.PIN)
    cluster = await found(directory, spawner, (SOFTWARE,))
    await asyncio.to_thread(cluster.start)
    await join(
        *(cluster, HSM, "b"),
        token=("--pkcs11-module", softhsm.module(), "--pkcs11-token", "vault", "--pin-file", pin),
        environment={"SOFTHSM2_CONF": str(configuration)},
    )
    await asyncio.to_thread(cluster.start, HSM)
    return Mixed(cluster, directory / "hsm" / "tokens")


async def created(cluster: Cluster, member: str, **values: Any) -> dict[str, Any]:
    return await answered(cluster, member, "POST", "/v1/keys", 201, values)


async def answered(
    cluster: Cluster, member: str, method: str, path: str, status: int = 200, values: Any = None
) -> dict[str, Any]:
    async with (
        cluster.rest(member, KEY_USER) as session,
        session.request(method, path, json=values) as answer,
    ):
        assert answer.status == status, await answer.text()
        body: dict[str, Any] = await answer.json()
        return body


async def asked(link: FrontEnd, key: dict[str, Any]) -> Message:
    """The answer; a signature is a good one."""
    scheme = SCHEMES[key["algorithm"]]
    answer = await link.ask(TlsSign(1, bytes.fromhex(key["ski"]), scheme, TLS_1_3, HASH, "a.test"))
    if isinstance(answer, Signature):
        verify(key, answer.signature)
    return answer


def verify(key: dict[str, Any], signature: bytes) -> None:
    public = load_pem_public_key(key["public_key"].encode())
    content, sha256 = SERVER_CONTEXT + HASH, hashes.SHA256()
    if isinstance(public, rsa.RSAPublicKey):
        public.verify(signature, content, padding.PSS(padding.MGF1(sha256), 32), sha256)
    else:
        assert isinstance(public, ec.EllipticCurvePublicKey)
        public.verify(signature, content, ec.ECDSA(sha256))


async def until_it_signs(link: FrontEnd, key: dict[str, Any]) -> None:
    async with asyncio.timeout(10):
        while not isinstance(await asked(link, key), Signature):
            pass


async def test_the_newcomer_is_a_member_with_an_hsm(mixed: Mixed) -> None:
    cluster, _ = mixed
    listed = await answered(cluster, SOFTWARE, "GET", "/v1/members")
    kinds = {one["name"]: one["token"] for one in listed["members"]}
    assert kinds == {SOFTWARE: "software", HSM: "pkcs11"}


@pytest.mark.parametrize("algorithm", SCHEMES)
@pytest.mark.parametrize("creator", [SOFTWARE, HSM])
async def test_a_key_of_either_signs_on_both(mixed: Mixed, creator: str, algorithm: str) -> None:
    cluster, _ = mixed
    label = f"{creator}-{algorithm}"
    async with cluster.link(SOFTWARE) as software, cluster.link(HSM) as hsm:
        key = await created(cluster, creator, label=label, algorithm=algorithm)
        assert (key["state"], len(key["copies"])) == ("active", 2)
        for link in (software, hsm):
            await until_it_signs(link, key)


async def test_a_key_made_for_the_hsm_alone_stays_there(mixed: Mixed) -> None:
    cluster, _ = mixed
    made = await created(cluster, HSM, label="vaulted", replicated=False)
    assert (made["state"], made["replicated"], made["home"]) == ("active", False, HSM)
    assert [one["member"] for one in made["copies"]] == [HSM]
    async with cluster.link(SOFTWARE) as software, cluster.link(HSM) as hsm:
        await until_it_signs(hsm, made)
        assert await asked(software, made) == NOT_HERE
    seen = await answered(cluster, SOFTWARE, "GET", f"/v1/keys/{made['ski']}")
    assert (seen["replicated"], seen["home"]) == (False, HSM)
    assert [one["member"] for one in seen["copies"]] == [HSM]


async def test_an_hsm_goes_away_and_comes_back(mixed: Mixed) -> None:
    cluster, tokens = mixed
    key = await created(cluster, HSM, label="traveller")
    worker = cluster.members[HSM].process
    assert worker is not None
    async with cluster.link(SOFTWARE) as software, cluster.link(HSM) as hsm:
        for link in (software, hsm):
            await until_it_signs(link, key)
        elsewhere = tokens.rename(tokens.with_name("elsewhere"))
        refused = await asked(hsm, key)
        assert isinstance(refused, Failure)
        assert refused.code in BROKEN
        assert isinstance(await asked(software, key), Signature)
        # An HSM that is away must not be taken for an empty one, which some modules make of it.
        await asyncio.to_thread(worker.wait_for_output, "cannot reload the token")
        elsewhere.rename(tokens)
        await until_it_signs(hsm, key)
        later = await created(cluster, SOFTWARE, label="settler")
        assert len(later["copies"]) == 2
        await until_it_signs(hsm, later)
    assert worker.process.poll() is None
