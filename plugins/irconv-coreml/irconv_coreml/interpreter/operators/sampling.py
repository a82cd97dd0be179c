"""Sampling images at arbitrary places."""

from __future__ import annotations

import numpy as np

from irconv.runtime.base import Array
from irconv_coreml.interpreter.operators.resizing import grid_points
from irconv_coreml.interpreter.registry import interprets

__all__: list[str] = []


def _pixels(coordinates: Array, size: int, mode: str, *, aligned: bool) -> Array:
    """Return coordinates in pixels."""
    if mode == "unnormalized":
        return coordinates
    if mode == "normalized_minus_one_to_one":
        share = (coordinates + 1) / 2
    elif mode == "normalized_zero_to_one":
        share = coordinates
    else:
        raise ValueError(f"MIL has no coordinates_mode {mode!r}")
    return share * (size - 1) if aligned else share * size - 0.5


def _inside(index: Array, size: int, padding: str) -> tuple[Array, Array]:
    """Return which pixel an index means by the padding mode, and where it is one at all."""
    whole = np.ones(index.shape, bool)
    if padding == "constant":
        return np.clip(index, 0, size - 1), (index >= 0) & (index < size)
    if padding == "border":
        return np.clip(index, 0, size - 1), whole
    if padding == "reflection":
        period = max(1, 2 * (size - 1))
        place = np.abs(index) % period
        return np.minimum(place, period - place) if size > 1 else np.zeros_like(index), whole
    if padding == "symmetric":
        place = index % (2 * size)
        return np.minimum(place, 2 * size - 1 - place), whole
    raise ValueError(f"MIL has no padding_mode {padding!r}")


def _sample(
    image: Array, rows: Array, columns: Array, sampling: str, padding: str, fill: float
) -> Array:
    """Return ``image[:, rows, columns]``, ``[channels, *rows.shape]``, between pixels too."""
    height, width = image.shape[1:]

    def pick(y: Array, x: Array) -> Array:
        row, row_known = _inside(y.astype(np.int64), height, padding)
        column, column_known = _inside(x.astype(np.int64), width, padding)
        return np.where(row_known & column_known, image[:, row, column], np.float32(fill))

    if sampling == "nearest":
        return pick(np.rint(rows), np.rint(columns))
    if sampling != "bilinear":
        raise ValueError(f"MIL has no sampling_mode {sampling!r}")
    top, left = np.floor(rows), np.floor(columns)
    down, right = (rows - top).astype(np.float32), (columns - left).astype(np.float32)
    upper = pick(top, left) * (1 - right) + pick(top, left + 1) * right
    lower = pick(top + 1, left) * (1 - right) + pick(top + 1, left + 1) * right
    return upper * (1 - down) + lower * down


@interprets("resample", wide=True)
def resample(
    x: Array,
    coordinates: Array,
    sampling_mode: str,
    padding_mode: str,
    padding_value: Array,
    coordinates_mode: str,
    align_corners: bool,
) -> Array:
    """Sample each image at coordinates ``[batch, rows, columns, (x, y)]``."""
    height, width = x.shape[2:]
    places = coordinates.astype(np.float32)
    aligned = bool(align_corners)
    columns = _pixels(places[..., 0], width, coordinates_mode, aligned=aligned)
    rows = _pixels(places[..., 1], height, coordinates_mode, aligned=aligned)
    return np.stack([
        _sample(x[k], rows[k], columns[k], sampling_mode, padding_mode, float(padding_value))
        for k in range(len(x))
    ])  # fmt: skip


@interprets("affine", wide=True)
def affine(
    x: Array,
    transform_matrix: Array,
    output_height: int,
    output_width: int,
    sampling_mode: str,
    padding_mode: str,
    padding_value: Array,
    coordinates_mode: str,
    align_corners: bool,
) -> Array:
    """Sample each image where an affine map sends the output's normalized coordinates."""
    if coordinates_mode != "normalized_minus_one_to_one" or not bool(align_corners):
        raise ValueError("MIL has only aligned coordinates from -1 to 1 here")
    across = np.linspace(-1, 1, int(output_width), dtype=np.float32)
    down = np.linspace(-1, 1, int(output_height), dtype=np.float32)[:, None]
    results = []
    for k in range(len(x)):
        a0, a1, a2, b0, b1, b2 = transform_matrix[k % len(transform_matrix)]
        columns = _pixels(a0 * across + a1 * down + a2, x.shape[3], coordinates_mode, aligned=True)
        rows = _pixels(b0 * across + b1 * down + b2, x.shape[2], coordinates_mode, aligned=True)
        results.append(
            _sample(x[k], rows, columns, sampling_mode, padding_mode, float(padding_value))
        )
    return np.stack(results)


@interprets("crop_resize", wide=True)
def crop_resize(
    x: Array,
    boxes: Array | None = None,
    box_indices: Array | None = None,
    roi: Array | None = None,
    target_height: int = 1,
    target_width: int = 1,
    normalized_coordinates: bool = False,
    spatial_scale: float = 1.0,
    box_coordinate_mode: str = "CORNERS_HEIGHT_FIRST",
    sampling_mode: str = "DEFAULT",
    pad_value: float = 0.0,
) -> Array:
    """Cut boxes out and resize each; only corner-aligned sampling is defined for a box."""
    if boxes is None:
        if roi is None:
            raise ValueError("it has neither boxes nor roi")
        return _crop_regions(
            x, roi, target_height, target_width, normalized_coordinates, spatial_scale,
            box_coordinate_mode, sampling_mode, pad_value,
        )  # fmt: skip
    if sampling_mode not in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        raise ValueError(f"MIL does not define {sampling_mode} for a box between pixels")
    chosen = range(len(boxes)) if box_indices is None else box_indices
    results = []
    for box, sample in zip(boxes.astype(np.float64), chosen, strict=True):
        top, left, bottom, right = _corners(box, box_coordinate_mode)
        scale_y = scale_x = float(spatial_scale)
        if bool(normalized_coordinates):
            scale_y, scale_x = scale_y * (x.shape[2] - 1), scale_x * (x.shape[3] - 1)
        rows = _between(top * scale_y, bottom * scale_y, int(target_height), sampling_mode)
        columns = _between(left * scale_x, right * scale_x, int(target_width), sampling_mode)
        grid = np.meshgrid(rows, columns, indexing="ij")
        image = x[int(sample)]
        results.append(_sample(image, grid[0], grid[1], "bilinear", "constant", float(pad_value)))
    return np.stack(results)


def _between(start: float, end: float, count: int, mode: str) -> Array:
    return start + grid_points(2, count, mode) * (end - start)


def _corners(box: Array, mode: str) -> tuple[float, float, float, float]:
    a, b, c, d = (float(value) for value in box)
    if mode.endswith("WIDTH_FIRST"):
        a, b, c, d = b, a, d, c
    if mode.startswith("CENTER_SIZE"):
        a, b, c, d = a - c / 2, b - d / 2, a + c / 2, b + d / 2
    return a, b, c, d


def _crop_regions(x: Array, roi: Array, *options: object) -> Array:
    """Crop by iOS 15's regions, ``[N, 1, 4 or 5, 1, 1]``: of all images, or of a stated one."""
    flat = roi.reshape(len(roi), -1)
    if flat.shape[1] == 5:
        return crop_resize(x, flat[:, 1:], flat[:, 0], None, *options)[:, None]  # type: ignore[arg-type]
    crops = [
        crop_resize(x, flat, np.full(len(flat), k), None, *options)  # type: ignore[arg-type]
        for k in range(len(x))
    ]
    return np.stack(crops, axis=1)
