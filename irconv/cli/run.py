"""``irconv run``."""

from __future__ import annotations

from pathlib import Path

import click

from irconv.cli.options import json_option, limit_options, python_option
from irconv.cli.output import emit_json, progress
from irconv.worker import WorkerLimits


@click.command("run")
@click.argument("bundle")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=FILE.npy",
    help="Value of an input; may be repeated. Or one FILE.npz with an array per input.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The .npz file to write, with an array per output.",
)
@limit_options
@python_option
@json_option
def command(
    bundle: str,
    inputs: tuple[str, ...],
    output: Path,
    max_ram: int | None,
    timeout: float | None,
    python: str | None,
    as_json: bool,
) -> None:
    """Run BUNDLE on inputs from files and write its outputs."""
    from irconv.bundle import open_bundle
    from irconv.deploy import run_bundle, state_inputs
    from irconv.runtime.files import read_inputs, write_outputs

    opened = open_bundle(bundle)
    sample = read_inputs(inputs, opened.inputs, state_inputs(opened))
    limits = WorkerLimits(timeout or WorkerLimits().seconds, max_ram, python)
    with progress(quiet=as_json) as show:
        show(f"running {bundle}")
        outputs = run_bundle(opened, [sample], limits=limits)[0]
    write_outputs(output, outputs)
    if as_json:
        emit_json({"output": str(output), "names": list(outputs)})
    else:
        click.echo(f"{output}: {', '.join(outputs)}")
