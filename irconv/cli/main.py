"""The ``irconv`` command: lazily loaded subcommands, and one way to fail.

Nothing heavy is imported until a command needs it; ``irconv --help`` reads the table below.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys

import click

from irconv import __version__
from irconv.cli.deferred_imports import defer_imports
from irconv.cli.output import emit_json, print_error
from irconv.errors import ExitCode, IrconvError, UsageError

__all__ = ["COMMANDS", "cli", "main"]

COMMANDS: dict[str, str] = {
    "compile": "Compile a model for one or more targets, and prove each artifact.",
    "check": "List what each target cannot express, before anything is built.",
    "verify": "Check a bundle's digests and run it again against its goldens.",
    "run": "Run a bundle on inputs from files.",
    "inspect": "Say what a model or a bundle is, executing nothing in it.",
    "optimize": "Run the pass pipeline alone, from ONNX to ONNX.",
    "bisect": "Find which pass, rewrite and tensor broke an output.",
    "explain": "Say where a pass fired in a model, and why not elsewhere.",
    "golden": "Record, check and compare golden files for your own CI.",
    "passes": "List the passes, their options and what they do to the numbers.",
    "targets": "List the targets and whether each can be built here.",
    "frontends": "List the source formats and whether each can be read here.",
    "plugins": "List the installed plugins, the broken ones with the reason.",
    "doctor": "Check this installation, target by target.",
}
"""Every command with its line of help; command ``x`` is ``irconv.cli.x:command``."""

_INTERRUPTED = 130
_COLLECTOR_THRESHOLDS = (100_000, 50, 1_000)
_SLEEP_AT_ONCE = "4"
"""Logarithm of the processor cycles that a thread of NumPy's OpenBLAS spins for more work."""


class _LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"irconv.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="irconv")
@click.option(
    "--debug", is_flag=True, expose_value=False, help="Show tracebacks; may stand anywhere."
)
def cli() -> None:
    """Compile trained models: one command, one bundle, one proof."""


def _report(error: IrconvError, *, as_json: bool) -> None:
    if as_json:
        emit_json({"error": error.to_json()})
    print_error(error)


def run(arguments: list[str]) -> int:
    """Run the command line and return its exit code."""
    debug, as_json = "--debug" in arguments, "--json" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        result = cli.main(arguments, prog_name="irconv", standalone_mode=False)
    except click.ClickException as error:
        if as_json:
            emit_json({"error": UsageError(error.format_message(), where="usage").to_json()})
        error.show()
        return int(ExitCode.BAD_INPUT)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped; nothing was written", err=True)
        return _INTERRUPTED
    except IrconvError as error:
        if debug:
            raise
        _report(error, as_json=as_json)
        return int(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        return int(ExitCode.OK)
    except Exception as error:
        if debug:
            raise
        click.echo(
            f"error: a defect in irconv: {type(error).__name__}: {error}\n"
            "  next:  run again with --debug and report the traceback",
            err=True,
        )
        return int(ExitCode.BACKEND_FAILURE)
    return int(result) if isinstance(result, int) else int(ExitCode.OK)


def main() -> None:
    """Entry point of the ``irconv`` script.

    Imports and graphs make many objects and little garbage, so the collector runs rarely, and
    hardly ever over all objects, which takes longer the more nodes a graph has. Threads of NumPy,
    in this process and in workers, sleep when they have nothing to do: left alone, those that it
    starts when it is imported spin for longer than the import takes.
    """
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", _SLEEP_AT_ONCE)
    gc.set_threshold(*_COLLECTOR_THRESHOLDS)
    defer_imports()
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
