"""Large bodies pass byte for byte, with neither side holding them whole."""

import hashlib
import subprocess

import pytest
from support.chain import Chain, environment, until
from support.content import blocks, digest
from support.programs import curl

SIZE = 200_000_000


@pytest.mark.needs("curl")
def test_a_download_is_byte_exact(chain: Chain) -> None:
    before = chain.admin.total("offload_bytes_total", direction="response")
    command = curl(chain.port, f"https://localhost/bytes/{SIZE}", chain.state.trust)
    state, size = hashlib.sha256(), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None
        while data := process.stdout.read(1 << 16):
            state.update(data)
            size += len(data)
    assert process.returncode == 0
    assert (size, state.hexdigest()) == (SIZE, digest(SIZE))
    _until_counted(chain, "response", before + SIZE)
    chain.until_idle()


@pytest.mark.needs("curl")
def test_an_upload_is_byte_exact(chain: Chain) -> None:
    before = chain.admin.total("offload_bytes_total", direction="request")
    command = curl(chain.port, "https://localhost/digest", chain.state.trust, "--upload-file", "-")
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for block in blocks(SIZE):
            process.stdin.write(block)
        process.stdin.close()
        answer = process.stdout.read()
    assert process.returncode == 0
    assert answer.decode() == f"{SIZE} {digest(SIZE)}"
    _until_counted(chain, "request", before + SIZE)
    chain.until_idle()


def _until_counted(chain: Chain, direction: str, least: float) -> None:
    until(
        lambda: chain.admin.total("offload_bytes_total", direction=direction) >= least,
        f"{least} bytes counted",
    )
