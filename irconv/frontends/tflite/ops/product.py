"""Products of matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from irconv.frontends.tflite import hybrid
from irconv.frontends.tflite.ops.convolution import bias_of
from irconv.frontends.tflite.ops.registry import converts
from irconv.frontends.tflite.refusal import RefusalError

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv.frontends.tflite.edges import Edge
    from irconv.frontends.tflite.site import Site

__all__: list[str] = []


@converts("FULLY_CONNECTED")
def fully_connected(site: Site) -> None:
    """FULLY_CONNECTED: Gemm, or MatMul and Add where dimensions are kept; weights [O, I]."""
    x, weights = site.input(0), site.input(1)
    if site.option("weights_format"):
        raise RefusalError("its weights are shuffled", "convert the model without shuffled weights")
    nodes = site.nodes
    if weights.rank != 2:
        raise RefusalError(f"its weights have {weights.rank} dimensions")
    value = hybrid.activations(
        site, x, weights, asymmetric=bool(site.option("asymmetric_quantize_inputs")), axes=[-1]
    )
    bias = bias_of(site, 2, x, weights)
    depth = weights.shape[1]
    keeps = bool(site.option("keep_num_dims")) and x.rank != 2
    if keeps and x.shape[-1] == depth:
        product = nodes.op("MatMul", value, weights.weight([1, 0]))
        site.write(product if bias is None else nodes.op("Add", product, bias))
        return
    if x.rank != 2 or x.shape[1] != depth:
        if depth is None:
            raise RefusalError("the shape of its weights is computed at run time")
        value = nodes.reshape(value, [-1, depth])
    product = nodes.op("Gemm", value, weights.weight(), bias, transB=1)
    if site.output().rank != 2:
        product = _with_shape(site, product)
    site.write(product)


@converts("BATCH_MATMUL")
def batch_matmul(site: Site) -> None:
    """BATCH_MATMUL: MatMul, after Transpose where an operand is transposed."""
    a, b = site.input(0), site.input(1)
    left = hybrid.activations(
        site,
        a,
        b,
        asymmetric=bool(site.option("asymmetric_quantize_inputs")),
        axes=[-2 if site.option("adj_x") else -1],
    )
    if site.option("adj_x"):
        left = site.nodes.transpose(left, _swapped(a))
    right = b.weight(_swapped(b)) if site.option("adj_y") else b.weight()
    site.write(site.nodes.op("MatMul", left, right))


def _swapped(edge: Edge) -> list[int]:
    return [*range(edge.rank - 2), edge.rank - 1, edge.rank - 2]


def _with_shape(site: Site, value: ir.Value) -> ir.Value:
    """Give a product the shape that the output states."""
    sizes = list(site.output().shape)
    if sizes.count(None) > 1:
        raise RefusalError("several dimensions of its output are computed at run time")
    return site.nodes.reshape(value, [-1 if size is None else size for size in sizes])
