"""Printing: people's text and progress on stderr or as tables, JSON for scripts on stdout."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from irconv.errors import IrconvError

__all__ = ["emit_json", "human_bytes", "print_error", "print_table", "progress"]


def emit_json(document: Any) -> None:
    """Print one JSON document on stdout."""
    click.echo(json.dumps(document, indent=2, allow_nan=False))


def print_error(error: IrconvError) -> None:
    """Print on stderr what happened, where, and what to do next."""
    click.secho("error: ", fg="red", bold=True, err=True, nl=False)
    click.echo(error.what, err=True)
    if error.where:
        click.echo(f"  where: {error.where}", err=True)
    if error.hint:
        click.echo(f"  next:  {error.hint}", err=True)


def human_bytes(size: int) -> str:
    """Return a size such as ``46.7 MB`` (decimal units)."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on stdout; plain columns where stdout is no terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(_escape(cell) for cell in row))
    width = None if sys.stdout.isatty() else 200
    Console(width=width, highlight=False).print(table)


def _escape(cell: str) -> str:
    from rich.markup import escape

    return escape(cell)


@contextlib.contextmanager
def progress(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Yield a callback that shows the running stage on stderr.

    On a terminal the stages stand behind a spinner with the time that has passed; elsewhere
    each is one line. ``quiet`` shows nothing.
    """
    if quiet:
        yield lambda _: None
        return
    if not sys.stderr.isatty():
        yield lambda message: click.echo(f"· {message}", err=True)
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def show(message: str) -> None:
            bar.update(task, description=_escape(message))

        yield show
