"""``irconv optimize``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from irconv.cli.options import (
    changed_options,
    json_option,
    judging_options,
    max_ram_option,
    timeout_option,
)
from irconv.cli.output import emit_json, human_bytes, progress
from irconv.config import CompileOptions

if TYPE_CHECKING:
    from irconv.verify.verifier import Verification


@click.command("optimize")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The .onnx file to write; large weights go beside it.",
)
@click.option("-O", "level", type=click.IntRange(0, 3), default=2, show_default=True, help="Level.")
@click.option(
    "-t",
    "--target",
    metavar="T",
    help="With -O 3: run the passes that this target adds after those of the level.",
)
@click.option("--passes", metavar="SPEC", help="Passes to run instead of the level's pipeline.")
@click.option("--quantize", metavar="RECIPE", help="Quantization, such as weights-int8.")
@click.option("--prune", metavar="SPEC", help="Pruning, such as magnitude{sparsity=0.5}.")
@click.option("--shape", "shapes", multiple=True, metavar="DIM=N", help="Bind a dimension.")
@judging_options
@click.option("--strict", is_flag=True, help="Stop if a pass breaks its contract.")
@click.option("--dump-ir", type=click.Path(path_type=Path), help="Folder for the IR after passes.")
@max_ram_option("Memory to take, mapped files not counted, such as 1GiB.")
@timeout_option
@json_option
def command(
    model: Path,
    output: Path,
    level: int,
    target: str | None,
    passes: str | None,
    quantize: str | None,
    prune: str | None,
    shapes: tuple[str, ...],
    strict: bool,
    dump_ir: Path | None,
    max_ram: int | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Run the pass pipeline alone on MODEL (.onnx).

    -O 0 does nothing; -O 1 cleans up and changes no bit of any output; -O 2 makes rewrites that are
    exact in real arithmetic; none of these runs the model. -O 3 adds fusions and relaxed
    arithmetic, those of a target with --target; the result is run and compared with the source, and
    what does not hold is rolled back, or nothing is written and the exit code is 1. `irconv passes`
    lists what each of them runs.
    """
    from irconv.optimize import choose_proof, choose_target, optimize_model
    from irconv.passes.base import PassContext
    from irconv.passes.pipelines import MAX_ROUNDS, resolve_pipeline
    from irconv.plugins import load_registry
    from irconv.shapes import parse_shapes
    from irconv.verify.observers import DumpObserver

    ranges = parse_shapes(shapes)
    registry = load_registry()
    backend, added = choose_target(registry, target, level, passes)
    pipeline = resolve_pipeline(registry, level, passes, quantize, prune, ranges, backend)
    limits = {} if max_ram is None else {"max_ram": max_ram}
    prove = choose_proof(
        dataclasses.replace(
            CompileOptions(),
            **changed_options(level=level, passes=passes, shapes=shapes, **given, **limits),
        )
    )
    with progress(quiet=as_json) as show:
        result = optimize_model(
            model,
            output,
            pipeline,
            context=PassContext(
                shapes=ranges, abilities=None if backend is None else backend.abilities()
            ),
            strict=strict,
            observers=[DumpObserver(dump_ir)] if dump_ir else [],
            max_rounds=MAX_ROUNDS,
            added=added,
            max_ram=max_ram,
            prove=prove,
            progress=show,
        )
    if as_json:
        emit_json(result.to_json())
        return
    for record in result.records:
        if record.error:
            click.echo(f"warning: pass {record.spec} was rolled back: {record.error}", err=True)
    click.echo(
        f"{output}: {result.nodes_before} -> {result.nodes_after} nodes, "
        f"{human_bytes(result.bytes_before)} -> {human_bytes(result.bytes_after)}, "
        f"{result.seconds:.2f} s"
    )
    if prove is not None:
        _print_proof(result.verification)


def _print_proof(verification: Verification) -> None:
    for entry in verification.outputs:
        click.echo(
            f"output {entry.name!r} agrees with the source: off by {entry.metrics.max_abs:.3g}, "
            f"allowed is {entry.tolerance.value:.3g} ({entry.tolerance.basis})"
        )
    if verification.reason:
        click.echo(f"note: {verification.reason}", err=True)
