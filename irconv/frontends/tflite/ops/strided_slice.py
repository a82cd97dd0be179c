"""STRIDED_SLICE: Python's slices with their masks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from irconv.frontends.tflite.ops.moving import place_of
from irconv.frontends.tflite.ops.registry import converts
from irconv.frontends.tflite.refusal import RefusalError

if TYPE_CHECKING:
    import onnx_ir as ir

    from irconv.frontends.tflite.site import Site

__all__: list[str] = []

_END = (1 << 63) - 1


@dataclass
class _Plan:
    """What a slice with known bounds does, dimension by dimension."""

    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    axes: list[int] = field(default_factory=list)
    drop: list[int] = field(default_factory=list)
    insert: list[int] = field(default_factory=list)


@converts("STRIDED_SLICE")
def strided_slice(site: Site) -> None:
    """STRIDED_SLICE: Slice, then Squeeze of what is indexed and Unsqueeze of new dimensions."""
    x, nodes = site.input(0), site.nodes
    raw = site.carries(x)
    begin, end, steps = (site.ints(index) for index in (1, 2, 3))
    if begin is None or end is None or steps is None:
        _computed(site, raw=raw)
        return
    if site.option("offset"):
        end = [start + size for start, size in zip(begin, end, strict=True)]
    plan = _plan(site, x.rank, begin, end, steps)
    first = site.follows_first(x) and not plan.drop and not plan.insert
    value = x.read(raw=raw, first=first)
    if plan.axes:
        places = [place_of(axis, x.rank, first=first) for axis in plan.axes]
        value = nodes.slice(value, plan.starts, plan.ends, places, plan.steps)
    if plan.drop:
        value = nodes.squeeze(value, *plan.drop)
    if plan.insert:
        value = nodes.unsqueeze(value, *plan.insert)
    site.bind(value, raw=raw, first=first)


def _plan(site: Site, rank: int, begin: list[int], end: list[int], steps: list[int]) -> _Plan:
    masks = {
        name: int(site.option(f"{name}_mask"))
        for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    }

    def has(name: str, at: int) -> bool:
        return bool(masks[name] >> at & 1)

    taken = sum(not has("new_axis", at) and not has("ellipsis", at) for at in range(len(begin)))
    plan = _Plan()
    axis = place = 0
    for at, (start, stop, step) in enumerate(zip(begin, end, steps, strict=True)):
        if has("ellipsis", at):
            axis += rank - taken
            place += rank - taken
        elif has("new_axis", at):
            plan.insert.append(place)
            place += 1
        elif has("shrink_axis", at):
            plan.starts.append(start)
            plan.ends.append(start + 1 if start != -1 else _END)
            plan.steps.append(1)
            plan.axes.append(axis)
            plan.drop.append(axis)
            axis += 1
        else:
            low, high = (0, _END) if step > 0 else (_END, -_END)
            if not (has("begin", at) and has("end", at) and step == 1):
                plan.starts.append(low if has("begin", at) else start)
                plan.ends.append(high if has("end", at) else stop)
                plan.steps.append(step)
                plan.axes.append(axis)
            axis += 1
            place += 1
    return plan


def _computed(site: Site, *, raw: bool) -> None:
    """Slice by bounds that are computed; what is indexed ends one after its start."""
    x, nodes = site.input(0), site.nodes
    masks = [f"{name}_mask" for name in ("begin", "end", "shrink_axis", "ellipsis", "new_axis")]
    if site.ints(3) is None and not any(map(site.option, [*masks, "offset"])):
        axes = nodes.ints(range(x.rank))
        bounds = [site.int64(1), site.int64(2), axes, site.int64(3)]
        site.bind(nodes.op("Slice", x.read(raw=raw), *bounds), raw=raw)
        return
    steps = site.fixed_ints(3, "its step")
    if site.option("ellipsis_mask") or site.option("new_axis_mask") or site.option("offset"):
        raise RefusalError(
            "its bounds are computed at run time, and it has new dimensions or an ellipsis",
            "convert the model with static input shapes",
        )
    begin, end = site.int64(1), site.int64(2)
    starts, ends = [], []
    for at, step in enumerate(steps):
        low, high = (0, _END) if step > 0 else (_END, -_END)
        starts.append(_bound(site, begin, at, "begin", low))
        if site.option("shrink_axis_mask") >> at & 1:
            starts[-1] = _item(site, begin, at)
            ends.append(_after(site, starts[-1]))
        else:
            ends.append(_bound(site, end, at, "end", high))
    value = nodes.op(
        "Slice",
        x.read(raw=raw),
        nodes.op("Concat", *starts, axis=0),
        nodes.op("Concat", *ends, axis=0),
        nodes.ints(range(len(steps))),
        nodes.ints(steps),
    )
    drop = [at for at in range(len(steps)) if site.option("shrink_axis_mask") >> at & 1]
    site.bind(nodes.squeeze(value, *drop) if drop else value, raw=raw)


def _bound(site: Site, bounds: ir.Value, at: int, name: str, otherwise: int) -> ir.Value:
    if site.option(f"{name}_mask") >> at & 1:
        return site.nodes.ints([otherwise])
    return _item(site, bounds, at)


def _item(site: Site, bounds: ir.Value, at: int) -> ir.Value:
    return site.nodes.slice(bounds, [at], [at + 1], [0])


def _after(site: Site, start: ir.Value) -> ir.Value:
    nodes = site.nodes
    last = nodes.op("Equal", start, nodes.ints([-1]))
    following = nodes.op("Add", start, nodes.ints([1]))
    return nodes.op("Where", last, nodes.ints([_END]), following)
