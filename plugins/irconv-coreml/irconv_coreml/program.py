"""Building a MIL program from a legalized model, node by node."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from irconv.errors import Diagnostic, UnsupportedError
from irconv.graph.constants import constant_tensor
from irconv.graph.interface import dtype_text, input_specs
from irconv.graph.symbolic.sizes import Sizes
from irconv_coreml.dtypes import FEATURE_DTYPES, MIL_DTYPES, NARROW
from irconv_coreml.feature_names import feature_names, is_left_out
from irconv_coreml.interface import Feature, ImageFormat, WeightDigest
from irconv_coreml.ops import EMITTERS
from irconv_coreml.package_digests import LEAST_DIGESTED, operations
from irconv_coreml.site import Site, Var, as_mil

if TYPE_CHECKING:
    from irconv.runtime.base import TensorSpec
    from irconv_coreml.backend import CoremlBackend

__all__ = ["Program"]


class Program:
    """One MIL function while it is written, and what is known about it afterwards.

    Args:
        coremltools: The module.
        model: The legalized model.
        backend: The options.

    Attributes:
        mil: The finished ``coremltools`` program.
        inputs: The function's inputs.
        outputs: The function's outputs.
        symbols: The symbol of each named dimension.
        weights: Large constants by their names in the source, as they were handed over.
        digests: Digests of those that the package holds; known once it is converted.
        sizes: What is known of the sizes in the model.
        quantized: Values of MIL's int8 and uint8, beside the int32 that stands for them.
        has_quantization: Whether the deployment target has quantize and dequantize.
        has_blocks: Whether it has weights in blocks, and indices of less than 8 bits.
        has_stored_weights: Whether it has compressed weights at all.
    """

    def __init__(self, coremltools: Any, model: ir.Model, backend: CoremlBackend) -> None:
        from coremltools.converters.mil import mil

        self.mb = mil.Builder
        self.inputs: list[Feature] = []
        self.outputs: list[Feature] = []
        self.symbols: dict[str, Any] = {}
        self.weights: dict[str, np.ndarray[Any, Any]] = {}
        self.digests: dict[str, WeightDigest] = {}
        self.sizes = Sizes(model)
        self.quantized: dict[ir.Value, Var] = {}
        self.has_quantization = backend.target not in ("iOS15", "iOS16")
        self.has_blocks = backend.target in ("iOS18", "iOS26")
        self.has_stored_weights = backend.target != "iOS15"
        self._types = mil.types
        self._new_symbol = mil.get_new_symbol
        self._half_features = backend.target != "iOS15"
        self._scopes: list[dict[ir.Value, Var]] = [{}]
        self.mil = mil.Program()
        target = getattr(coremltools.target, backend.target)
        names = feature_names(model)
        placeholders = self._placeholders(model, names, backend)
        with mil.Function(placeholders, opset_version=target) as function:
            self._bind_inputs(model, function)
            self.nodes(model.graph)
            function.set_outputs(self._results(model, names, function))
        self._free_names(function, {feature.coreml for feature in self.outputs})
        self.mil.add_function("main", function)

    def _placeholders(
        self, model: ir.Model, names: Mapping[str, str], backend: CoremlBackend
    ) -> dict[str, Any]:
        placeholders: dict[str, Any] = {}
        for spec, value in zip(input_specs(model), _inputs(model), strict=True):
            if is_left_out(value):
                continue
            assert spec.shape is not None
            kind = self._feature_kind(value)
            shape = [self._dim(dim) for dim in spec.shape] or [1]
            feature = Feature(
                spec.name,
                names[spec.name],
                spec.dtype,
                FEATURE_DTYPES[kind],
                spec.shape,
                spec.shape or (1,),
                _image(spec, backend),
            )
            self.inputs.append(feature)
            placeholders[feature.coreml] = self.mb.placeholder(
                shape=shape, dtype=self._types.string_to_builtin(kind)
            )
        return placeholders

    def _feature_kind(self, value: ir.Value) -> str:
        """Return the MIL dtype of an input or output of the model."""
        assert value.dtype is not None
        kind = MIL_DTYPES[value.dtype]
        if kind == "bool":
            return "int32"
        return "fp32" if kind == "fp16" and not self._half_features else kind

    def _dim(self, dim: int | str | None) -> Any:
        if isinstance(dim, int):
            return dim
        if dim is None:
            return self._new_symbol()
        return self.symbols.setdefault(dim, self._new_symbol())

    def _bind_inputs(self, model: ir.Model, function: Any) -> None:
        kept = [value for value in _inputs(model) if not is_left_out(value)]
        for feature, value in zip(self.inputs, kept, strict=True):
            assert value.dtype is not None
            var = function.inputs[feature.coreml]
            if not feature.shape:
                var = self.mb.squeeze(x=var, axes=[0])
            kind = MIL_DTYPES[value.dtype]
            if self.kind(var) != kind:
                var = self.mb.cast(x=var, dtype=kind)
            self._scopes[0][value] = var

    def _results(self, model: ir.Model, names: Mapping[str, str], function: Any) -> list[Var]:
        results: list[Var] = []
        taken = set(function.inputs.values())
        for value in model.graph.outputs:
            var = self.var(value)
            kind = self._feature_kind(value)
            if not var.shape:
                var = self.mb.expand_dims(x=var, axes=[0])
            if self.kind(var) != kind:
                var = self.mb.cast(x=var, dtype=kind)
            if var in taken or var.op is None or var.op.op_type == "const":
                var = self.mb.identity(x=var)
            taken.add(var)
            var.name = names["output:" + (value.name or "")]
            results.append(var)
            known = value.shape if value.shape is not None else ()
            shape = tuple(dim if isinstance(dim, int) else dim.value for dim in known)
            self.outputs.append(
                Feature(
                    value.name or "",
                    var.name,
                    dtype_text(value.dtype),
                    FEATURE_DTYPES[kind],
                    shape,
                    shape or (1,),
                )
            )
        return results

    @staticmethod
    def _free_names(function: Any, reserved: set[str]) -> None:
        """Rename values inside that bear the name of an output."""
        results = set(function.outputs)
        for operation in operations(function):
            for var in operation.outputs:
                if var.name in reserved and var not in results:
                    var.name += "_inside"

    def kind(self, var: Var) -> str:
        """Return the name of the MIL dtype of a value, such as ``fp32``."""
        if isinstance(var, np.ndarray | np.generic):
            return {"float32": "fp32", "float16": "fp16"}.get(var.dtype.name, var.dtype.name)
        text: str = self._types.builtin_to_string(var.dtype)
        return text

    def var(self, value: ir.Value) -> Var:
        """Return the MIL value of a value of the IR; constants are written when first used."""
        for scope in reversed(self._scopes):
            if value in scope:
                return scope[value]
        tensor = constant_tensor(value)
        assert tensor is not None, f"{value.name!r} is read before it is computed"
        array = as_mil(tensor.numpy())
        self._scopes[-1][value] = self.weight(array, value.name or "")
        return self._scopes[-1][value]

    def weight(self, array: np.ndarray[Any, Any], name: str) -> Var:
        """Return a constant, and remember it as one that the package must hold."""
        array = np.ascontiguousarray(array) if array.ndim else array
        if array.size >= LEAST_DIGESTED:
            self.weights[name] = array
        return self.mb.const(val=array)

    def hold(self, array: np.ndarray[Any, Any], value: ir.Value | None) -> np.ndarray[Any, Any]:
        """Remember the integers of a compressed weight as ones that the package must hold."""
        assert value is not None
        if array.size >= LEAST_DIGESTED:
            self.weights[value.name or ""] = array
        return array

    def nodes(self, graph: ir.Graph) -> None:
        """Write the nodes of a graph into the block that is open."""
        for node in graph:
            if node.domain == "" and node.op_type == "Constant":
                continue
            self._node(node)

    def _node(self, node: ir.Node) -> None:
        emitter = EMITTERS[node.domain, node.op_type]
        try:
            written = emitter.emit(Site(node, self))
            results = written if isinstance(written, (tuple, list)) else (written,)
            for value, var in zip(node.outputs, results, strict=False):
                if value.name and var is not None:
                    self._scopes[-1][value] = self._fit(value, var, wraps=emitter.wraps)
        except (ValueError, TypeError, NotImplementedError, AssertionError, IndexError) as error:
            raise UnsupportedError(
                "coreml",
                [
                    Diagnostic(
                        "BUILDER",
                        f"MIL's builder refuses it: {_first_line(error)}",
                        node=node.name or "",
                        op=node.op_type,
                        way_out="export that part of the model in another form",
                    )
                ],
                where="coremltools",
            ) from error

    def _fit(self, value: ir.Value, var: Var, *, wraps: bool) -> Var:
        """Bring a result into the dtype that the IR says it has."""
        if isinstance(value.type, (ir.SequenceType, ir.OptionalType)) or value.dtype is None:
            return var
        if isinstance(var, np.ndarray | np.generic):
            var = self.mb.const(val=var)
        kind = MIL_DTYPES[value.dtype]
        if self.kind(var) != kind:
            var = self.mb.cast(x=var, dtype=kind)
        if wraps and value.dtype in NARROW:
            var = self.wrap(var, value.dtype)
        return var

    def wrap(self, var: Var, dtype: ir.DataType) -> Var:
        """Return int32 values as a narrow integer dtype would hold them."""
        least, count = NARROW[dtype]
        shifted = self.mb.sub(x=var, y=np.int32(least)) if least else var
        wrapped = self.mb.mod(x=shifted, y=np.int32(count))
        return self.mb.add(x=wrapped, y=np.int32(least)) if least else wrapped

    @contextlib.contextmanager
    def body(self, bindings: Mapping[ir.Value, Var]) -> Iterator[None]:
        """Open a scope for a body whose inputs have the given values."""
        self._scopes.append(dict(bindings))
        try:
            yield
        finally:
            self._scopes.pop()


def _inputs(model: ir.Model) -> list[ir.Value]:
    """Return the graph inputs that a caller must give."""
    return [value for value in model.graph.inputs if value.name not in model.graph.initializers]


def _image(spec: TensorSpec, backend: CoremlBackend) -> ImageFormat | None:
    if spec.name not in backend.image or spec.shape is None:
        return None
    channels = spec.shape[1]
    bias = backend.bias if channels == 1 or len(backend.bias) == 3 else backend.bias * 3
    return ImageFormat("GRAY" if channels == 1 else backend.color, backend.scale, bias)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
