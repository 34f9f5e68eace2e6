"""The whole command: its groups, its errors, its exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer

from offload.cli import (
    approval,
    audit,
    audit_log,
    certificate,
    check,
    cluster,
    cluster_care,
    cluster_frontends,
    cluster_members,
    demo,
    init,
    key,
    key_rotation,
    key_states,
    key_transfer,
    serve,
    user,
)
from offload.cli.failure import Complaint, Failure, render
from offload.worker.hardening import forbid_dumps

SUCCESS, FAILED, USAGE = 0, 1, 2

# Set, an unexpected error shows its traceback; for whoever reports a bug.
TRACEBACK_VARIABLE = "OFFLOAD_TRACEBACK"

# These add their commands to a group of another file.
_ADDED = (
    key_states,
    key_transfer,
    key_rotation,
    cluster_members,
    cluster_frontends,
    cluster_care,
    audit_log,
)

app = typer.Typer(
    name="offload",
    help="TLS reverse proxy whose private keys live in workers, never in the front-end.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("init")(init.init)
app.command("frontend")(serve.frontend)
app.command("worker")(serve.worker)
app.command("check")(check.check)
app.add_typer(key.app, name="key")
app.add_typer(certificate.app, name="certificate")
app.add_typer(cluster.app, name="cluster")
app.add_typer(user.app, name="user")
app.add_typer(approval.app, name="approval")
app.add_typer(audit.app, name="audit")
app.command("demo")(demo.demo)


def _show_version(wanted: bool) -> None:
    if wanted:
        from offload.version import __version__

        typer.echo(f"offload {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False,
        "--version",
        help="Print the version and exit.",
        callback=_show_version,
        is_eager=True,
    ),
) -> None:
    """The options that stand before any command."""


def main() -> None:
    """The entry point of the console script and of `python -m offload`."""
    if sys.argv[1:2] != ["frontend"]:
        # Commands that found, join, import or act without a server have keys in their memory; a
        # front-end has none, and whoever runs it may look.
        forbid_dumps()
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line; whatever goes wrong is said on standard error. Gives the exit code."""
    try:
        code = app(args=list(arguments), prog_name="offload", standalone_mode=False)
    except Failure as failure:
        return _complain(*failure.complaints)
    except typer.TyperException as error:
        return _complain(_usage(error), code=error.exit_code)
    except typer.Abort:
        return _complain(Complaint("given up"))
    except OSError as error:
        return _complain(_system(error))
    except Exception as error:
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        return _complain(_unexpected(error))
    return code if isinstance(code, int) else SUCCESS


def _complain(*complaints: Complaint, code: int = FAILED) -> int:
    for complaint in complaints:
        typer.echo(render(complaint), err=True)
    return code


def _usage(error: typer.TyperException) -> Complaint:
    text = " ".join(error.format_message().split()).rstrip(".")
    command = getattr(getattr(error, "ctx", None), "command_path", "offload")
    return Complaint(text[:1].lower() + text[1:], f"see '{command} --help'")


def _system(error: OSError) -> Complaint:
    reason = (error.strerror or str(error)).lower()
    return Complaint(f"{error.filename}: {reason}" if error.filename else reason)


def _unexpected(error: Exception) -> Complaint:
    return Complaint(
        f"unexpected {type(error).__name__}: {error}".replace("\n", " "),
        f"this is a defect; run it again with {TRACEBACK_VARIABLE}=1 and report what it prints",
    )
