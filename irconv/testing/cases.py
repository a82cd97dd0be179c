"""Small models that any backend must either compute rightly or refuse with a reason.

Each is ONNX text with weights that are exact in binary; those of float16 stand there as bit
patterns, as that text wants them. The dimension ``N`` is the batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["CASES", "Case"]

_HEADER = '< ir_version: 9, opset_import: ["" : 18{domains}] >\n'


@dataclass(frozen=True)
class Case:
    """A model and what it shows.

    Attributes:
        name: Kebab-case name, as it stands in the report.
        text: The model as ONNX text; its batch dimension is called ``N``.
        rename: New names of inputs and outputs that ONNX text has no syntax for.
    """

    name: str
    text: str
    rename: Mapping[str, str] = field(default_factory=dict)

    def model(self) -> ir.Model:
        """Parse the model."""
        import onnx_ir as ir

        model = ir.from_onnx_text(self.text)
        for value in (*model.graph.inputs, *model.graph.outputs):
            value.name = self.rename.get(value.name or "", value.name)
        return model


def _case(name: str, body: str, *, domains: str = "", rename: Mapping[str, str] = {}) -> Case:
    return Case(name, _HEADER.replace("{domains}", domains) + body, rename)


CASES: tuple[Case, ...] = (
    _case(
        "convolution",
        """g (float[N, 1, 6, 6] image) => (float[N, 2, 1, 1] y)
        <float[2, 1, 2, 2] w = {0.5, -1.0, 0.25, 2.0, 1.0, 0.5, -0.75, -0.5},
         float[2] b = {0.5, -0.25}> {
          c = Conv <kernel_shape = [2, 2], pads = [1, 1, 0, 0]> (image, w, b)
          r = Relu (c)
          p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (r)
          y = GlobalAveragePool (p)
        }""",
    ),
    _case(
        "gemm-softmax",
        """g (float[N, 4] x) => (float[N, 3] y)
        <float[4, 3] w = {0.5, -1.0, 2.0, 0.25, 0.5, -0.5, 1.0, 1.5, -2.0, 0.75, -0.25, 1.0},
         float[3] b = {0.5, 0.0, -0.5}> {
          h = Gemm (x, w, b)
          y = Softmax <axis = -1> (h)
        }""",
    ),
    _case(
        "layer-normalization",
        """g (float[N, 3, 4] x) => (float[N, 3, 4] y)
        <float[4] scale = {1.0, 0.5, 2.0, 1.5}, float[4] bias = {0.0, 0.5, -0.5, 1.0}> {
          y = LayerNormalization <axis = -1, epsilon = 0.00001> (x, scale, bias)
        }""",
    ),
    _case(
        "attention",
        """g (float[N, 3, 4] q, float[N, 3, 4] k, float[N, 3, 4] v) => (float[N, 3, 4] y)
        <float half = {0.5}> {
          kt = Transpose <perm = [0, 2, 1]> (k)
          s = MatMul (q, kt)
          scaled = Mul (s, half)
          p = Softmax <axis = -1> (scaled)
          y = MatMul (p, v)
        }""",
    ),
    _case(
        "embedding-of-int64",
        """g (int64[N, 3] tokens) => (float[N, 2] y)
        <float[3, 2] table = {0.5, 1.0, -1.0, 2.0, 0.25, -0.5}, int64[1] axes = {1}> {
          e = Gather <axis = 0> (table, tokens)
          y = ReduceMean <keepdims = 0> (e, axes)
        }""",
    ),
    _case(
        "elementwise",
        """g (float[N, 4] a, float[4] b) => (float[N, 4] y)
        <float two = {2.0}, float third = {3.0}> {
          s = Sigmoid (a)
          t = Tanh (b)
          u = Add (s, t)
          v = Mul (u, u)
          w = Add (v, two)
          q = Div (w, third)
          r = Sqrt (q)
          e = Erf (r)
          y = Sub (e, a)
        }""",
    ),
    _case(
        "outputs-of-three-dtypes-in-their-own-order",
        """g (float[N, 4] x) => (int64[N] zenith, float[N, 4] apex, bool[N, 4] middle)
        <float zero = {0.0}> {
          apex = Neg (x)
          middle = Greater (x, zero)
          zenith = ArgMax <axis = 1, keepdims = 0> (x)
        }""",
    ),
    _case("scalar-output", "g (float[N, 4] x) => (float y) { y = ReduceMean <keepdims = 0> (x) }"),
    _case("output-that-is-an-input", "g (float[N, 4] x) => (float[N, 4] x, float[N, 4] y) "
          "{ y = Relu (x) }"),
    _case("input-that-nothing-reads", "g (float[N, 4] x, float[N, 2] unread) => (float[N, 4] y) "
          "{ y = Relu (x) }"),
    _case("constant-output", """g (float[N, 4] x) => (float[N, 4] y, float[2] c)
        <float[2] c = {0.5, -1.5}> { y = Relu (x) }"""),
    _case(
        "names-that-formats-dislike",
        "g (float[N, 4] a, float[N, 4] b) => (float[N, 4] c, float[N, 4] d) "
        "{ c = Add (a, b)  d = Sub (a, b) }",
        rename={"a": "in/0:first", "b": "in.0", "c": "out 0", "d": "out_0"},
    ),
    _case(
        "shape-arithmetic",
        """g (float[N, 2, 3] x) => (float[N, M] y)
        <int64[1] first = {0}, int64[1] rest = {-1}> {
          s = Shape (x)
          n = Gather <axis = 0> (s, first)
          target = Concat <axis = 0> (n, rest)
          y = Reshape (x, target)
        }""",
    ),
    _case(
        "conditional",
        """g (float[N, 4] x, bool flag) => (float[N, 4] y) {
          y = If (flag) <
            then_branch = t () => (float[N, 4] p) { p = Neg (x) },
            else_branch = e () => (float[N, 4] q) { q = Exp (x) }
          >
        }""",
    ),
    _case(
        "local-function",
        """g (float[N, 4] x) => (float[N, 4] y) { y = local.Twice (x) }
        < opset_import: ["" : 18], domain: "local" >
        Twice (v) => (w) { w = Add (v, v) }""",
        domains=', "local" : 1',
    ),
    _case(
        "float16",
        """g (float16[N, 4] x) => (float16[N, 2] y)
        <float16[4, 2] w = {14336, 48128, 13312, 16384, 15360, 14336, 47616, 47104}> {
          y = MatMul (x, w)
        }""",
    ),
)  # fmt: skip
