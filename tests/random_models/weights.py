"""What is asked of passes that change weights: outputs move only as the stored weights say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import onnx_ir as ir
from proof import compare, run_each_twice
from strategy import RandomModel

from irconv.graph.constants import constant_tensor
from irconv.graph.walk import all_nodes
from irconv.passes.base import Pass
from irconv.passes.prune_magnitude import PruneMagnitude
from irconv.passes.quantize_weights import QuantizeWeights
from irconv.passes.weights import Weight, find_weights

__all__ = ["assert_only_weights_change"]

_SUFFIX = "_dequantized"


def assert_only_weights_change(random: RandomModel, pass_: Pass) -> bool:
    """Run a pass that changes weights, twice, and return whether it changed any.

    Its outputs are held to those of the given model in which the weights alone are replaced.

    Raises:
        AssertionError: Saying which promise does not hold.
    """
    before = {name: weight.tensor.numpy() for name, weight in _weights(random.model())}
    changed, acted = run_each_twice(random.model(), [pass_])
    stored = {**_dequantized(changed), **{n: w.tensor.numpy() for n, w in _weights(changed)}}
    replaced = {
        name: (array, stored[name])
        for name, array in before.items()
        if name in stored and array.tobytes() != stored[name].tobytes()
    }
    assert acted or not replaced, "weights changed, and the pass says that nothing did"
    for name, (was, now) in replaced.items():
        assert was.dtype == now.dtype, name
        assert was.shape == now.shape, name
        _CHECKS[pass_.name](pass_, was, now)
    restated = random.model()
    for name, weight in _weights(restated):
        if name in replaced:
            _replace(weight, replaced[name][1])
    compare(RandomModel(ir.to_proto(restated), random.feeds), changed, [pass_])
    return bool(replaced)


def _weights(model: ir.Model) -> Iterator[tuple[str, Weight]]:
    for weight in find_weights(model, min_elements=1)[0]:
        yield weight.name, weight


def _replace(weight: Weight, array: np.ndarray) -> None:
    tensor = ir.Tensor(array, name=weight.name)
    weight.value.const_value = tensor
    producer = weight.value.producer()
    if producer is not None:
        producer.attributes["value"] = ir.AttrTensor("value", tensor)


def _dequantized(model: ir.Model) -> dict[str, np.ndarray]:
    """Return what the DequantizeLinear nodes for weights yield, by the names of the weights."""
    found: dict[str, np.ndarray] = {}
    for node in all_nodes(model):
        name = node.outputs[0].name or ""
        if node.op_type != "DequantizeLinear" or not name.endswith(_SUFFIX):
            continue
        tensors = [constant_tensor(value) for value in node.inputs]
        quantized, scale, zero = (tensor.numpy() for tensor in tensors if tensor is not None)
        shape = [1] * quantized.ndim
        if scale.ndim:
            shape[node.attributes.get_int("axis", 1)] = -1
        step, origin = (part.astype(np.float64).reshape(shape) for part in (scale, zero))
        found[name.removesuffix(_SUFFIX)] = ((quantized - origin) * step).astype(scale.dtype)
    return found


def _check_pruned(pass_: Pass, was: np.ndarray, now: np.ndarray) -> None:
    """Assert that the smallest magnitudes became 0, no fewer than asked for, and no others."""
    assert isinstance(pass_, PruneMagnitude)
    sizes, zero = np.abs(was.astype(np.float64)), now == 0
    assert now[~zero].tobytes() == was[~zero].tobytes(), "a weight that is kept changed"
    assert sizes[zero].max() <= sizes[~zero].min(initial=np.inf), "a larger weight went first"
    if pass_.threshold is not None:
        assert np.array_equal(zero, sizes <= pass_.threshold)
    elif pass_.scope == "tensor":
        assert pass_.sparsity is not None
        assert zero.sum() >= np.floor(pass_.sparsity * zero.size)


def _check_quantized(pass_: Pass, was: np.ndarray, now: np.ndarray) -> None:
    """Assert that no weight moved by more than half a step of the widest channel."""
    assert isinstance(pass_, QuantizeWeights)
    wide = was.astype(np.float64)
    low, high = wide.min(initial=0.0), wide.max(initial=0.0)
    step = max(-low, high) / 127 if pass_.symmetric else (high - low) / 255
    rounding = float(ir.DataType.from_numpy(was.dtype).bitwidth == 16) * max(-low, high) / 256
    error = np.abs(now.astype(np.float64) - wide).max()
    assert error <= step / 2 * 1.001 + rounding, f"{error} is more than half of {step}"


_CHECKS: Mapping[str, Callable[[Pass, np.ndarray, np.ndarray], None]] = {
    "prune-magnitude": _check_pruned,
    "quantize-weights": _check_quantized,
}
"""What a pass declares about each weight that it changes."""
