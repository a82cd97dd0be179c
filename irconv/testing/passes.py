"""Holding a pass to its contract on one example."""

from __future__ import annotations

import dataclasses
import difflib
import json

import onnx
import onnx_ir as ir

from irconv.graph.fingerprint import fingerprint
from irconv.graph.invariants import InvariantError, check_invariants, interface_of
from irconv.graph.snapshot import snapshot
from irconv.graph.text import format_model
from irconv.passes.base import Pass, PassContext, PassResult
from irconv.spec import parse_spec
from irconv.testing.compare import difference, run_by_onnxruntime
from irconv.testing.feeds import random_feeds

__all__ = ["assert_pass", "site_problem"]

_SEEDS = (0, 1)
_MOST_LIMITS = 8


def assert_pass(
    pass_: Pass,
    before: str,
    after: str | None = None,
    *,
    context: PassContext | None = None,
    rtol: float = 1e-5,
    run: bool = True,
) -> PassResult:
    """Run ``pass_`` on the model ``before`` and check every promise of the pass contract.

    The canonical text of the result equals that of ``after``; ``modified`` is the truth; a
    second run changes nothing; no weight was written in place; the invariants, the interface
    and ``onnx.checker`` hold; the spec text reads back; ONNX Runtime computes the same outputs
    before and after, on seeded inputs. A pass that tells its sites acts at no more of them than
    the context allows.

    Args:
        pass_: The pass with its options.
        before: A model as ONNX text.
        after: The model expected, as ONNX text; None where the pass must change nothing.
        context: What the pass may use beside the graph.
        rtol: Largest error of an output, relative to the largest magnitude of that output.
            Outputs of a pass whose effect is ``bit-exact`` must be equal instead.
        run: Whether to compare outputs; those of a ``lossy`` pass never are.

    Returns:
        The result of the first run, so that details and refusals can be asserted.

    Raises:
        AssertionError: Saying which promise is broken, with a diff where texts differ.
    """
    context = context or PassContext()
    model = ir.from_onnx_text(before)
    source = model.clone()
    source_bytes = _serialized(source)
    interface = interface_of(model)
    mark = fingerprint(model)

    result = pass_.run(model, context)

    _check_result(pass_, result, changed=fingerprint(model) != mark)
    _require(
        _serialized(source) == source_bytes,
        pass_,
        "it wrote into a tensor that it did not make; give the value a new tensor instead",
    )
    try:
        check_invariants(model, interface)
    except InvariantError as error:
        raise AssertionError(f"{pass_}: {error}\n{format_model(model)}") from error
    expected = format_model(ir.from_onnx_text(before if after is None else after))
    found = format_model(model)
    _require(found == expected, pass_, "unexpected result\n" + _diff(expected, found))
    _require(
        result.modified == (after is not None),
        pass_,
        f"reported modified={result.modified}, expected {after is not None}",
    )
    _check_by_onnx(pass_, source, model)
    _check_second_run(pass_, model, context)
    problem = site_problem(pass_, source, result, context)
    _require(not problem, pass_, problem)
    if run and pass_.effect != "lossy":
        _check_outputs(pass_, source, model, context, rtol)
    return result


def site_problem(pass_: Pass, source: ir.Model, result: PassResult, context: PassContext) -> str:
    """Return how a pass that tells its sites breaks the bound on them; empty if it keeps it.

    Allowed so many sites, a pass must act at the first so many of those at which it acts without
    a bound, and change nothing if it is allowed none.

    Args:
        pass_: The pass.
        source: The model before; it is left as it is.
        result: What the pass did to it without a bound.
        context: The context that it had.
    """
    if not result.sites:
        return ""
    for limit in range(min(len(result.sites), _MOST_LIMITS) + 1):
        model = snapshot(source)
        mark = fingerprint(model)
        limited = pass_.run(model, dataclasses.replace(context, max_sites=limit))
        if limited.sites != result.sites[:limit]:
            return (
                f"allowed {limit} sites it tells {limited.sites}, not the first {limit} of "
                f"{result.sites}; ask Sites.permit once before each rewrite"
            )
        if (fingerprint(model) != mark) != (limit > 0):
            return f"allowed {limit} sites it changed {'nothing' if limit else 'the model'}"
        check_invariants(model)
    return ""


def _require(condition: bool, pass_: Pass, message: str) -> None:
    if not condition:
        raise AssertionError(f"{pass_}: {message}")


def _serialized(model: ir.Model) -> bytes:
    content: bytes = ir.to_proto(model).SerializeToString(deterministic=True)
    return content


def _diff(expected: str, found: str) -> str:
    lines = difflib.unified_diff(
        expected.splitlines(), found.splitlines(), "expected", "found", lineterm="", n=10_000
    )
    return "\n".join(lines)


def _check_result(pass_: Pass, result: PassResult, *, changed: bool) -> None:
    _require(
        result.modified == changed,
        pass_,
        f"reported modified={result.modified}, but the model "
        + ("did change" if changed else "did not change"),
    )
    json.dumps(dict(result.details))
    for refusal in result.refusals:
        _require(bool(refusal.reason), pass_, f"the refusal at {refusal.node!r} has no reason")
    again = type(pass_).from_options(parse_spec(str(pass_)).options)
    _require(again == pass_, pass_, f"its spec text reads back as {again!r}, not {pass_!r}")


def _check_by_onnx(pass_: Pass, source: ir.Model, model: ir.Model) -> None:
    try:
        onnx.checker.check_model(ir.to_proto(source), full_check=True)
        full = True
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
        full = False
    try:
        onnx.checker.check_model(ir.to_proto(model), full_check=full)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise AssertionError(f"{pass_}: onnx.checker refuses the result: {error}") from error


def _check_second_run(pass_: Pass, model: ir.Model, context: PassContext) -> None:
    text, mark = format_model(model), fingerprint(model)
    again = pass_.run(model, context)
    _require(
        not again.modified and fingerprint(model) == mark,
        pass_,
        f"its second run is no no-op (modified={again.modified})\n"
        + _diff(text, format_model(model)),
    )


def _check_outputs(
    pass_: Pass, source: ir.Model, model: ir.Model, context: PassContext, rtol: float
) -> None:
    dims = {name: bounds.best for name, bounds in context.shapes.items()}
    samples = [random_feeds(source, seed=seed, dims=dims) for seed in _SEEDS]
    expected, found = run_by_onnxruntime(source, *samples), run_by_onnxruntime(model, *samples)
    rtol = 0.0 if pass_.effect == "bit-exact" else rtol
    for seed, wanted, given in zip(_SEEDS, expected, found, strict=True):
        for name, value in wanted.items():
            problem = difference(value, given[name], rtol)
            _require(
                not problem, pass_, f"output {name!r} differs on inputs of seed {seed}: {problem}"
            )
