"""Unstructured magnitude pruning of weights (Han et al., 2015, arXiv:1506.02626).

A weight becomes 0 where |w| <= theta. Theta is given, or is the k-th smallest magnitude with
k = floor(sparsity * n). It is found exactly and without sorting: magnitudes of one sign order as
their bit patterns do, so a radix selection by 16-bit digits needs one histogram of 65,536 bins
a pass and holds one chunk of one weight at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import onnx_ir as ir

from irconv.passes.base import Effect, Pass, PassContext, PassResult, Refusal
from irconv.passes.sites import Sites
from irconv.passes.weights import Weight, chunks, find_weights
from irconv.runtime.base import Array

__all__ = ["PruneMagnitude", "kth_smallest_magnitude"]

_WORST = 5
_DIGIT_BITS = 16
_BINS = 1 << _DIGIT_BITS


def kth_smallest_magnitude(tensors: Sequence[ir.TensorProtocol], k: int) -> float:
    """Return the k-th smallest |w| over all elements of ``tensors``, counted from 1; exact.

    Args:
        tensors: Finite floating-point tensors; float64 is read four times, others twice.
        k: 1 to the number of all elements.
    """
    wide = any(tensor.dtype == ir.DataType.DOUBLE for tensor in tensors)
    real, bits, width = (np.float64, np.uint64, 64) if wide else (np.float32, np.uint32, 32)
    prefix = 0
    for shift in range(width - _DIGIT_BITS, -1, -_DIGIT_BITS):
        histogram = np.zeros(_BINS, np.int64)
        for pattern in _patterns(tensors, real, bits):
            if shift < width - _DIGIT_BITS:
                pattern = pattern[pattern >> (shift + _DIGIT_BITS) == prefix]
            digits = (pattern >> shift) & (_BINS - 1)
            histogram += np.bincount(digits.astype(np.int64), minlength=_BINS)
        cumulative = np.cumsum(histogram)
        digit = int(np.searchsorted(cumulative, k))
        k -= int(cumulative[digit - 1]) if digit else 0
        prefix = prefix << _DIGIT_BITS | digit
    return float(np.array(prefix, bits).view(real))


def _patterns(
    tensors: Sequence[ir.TensorProtocol], real: type[Any], bits: type[Any]
) -> Iterator[Array]:
    for tensor in tensors:
        for _, chunk in chunks(tensor.numpy()):
            yield np.abs(np.ascontiguousarray(chunk, real)).reshape(-1).view(bits)


@dataclass(frozen=True)
class _Count:
    """Elements of one weight: all, those that are 0 already, those with |w| <= theta."""

    size: int
    zero: int
    small: int


@dataclass(frozen=True)
class PruneMagnitude(Pass):
    """Set the weights of smallest magnitude to zero.

    Before::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[N, 2] x) => (float[N, 2] y)
        <float[2, 2] w = {1.0, -0.25, 0.5, -2.0}>
        {
            y = MatMul (x, w)
        }

    After ``prune-magnitude{sparsity=0.5,min-elements=1}``::

        < ir_version: 10, opset_import: ["" : 20] >
        g (float[N, 2] x) => (float[N, 2] y)
        <float[2, 2] w = {1.0, 0.0, 0.0, -2.0}>
        {
            y = MatMul (x, w)
        }

    A weight of which nothing would be left is not pruned; where the threshold is shared, the others
    lose as much more. Weights tied with theta go too, so the sparsity reached may be more than the
    one asked for; the details say what it is. The pruned tensor is computed when it is read, so no
    second copy of the weights is held.

    Attributes:
        threshold: Theta, at least 0. Exactly one of this and ``sparsity`` is given.
        sparsity: Fraction of weights to set to zero, above 0 and below 1.
        scope: Whether ``sparsity`` holds for each weight or for all of them together.
        min_elements: Smaller weights are left alone.
        embeddings: Also prune tables that Gather reads rows from.
        skip: Patterns of node names whose weights are left alone, as in a shell.
    """

    name: ClassVar[str] = "prune-magnitude"
    after: ClassVar[tuple[str, ...]] = (
        "dedup-initializers",
        "fold-constants",
        "fuse-conv-batchnorm",
        "simplify",
    )
    effect: ClassVar[Effect] = "lossy"
    once: ClassVar[bool] = True

    threshold: float | None = None
    sparsity: float | None = None
    scope: Literal["tensor", "global"] = "tensor"
    min_elements: int = 256
    embeddings: bool = True
    skip: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ValueError: If not exactly one of threshold and sparsity is given, or it is out of
                range.
        """
        if (self.threshold is None) == (self.sparsity is None):
            raise ValueError("give exactly one of threshold and sparsity, as in sparsity=0.5")
        if self.threshold is not None and not 0 <= self.threshold < math.inf:
            raise ValueError("threshold must be a finite number, at least 0")
        if self.sparsity is not None and not 0 < self.sparsity < 1:
            raise ValueError("sparsity must be above 0 and below 1")

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Prune one weight after the other; each is a site, named by its first reader.

        Details: ``count``, ``elements`` and ``zeros`` of all weights, ``sparsity`` reached over
        them, ``set_to_zero`` by this run, and ``highest_sparsity``, the five sparsest weights.
        """
        sites = Sites(context)
        found, refusals = find_weights(
            model,
            min_elements=self.min_elements,
            skip=self.skip,
            embeddings=self.embeddings,
        )
        weights: list[Weight] = []
        for weight in found:
            if _is_finite(weight):
                weights.append(weight)
            else:
                refusals.append(weight.refusal("it holds values that are not finite"))
        theta_of = self._thresholds(weights)
        if theta_of is None:
            refusals.append(Refusal("", "", "so much cannot be pruned with something left of each"))
            return PassResult(False, _details({}), tuple(refusals))
        counts: dict[str, _Count] = {}
        for weight in weights:
            theta = theta_of(weight)
            count = _count(weight.tensor, theta)
            if count.small == count.size and self.sparsity is not None:
                refusals.append(weight.refusal("nothing would be left of it"))
                continue
            if count.small > count.zero:
                if not sites.permit(weight.node):
                    continue
                _prune(weight, theta)
            counts[weight.name] = count
        return PassResult(bool(sites.made), _details(counts), tuple(refusals), sites.made)

    def _thresholds(self, weights: Sequence[Weight]) -> Callable[[Weight], float] | None:
        if self.threshold is not None:
            fixed = self.threshold
            return lambda _: fixed
        if self.scope == "global" and weights:
            shared = self._shared_theta([weight.tensor for weight in weights])
            return None if shared is None else lambda _: shared
        return lambda weight: self._theta([weight.tensor])

    def _theta(self, tensors: Sequence[ir.TensorProtocol]) -> float:
        assert self.sparsity is not None
        k = math.floor(self.sparsity * sum(tensor.size for tensor in tensors))
        return kth_smallest_magnitude(tensors, k) if k else 0.0

    def _shared_theta(self, tensors: Sequence[ir.TensorProtocol]) -> float | None:
        """Return the theta at which the sparsity is reached with no weight emptied.

        What lies in weights that would be emptied is not pruned, so as much is taken from the
        others. There is none where they do not hold that much.
        """
        assert self.sparsity is not None
        total = sum(tensor.size for tensor in tensors)
        wanted = k = math.floor(self.sparsity * total)
        if not wanted:
            return 0.0
        while k <= total:
            theta = kth_smallest_magnitude(tensors, k)
            counts = [_count(tensor, theta) for tensor in tensors]
            kept = sum(count.size - count.zero for count in counts if count.small == count.size)
            if wanted + kept == k:
                return theta
            k = wanted + kept
        return None


def _is_finite(weight: Weight) -> bool:
    return all(bool(np.isfinite(chunk).all()) for _, chunk in chunks(weight.tensor.numpy()))


def _count(tensor: ir.TensorProtocol, theta: float) -> _Count:
    zero = small = 0
    for _, chunk in chunks(tensor.numpy()):
        magnitude = np.abs(chunk.astype(np.float64))
        zero += int(np.count_nonzero(magnitude == 0))
        small += int(np.count_nonzero(magnitude <= theta))
    return _Count(tensor.size, zero, small)


def _pruned(array: Array, theta: float) -> Array:
    result = np.array(array)
    for part, chunk in chunks(result):
        np.atleast_1d(result)[part][np.abs(chunk.astype(np.float64)) <= theta] = 0
    return result


def _prune(weight: Weight, theta: float) -> None:
    source = weight.tensor
    tensor = ir.LazyTensor(
        lambda: ir.Tensor(_pruned(source.numpy(), theta), name=source.name),
        source.dtype,
        ir.Shape(source.numpy().shape),
        name=source.name,
    )
    weight.value.const_value = tensor
    producer = weight.value.producer()
    if producer is not None:
        producer.attributes["value"] = ir.AttrTensor("value", tensor)


def _details(counts: dict[str, _Count]) -> dict[str, Any]:
    elements = sum(count.size for count in counts.values())
    zeros = sum(count.small for count in counts.values())
    densest = sorted(counts.items(), key=lambda item: -item[1].small / item[1].size)[:_WORST]
    return {
        "count": len(counts),
        "elements": elements,
        "zeros": zeros,
        "sparsity": round(zeros / elements, 6) if elements else 0.0,
        "set_to_zero": sum(count.small - count.zero for count in counts.values()),
        "highest_sparsity": {name: round(count.small / count.size, 6) for name, count in densest},
    }
