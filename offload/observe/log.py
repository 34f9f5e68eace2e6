"""Structured log lines on standard error: JSON for machines, text for a terminal.

Values that could be secrets never reach a line: bytes are shown as their length, values whose
name tells of a secret are masked, and tracebacks carry no local variables.
"""

import contextlib
import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, Literal, cast

import orjson
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

Format = Literal["json", "text"]
Level = Literal["debug", "info", "warning", "error", "critical"]

_MASK: Final = "[masked]"
_SECRET_NAMES: Final = ("passphrase", "password", "private_key", "secret", "pin", "credential")
# Loggers of libraries that are chatty at info.
_QUIET: Final = ("aiohttp.access", "asyncio")


def configure(level: Level = "info", format: Format = "json") -> None:
    """Send the product's and the libraries' log lines of `level` and above to standard error."""
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=_processors(format),
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=_StandardErrorFactory(),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Bridge)]:
        root.removeHandler(handler)
    root.addHandler(_Bridge())
    root.setLevel(number)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


def get_logger(name: str) -> FilteringBoundLogger:
    """Return the logger called `name` (a module or a part of the product)."""
    return cast(FilteringBoundLogger, structlog.get_logger(name))


def _processors(format: Format) -> list[Processor]:
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _add_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _mask,
    ]
    if format == "text":
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            exception_formatter=structlog.dev.plain_traceback,
            timestamp_key="time",
        )
        return [*common, renderer, _to_bytes]
    tracebacks = structlog.processors.ExceptionRenderer(
        structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    )
    return [*common, tracebacks, _render_json]


def _add_name(logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event["logger"] = logger.name
    return event


def _mask(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        event[key] = _masked(key, value)
    return event


def _masked(key: str, value: Any) -> Any:
    if _is_secret(key.lower()):
        return _MASK
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    if isinstance(value, Mapping):
        return {str(inner): _masked(str(inner), item) for inner, item in value.items()}
    return value


def _is_secret(name: str) -> bool:
    return any(name == secret or name.endswith("_" + secret) for secret in _SECRET_NAMES)


def _render_json(_logger: WrappedLogger, _method: str, event: EventDict) -> bytes:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS)


def _to_bytes(_logger: WrappedLogger, _method: str, line: Any) -> bytes:
    return str(line).encode(errors="backslashreplace")


class _StandardError:
    """Writes whole lines to whatever standard error is at that moment."""

    def __init__(self, name: str) -> None:
        self.name = name

    def msg(self, line: bytes) -> None:
        # A reader that went away must not stop the proxy.
        with contextlib.suppress(OSError):
            stream = sys.stderr.buffer
            stream.write(line + b"\n")
            stream.flush()

    debug = info = warning = error = critical = exception = log = msg


class _StandardErrorFactory:
    def __call__(self, name: str = "offload") -> _StandardError:
        return _StandardError(name)


class _Bridge(logging.Handler):
    """Hands the records of the standard library's logging to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        details: MutableMapping[str, Any] = {}
        if record.exc_info:
            details["exc_info"] = record.exc_info
        get_logger(record.name).log(record.levelno, record.getMessage(), **details)
