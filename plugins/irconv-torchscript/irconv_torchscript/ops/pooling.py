"""Pools over windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from irconv_torchscript.held import Node
from irconv_torchscript.registry import emits

if TYPE_CHECKING:
    from irconv_torchscript.site import Site


def _geometry(site: Site) -> tuple[list[int], list[int], list[int], list[int], str, bool]:
    kernel = site.attr("kernel_shape")
    space = len(kernel)
    return (
        kernel,
        site.attr("strides") or [1] * space,
        site.attr("dilations") or [1] * space,
        site.attr("pads") or [0] * (2 * space),
        site.attr("auto_pad", "NOTSET"),
        bool(site.attr("ceil_mode", 0)),
    )


def _even(site: Site) -> bool:
    """Return whether torch's own pools mean the same."""
    kernel, _, _, pads, auto, ceil = _geometry(site)
    space = len(kernel)
    return (
        auto == "NOTSET"
        and not ceil
        and space <= 3
        and pads[:space] == pads[space:]
        and all(0 <= 2 * pad <= size for pad, size in zip(pads, kernel, strict=False))
        and site.dtype().is_floating_point()
    )


@emits("MaxPool")
def max_pool(site: Site) -> Any:
    """Section MaxPool: torch.max_pool1d to 3d, or windows where those mean something else."""
    kernel, strides, dilations, pads, auto, ceil = _geometry(site)
    space = len(kernel)
    if _even(site) and len(site.node.outputs) == 1:
        return site.torch(
            f"max_pool{space}d", site.tensor(0), kernel, strides, pads[:space], dilations, False
        )
    found = site.call(
        "windows.max_pool", site.tensor(0), kernel, strides, dilations, pads, auto, ceil,
        bool(site.attr("storage_order", 0)),
    )  # fmt: skip
    return site.items(found, 2)


@emits("AveragePool")
def average_pool(site: Site) -> Node:
    """Section AveragePool: torch's avg_pool1d to 3d, or windows."""
    kernel, strides, dilations, pads, auto, ceil = _geometry(site)
    space, count = len(kernel), bool(site.attr("count_include_pad", 0))
    if _even(site) and set(dilations) == {1}:
        return site.torch(
            f"nn.functional.avg_pool{space}d", site.tensor(0), kernel, strides, pads[:space],
            False, count,
        )  # fmt: skip
    return site.call(
        "windows.average_pool", site.tensor(0), kernel, strides, dilations, pads, auto, ceil, count
    )


@emits("LpPool")
def lp_pool(site: Site) -> Node:
    """Section LpPool."""
    return site.call("windows.lp_pool", site.tensor(0), *_geometry(site), float(site.attr("p", 2)))


@emits("MaxUnpool")
def max_unpool(site: Site) -> Node:
    """Section MaxUnpool; places count through the output that the attributes describe."""
    kernel, strides, _, pads, _, _ = _geometry(site)
    space = len(kernel)
    data = site.tensor(0)
    inner = []
    for axis in range(space):
        size = site.method("size", data, axis + 2)
        import operator

        call = site.builder.fx.call_function
        steps = call(operator.mul, (call(operator.sub, (size, 1)), strides[axis]))
        inner.append(call(operator.add, (steps, kernel[axis] - pads[axis] - pads[space + axis])))
    if site.given(2):
        shape = site.int_list(2)
    else:
        shape = [site.method("size", data, 0), site.method("size", data, 1), *inner]
    return site.call("windows.max_unpool", data, site.tensor(1), shape, inner)


@emits("Col2Im")
def col2im(site: Site) -> Node:
    """Section Col2Im."""
    block = site.ints(2)
    space = len(block) if isinstance(block, list) else len(site.attr("strides") or [1, 1])
    return site.call(
        "windows.col2im", site.tensor(0), site.int_list(1), site.int_list(2),
        site.attr("dilations") or [1] * space, site.attr("pads") or [0] * (2 * space),
        site.attr("strides") or [1] * space,
    )  # fmt: skip
