"""Operators of the reference interpreter that move, choose and count, and control flow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from irconv_coreml.interpreter.operators.boxes import non_maximum_suppression
from irconv_coreml.interpreter.operators.compression import (
    lut_to_dense,
    lut_to_sparse,
    sparse_blockwise_shift_scale,
    sparse_to_dense,
)
from irconv_coreml.interpreter.refused import REFUSED
from irconv_coreml.interpreter.registry import known_operators
from irconv_coreml.sdk import load_coremltools

from irconv.errors import BackendError, UnsupportedError

Array = np.ndarray[Any, Any]
Interpret = Callable[..., dict[str, Array]]
RNG = np.random.default_rng(7)


def normal(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def assert_equal(actual: Mapping[str, Array], expected: Mapping[str, Any]) -> None:
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(actual[name], value, err_msg=name)


def test_every_core_operator_is_known_or_refused_by_name() -> None:
    load_coremltools()
    from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry

    core = set(SSAOpRegistry.core_ops) - {"const", "_const_symbolic"}
    assert core <= known_operators() | set(REFUSED)
    assert not known_operators() & set(REFUSED)


def test_shapes(interpret: Interpret) -> None:
    x, image = normal(2, 3, 4), normal(1, 8, 4, 6)

    def build(mb: Any, x: Any, image: Any) -> dict[str, Any]:
        first, second = mb.split(x=x, split_sizes=[1, 3], axis=2)
        return {
            "reshaped": mb.reshape(x=x, shape=[0, 0, 2, -1, 1]),
            "turned": mb.transpose(x=x, perm=[2, 0, 1]),
            "wide": mb.expand_dims(x=x, axes=[1, -1]),
            "narrow": mb.squeeze(x=mb.expand_dims(x=x, axes=[0]), axes=[0]),
            "matrix": mb.flatten2d(x=x, axis=2),
            "reversed": mb.reverse(x=x, axes=[0, 2]),
            "partly": mb.reverse_sequence(x=x, lengths=[2, 3], seq_axis=1, batch_axis=0),
            "joined": mb.concat(values=[x, x], axis=1),
            "interleaved": mb.concat(values=[x, mb.mul(x=x, y=2.0)], axis=1, interleave=True),
            "stacked": mb.stack(values=[x, x], axis=1),
            "first": first,
            "second": second,
            "tiled": mb.tile(x=x, reps=[1, 2, 3]),
            "deep": mb.depth_to_space(x=image, block_size=2),
            "flat": mb.space_to_depth(x=image, block_size=2),
            "shuffled": mb.pixel_shuffle(x=image, upscale_factor=2),
            "unshuffled": mb.pixel_unshuffle(x=image, downscale_factor=np.uint32(2)),
            "batches": mb.space_to_batch(x=image, block_shape=[2, 3], paddings=[[0, 0], [1, 2]]),
            "windows": mb.sliding_windows(x=x, axis=2, size=2, stride=2),
        }

    blocks = image.reshape(1, 2, 2, 2, 4, 6)
    cells = image.reshape(1, 8, 2, 2, 3, 2)
    padded = np.pad(image, [(0, 0), (0, 0), (0, 0), (1, 2)])
    partly = x.copy()
    partly[0, :2] = x[0, 1::-1]
    partly[1, :3] = x[1, 2::-1]
    assert_equal(
        interpret(build, {"x": x, "image": image}),
        {
            "reshaped": x.reshape(1, 1, 2, 12, 1),
            "turned": np.moveaxis(x, 2, 0),
            "wide": x[:, None, :, :, None],
            "narrow": x,
            "matrix": x.reshape(6, 4),
            "reversed": x[::-1, :, ::-1],
            "partly": partly,
            "joined": np.concatenate([x, x], axis=1),
            "interleaved": np.stack([x, 2 * x], axis=2).reshape(2, 6, 4),
            "stacked": np.stack([x, x], axis=1),
            "first": x[..., :1],
            "second": x[..., 1:],
            "tiled": np.tile(x, (1, 2, 3)),
            "deep": np.einsum("nabchw->nchawb", blocks).reshape(1, 2, 8, 12),
            "flat": np.einsum("nchawb->nabchw", cells).reshape(1, 32, 2, 3),
            "shuffled": np.einsum("ncabhw->nchawb", blocks).reshape(1, 2, 8, 12),
            "unshuffled": np.einsum("nchawb->ncabhw", cells).reshape(1, 32, 2, 3),
            "batches": np.stack([padded[0, :, a::2, b::3] for a in (0, 1) for b in (0, 1, 2)]),
            "windows": np.stack([x[..., 0:2], x[..., 2:4]], axis=2),
        },
    )


def test_indices(interpret: Interpret) -> None:
    x = normal(3, 4, 5)
    rows = np.array([2, 0], np.int32)
    along = np.array([[[1, 3, 0, 2, 2]]] * 3, np.int32)
    points = np.array([[0, 1], [2, 3], [0, 1]], np.int32)
    updates = normal(3, 5)

    def build(mb: Any, x: Any) -> dict[str, Any]:
        return {
            "rows": mb.gather(x=x, indices=rows, axis=0),
            "batched": mb.gather(x=x, indices=along[:, 0, :2], axis=1, batch_dims=1),
            "along": mb.gather_along_axis(x=x, indices=along, axis=1),
            "points": mb.gather_nd(x=x, indices=points),
            "written": mb.scatter(
                data=x, indices=rows, axis=0, mode="update",
                updates=mb.slice_by_size(x=x, begin=[0, 0, 0], size=[2, 4, 5]),
            ),
            "added": mb.scatter_nd(data=x, indices=points, updates=updates, mode="add"),
            "largest": mb.scatter_along_axis(
                data=x, indices=along, updates=updates[:, None], axis=1, mode="max"
            ),
            "sliced": mb.slice_by_index(
                x=x, begin=[0, 3, 1], end=[0, 0, 0], stride=[1, -2, 2],
                end_mask=[False, False, True], squeeze_mask=[True, False, False],
            ),
            "sized": mb.slice_by_size(x=x, begin=[1, 0, 2], size=[2, 2, -1]),
            "mirrored": mb.pad(x=x, pad=[1, 2], mode="reflect"),
            "edged": mb.pad(x=x, pad=[1, 0, 0, 2], mode="replicate"),
            "filled": mb.pad(x=x, pad=[1, 2], constant_val=7.0),
            "cropped": mb.crop(x=x, crop_height=[1, 1], crop_width=[0, 2]),
        }  # fmt: skip

    written, added, largest = x.copy(), x.copy(), x.copy()
    written[rows] = x[:2]
    for (i, j), update in zip(points, updates, strict=True):
        added[i, j] += update
    for i, j in np.ndindex(3, 5):
        cell = (i, along[i, 0, j], j)
        largest[cell] = max(largest[cell], updates[i, j])
    assert_equal(
        interpret(build, {"x": x}),
        {
            "rows": x[rows],
            "batched": np.stack([x[i, along[i, 0, :2]] for i in range(3)]),
            "along": np.take_along_axis(x, along, 1),
            "points": x[points[:, 0], points[:, 1]],
            "written": written,
            "added": added,
            "largest": largest,
            "sliced": x[0, 3:0:-2, 1::2],
            "sized": x[1:3, :2, 2:],
            "mirrored": np.pad(x, [(0, 0), (0, 0), (1, 2)], mode="reflect"),
            "edged": np.pad(x, [(0, 0), (1, 0), (0, 2)], mode="edge"),
            "filled": np.pad(x, [(0, 0), (0, 0), (1, 2)], constant_values=7),
            "cropped": x[:, 1:3, :3],
        },
    )


def test_creation(interpret: Interpret) -> None:
    x = normal(2, 3)
    n = np.array([3], np.int32)

    def build(mb: Any, x: Any, n: Any) -> dict[str, Any]:
        count = mb.squeeze(x=n, axes=[0])
        return {
            "sizes": mb.shape(x=x),
            "full": mb.fill(shape=mb.concat(values=[n, [2]], axis=0), value=1.5),
            "like": mb.fill_like(ref_tensor=x, value=np.int32(4)),
            "range": mb.range_1d(start=np.int32(-2), end=count, step=np.int32(2)),
            "hot": mb.one_hot(indices=n, one_hot_vector_size=5, on_value=2.0, off_value=-1.0),
            "band": mb.band_part(x=x, lower=0, upper=1),
        }

    assert_equal(
        interpret(build, {"x": x, "n": n}),
        {
            "sizes": [2, 3],
            "full": np.full((3, 2), 1.5),
            "like": np.full((2, 3), 4),
            "range": [-2, 0, 2],
            "hot": [[-1, -1, -1, 2, -1]],
            "band": np.triu(x) - np.triu(x, 2),
        },
    )


def test_an_index_out_of_bounds_is_an_error(interpret: Interpret) -> None:
    def build(mb: Any, x: Any, i: Any) -> dict[str, Any]:
        return {"y": mb.gather(x=x, indices=i, axis=0)}

    x, last = normal(3, 2), np.array([-1], np.int32)
    with pytest.raises(BackendError, match="undefined"):
        interpret(build, {"x": x, "i": last}, "iOS17")


def test_a_negative_index_counts_from_the_end_up_to_ios_16(interpret: Interpret) -> None:
    def build(mb: Any, x: Any, i: Any) -> dict[str, Any]:
        return {"y": mb.gather(x=x, indices=i, axis=0)}

    x, last = normal(3, 2), np.array([-1], np.int32)
    assert_equal(interpret(build, {"x": x, "i": last}, "iOS16"), {"y": x[-1:]})


def test_control_flow_and_lists(interpret: Interpret) -> None:
    x, n = normal(4), np.array([3], np.int32)

    def build(mb: Any, x: Any, n: Any) -> dict[str, Any]:
        count = mb.squeeze(x=n, axes=[0])
        chosen = mb.cond(
            pred=mb.greater(x=count, y=2),
            _true_fn=lambda: mb.mul(x=x, y=2.0),
            _false_fn=lambda: mb.add(x=x, y=1.0),
        )
        steps = mb.make_list(init_length=3, dynamic_length=False, elem_shape=(4,), dtype="fp32")

        def body(i: Any, value: Any, steps: Any) -> tuple[Any, ...]:
            new = mb.add(x=mb.mul(x=value, y=value), y=x)
            return mb.add(x=i, y=1), new, mb.list_write(ls=steps, index=i, value=new)

        i, value, steps = mb.while_loop(
            _cond=lambda i, value, steps: mb.less(x=i, y=count),
            _body=body,
            loop_vars=(np.int32(0), chosen, steps),
        )
        return {
            "chosen": chosen,
            "count": mb.expand_dims(x=i, axes=[0]),
            "value": value,
            "steps": mb.list_gather(ls=steps, indices=[0, 2]),
            "middle": mb.list_read(ls=steps, index=1),
        }

    trace = [2 * x]
    for _ in range(3):
        trace.append(trace[-1] * trace[-1] + x)
    assert_equal(
        interpret(build, {"x": x, "n": n}),
        {
            "chosen": trace[0],
            "count": [3],
            "value": trace[3],
            "steps": np.stack([trace[1], trace[3]]),
            "middle": trace[2],
        },
    )


def test_quantization(interpret: Interpret) -> None:
    x = normal(2, 3) * 50
    scale = np.array([0.5, 0.25, 1.0], np.float32)
    zero = np.array([3, -2, 0], np.int8)
    data = RNG.integers(-128, 128, (4, 6)).astype(np.int8)

    def build(mb: Any, x: Any) -> dict[str, Any]:
        q = mb.quantize(input=x, scale=scale, zero_point=zero, axis=1, output_dtype="int8")
        return {
            "quantized": mb.cast(x=q, dtype="int32"),
            "restored": mb.dequantize(input=q, scale=scale, zero_point=zero, axis=1),
            "blocks": mb.add(
                x=mb.constexpr_blockwise_shift_scale(
                    data=data, scale=np.array([[0.5, 0.25, 2.0]] * 2, np.float32)
                ),
                y=0.0,
            ),
        }

    quantized = np.clip(np.rint(x / scale) + zero, -128, 127)
    assert_equal(
        interpret(build, {"x": x}, "iOS18"),
        {
            "quantized": quantized,
            "restored": (quantized - zero) * scale,
            "blocks": data * np.array([0.5, 0.5, 0.25, 0.25, 2, 2], np.float32),
        },
    )


def test_compressed_constants_by_the_examples_of_their_definitions() -> None:
    packed = np.array([0b01101100, 0b00000011], np.uint8)
    lut = np.array([10, 20, 30, 40], np.float32)
    np.testing.assert_array_equal(lut_to_dense(packed, lut, np.array([5])), [10, 40, 30, 20, 40])
    indices = np.array([2, 3, 3, 0, 1, 0, 3, 0, 2, 1, 0, 3], np.uint8).reshape(6, 2)
    groups = np.array([1, 5, 9, 13, 2, 10, 18, 26], np.float16).reshape(2, 1, 4, 1)
    np.testing.assert_array_equal(
        lut_to_dense(indices, groups),
        [[9, 13], [13, 1], [5, 1], [26, 2], [18, 10], [2, 26]],
    )
    bits = np.array([[[0, 0], [1, 0]], [[1, 1], [0, 0]]], np.uint8)
    vectors = np.array([1, 2, 3, 4, 5, 6], np.int8).reshape(1, 1, 1, 2, 3)
    np.testing.assert_array_equal(
        lut_to_dense(bits, vectors, vector_axis=1)[0].T, [[1, 2, 3, 4, 5, 6], [1, 2, 3, 1, 2, 3]]
    )
    mask = np.array([0b00001100], np.uint8)
    sparse = sparse_to_dense(np.array([7, 8], np.int8), mask, np.array([5]))
    np.testing.assert_array_equal(sparse, [0, 0, 7, 8, 0])
    data_mask = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 1], [1, 1, 0, 0]], np.uint8)
    _, values = sparse_blockwise_shift_scale(
        data_mask, np.array([10, 11, 3, 4, 5, 6, 7, 8, 9], np.int8),
        np.array([[0.1, 0.2, 0.3, 0.4]], np.float32), np.array([[1, 2, 3, 4]], np.int8),
    )  # fmt: skip
    np.testing.assert_allclose(values, [0.9, 1.8, 0.2, 0.4, 0.6, 0.9, 1.2, 0.7, 1.4], rtol=1e-6)
    expanded, found = lut_to_sparse(
        data_mask, np.array([0, 1, 1, 0, 1, 1, 0, 0, 1], np.uint8),
        np.array([[[[2], [3]]]], np.float32).reshape(1, 1, 2, 1),
    )  # fmt: skip
    np.testing.assert_array_equal(expanded, data_mask)
    np.testing.assert_array_equal(found, [2, 3, 3, 2, 3, 3, 2, 2, 3])


def test_boxes_are_suppressed() -> None:
    class Columns:
        opset = 7

    boxes = np.array([[[1, 1, 2, 2], [1.1, 1, 2, 2], [5, 5, 2, 2]]], np.float32)
    scores = np.array([[[0.5], [0.9], [0.7]]], np.float32)
    kept, best, indices = non_maximum_suppression(
        boxes.swapaxes(1, 2),
        scores.swapaxes(1, 2),
        np.array(0.5),
        3,
        Columns(),  # type: ignore[arg-type]
    )
    np.testing.assert_array_equal(indices, [[1, 2, -1]])
    np.testing.assert_allclose(best, [[[0.9, 0.7, 0]]])
    np.testing.assert_array_equal(kept[0, :, 1], boxes[0, 2])


def test_random_operators_are_refused_by_name(interpret: Interpret) -> None:
    def build(mb: Any, x: Any) -> dict[str, Any]:
        noise = mb.random_normal(shape=[2, 2], mean=0.0, stddev=1.0, seed=3)
        return {"y": mb.add(x=x, y=noise)}

    with pytest.raises(UnsupportedError, match=r"random_normal.*random"):
        interpret(build, {"x": normal(2, 2)})


def test_a_tie_of_two_samples_is_refused(interpret: Interpret) -> None:
    def build(mb: Any, x: Any) -> dict[str, Any]:
        return {
            "y": mb.resize(
                x=x, shape=[2], resized_dims=np.uint32(1), interpolation_mode="NEAREST_NEIGHBOR",
                sampling_mode="UNALIGN_CORNERS",
            )
        }  # fmt: skip

    with pytest.raises(BackendError, match="equally near"):
        interpret(build, {"x": normal(1, 1, 1, 4)})
