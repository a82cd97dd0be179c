"""Goldens from the source: real or generated inputs, run by the source's own framework."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from irconv.config import CompileOptions
from irconv.errors import BackendError, InputError
from irconv.frontends.base import Imported
from irconv.graph.interface import input_specs
from irconv.runtime.base import Feeds, Runner, Value
from irconv.runtime.remote import RemoteRunner
from irconv.shapes import parse_input, parse_shapes
from irconv.verify.data import load_data
from irconv.verify.golden import Golden
from irconv.verify.inputs import sample_plans

__all__ = ["golden_from_source", "run_all"]


def golden_from_source(imported: Imported, options: CompileOptions) -> Golden:
    """Run the source framework on the user's data, or on generated inputs that it takes.

    Inputs that came with the source stand before the generated ones, or alone where none can be
    generated.

    Raises:
        InputError: If the data do not fit the model, or the source does not run on any of the
            generated inputs.
    """
    model = imported.model
    with imported.open_reference() as reference:
        if options.data:
            samples: Sequence[Feeds] = load_data(Path(options.data), input_specs(model))
            outputs = run_all(reference, samples)
            return Golden(list(samples), outputs, "data", None, reference.describe())
        failure: BackendError | None = None
        plans = sample_plans(
            model,
            shapes=parse_shapes(options.shapes),
            inputs=[parse_input(text) for text in options.inputs],
            count=options.samples,
            seed=options.seed,
        )
        for plan in _plans_or_none(plans, imported.example_feeds):
            samples = [*imported.example_feeds, *plan]
            try:
                outputs = run_all(reference, samples)
            except BackendError as error:
                failure = failure or error
                continue
            return Golden(samples, outputs, "generated", options.seed, reference.describe())
    raise InputError(
        f"the source does not run on generated inputs: {failure.what if failure else 'no inputs'}",
        where="golden outputs",
        hint="give real inputs with --data, or the sizes of its free dimensions with --shape",
    )


def _plans_or_none(
    plans: Iterator[Sequence[Feeds]], examples: Sequence[Feeds]
) -> Iterator[Sequence[Feeds]]:
    """Yield the plans; an empty one where nothing can be made up, but there are examples."""
    try:
        yield from plans
    except InputError:
        if not examples:
            raise
        yield ()


def run_all(runner: Runner, samples: Sequence[Feeds]) -> list[dict[str, Value]]:
    """Run every sample, in one exchange where the runner lives in a worker."""
    if isinstance(runner, RemoteRunner):
        return runner.run_all(samples)
    return [runner.run(sample) for sample in samples]
