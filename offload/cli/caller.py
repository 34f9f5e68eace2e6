"""Commands that ask the cluster for acts: their common options, and whom they ask."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from offload.cli.client_file import find, load
from offload.cli.failure import Failure
from offload.cli.settings import DEFAULT_PATH, loaded

if TYPE_CHECKING:
    from pydantic import BaseModel

    from offload.cli.client_file import ClientFile
    from offload.cli.session import Session
    from offload.cluster.acts import Act
    from offload.config import Worker

ClientOption = Annotated[
    Path | None,
    typer.Option("--client", metavar="FILE", help="The client file: whom to ask, and who asks."),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="A worker's: act here, without a server."),
]
JSONOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
ApprovalOption = Annotated[
    str | None, typer.Option("--approval", metavar="ID", help="Officers have approved it.")
]

R = TypeVar("R")
V = TypeVar("V", bound="BaseModel")
A = TypeVar("A", bound="Act")
Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Call:
    """What every such command is told.

    With `config` acts are performed in this process, for the user of `client` if that is given too;
    with `client`, or one found in its usual places, a member is asked; else the usual `config`.
    """

    client: Path | None = None
    config: Path | None = None
    json: bool = False
    approval: str | None = None

    def perform(self, act: Act, view: type[V]) -> V:
        """Have one act done; raises Failure."""
        return self.run(lambda session: session.perform(act, view, approval=self.approval))

    def done(self, act: Act, text: str) -> None:
        """Have one act done whose answer says nothing more, and say `text`; raises Failure."""
        from offload.cluster.views import Done

        answer = self.perform(act, Done)
        typer.echo(answer.model_dump_json() if self.json else text)

    def run(self, work: Callable[[Session], Awaitable[R]]) -> R:
        """Have done what `work` asks a session for; raises Failure."""

        async def run() -> R:
            async with self._session() as session:
                return await work(session)

        return asyncio.run(run())

    def identity(self) -> ClientFile:
        """The client file; raises Failure if there is none."""
        found = find(self.client)
        if found is None:
            raise Failure(
                "a user has to be named for this", "name the user's client file with '--client'"
            )
        return load(found)

    def alone(self) -> Path | None:
        """The configuration, if that is of a worker in no cluster; raises Failure."""
        if self._remote() is not None:
            return None
        return self._config if self._worker().cluster is None else None

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Session]:
        file = self._remote()
        if file is not None:
            from offload.cli.remote import Remote

            async with Remote.open(load(file)) as remote:
                yield remote
            return
        worker = self._worker()
        if worker.cluster is None:
            raise Failure(
                f"{self._config}: the worker is in no cluster, which this needs",
                "found one with 'offload cluster create', or name a client file with '--client'",
            )
        from offload.cli.embedded import Embedded

        async with Embedded.open(worker, None if self.client is None else load(self.client)) as own:
            yield own

    def _remote(self) -> Path | None:
        return find(self.client) if self.config is None else None

    @property
    def _config(self) -> Path:
        return self.config or DEFAULT_PATH

    def _worker(self) -> Worker:
        settings = loaded(self._config, "worker", files=False)
        assert settings.worker is not None
        return settings.worker


def server_command(
    app: typer.Typer, name: str, *, writes: bool = False
) -> Callable[[Command], Command]:
    """Register a command whose first parameter is a Call; `writes`: it may need approvals."""

    def register(function: Command) -> Command:
        def command(**given: Any) -> Any:
            call = Call(**{name: given.pop(name) for name in _shared(writes)})
            return function(call, **given)

        signature = _signature(function, writes)
        command.__doc__ = function.__doc__
        command.__annotations__ = {
            each.name: each.annotation for each in signature.parameters.values()
        }
        command.__dict__["__signature__"] = signature
        app.command(name)(command)
        return function

    return register


def built(act: Callable[..., A], /, **fields: Any) -> A:
    """The act with those fields; what is wrong with one is wrong usage. None: not given."""
    from pydantic import ValidationError

    given = {name: value for name, value in fields.items() if value is not None}
    try:
        return act(**given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"][:1])).replace("_", " ")
        text = first["msg"].removeprefix("Value error, ")
        if first["type"] == "string_pattern_mismatch":
            text = f"{fields.get(field)!r} has characters that are not allowed there"
        raise typer.BadParameter(f"{field}: {text[:1].lower()}{text[1:]}") from None


def _shared(writes: bool) -> dict[str, Any]:
    """The options of all such commands."""
    options = {"client": ClientOption, "config": ConfigOption, "json": JSONOption}
    return {**options, "approval": ApprovalOption} if writes else options


def _signature(function: Callable[..., Any], writes: bool) -> inspect.Signature:
    _call, *own = inspect.signature(function, eval_str=True).parameters.values()
    kept = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]
    added = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=False if option is JSONOption else None,
            annotation=option,
        )
        for name, option in _shared(writes).items()
    ]
    return inspect.Signature([*kept, *added])
