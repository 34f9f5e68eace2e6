"""A front-end's side of a link to a worker, for tests: sends messages, reads answers one by one."""

import asyncio
import ssl
from pathlib import Path

from offload.wire.codec import Decoder, encode
from offload.wire.message import Message
from support.pki import Issued

_WAIT_SECONDS = 10.0


def client_context(identity: Issued | None, trust: Path) -> ssl.SSLContext:
    """Mutual TLS as a front-end speaks it, or without a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(trust)
    if identity is not None:
        context.load_cert_chain(identity.certificate_path, identity.key_path)
    return context


class FrontEnd:
    """One link; every wait is bounded."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self._decoder = Decoder("front-end")
        self._received: list[Message] = []

    @classmethod
    async def connect(cls, port: int, context: ssl.SSLContext) -> "FrontEnd":
        """Raises OSError when the worker refuses the handshake at once."""
        async with asyncio.timeout(_WAIT_SECONDS):
            return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=context))

    def send(self, *messages: Message) -> None:
        """Send messages in one write."""
        self.writer.write(b"".join(encode(message) for message in messages))

    async def receive(self) -> Message:
        """The next answer; raises ConnectionError when the worker ended the link instead."""
        async with asyncio.timeout(_WAIT_SECONDS):
            while not self._received:
                data = await self._reader.read(65536)
                if not data:
                    raise ConnectionError("the worker closed the link")
                self._received += self._decoder.feed(data)
        return self._received.pop(0)

    async def ask(self, message: Message) -> Message:
        """Send one message and return the next answer."""
        self.send(message)
        return await self.receive()

    async def ended(self) -> bool:
        """Wait until the worker ends the link, without another answer."""
        try:
            await self.receive()
        except TimeoutError:  # an OSError too, but nothing has ended
            return False
        except OSError:  # ConnectionError and ssl.SSLError among them
            return True
        return False

    def close(self) -> None:
        """Go away without a word."""
        self.writer.transport.abort()
