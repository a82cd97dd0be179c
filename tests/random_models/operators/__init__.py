"""Recipes: each drafts one operator, or a chain that passes look at, on operands of a model."""

from __future__ import annotations

from collections.abc import Mapping

from operators import (
    attention,
    dtypes,
    elementwise,
    images,
    normalizations,
    others,
    parts,
    products,
    reductions,
    shapes,
)
from operators.operands import Recipe

__all__ = ["RECIPES"]

_FAMILIES = (
    elementwise, shapes, parts, reductions, products, images, normalizations, attention, dtypes,
    others,
)  # fmt: skip

RECIPES: Mapping[str, Recipe] = {
    name: recipe for family in _FAMILIES for name, recipe in family.RECIPES.items()
}
"""By name; that of a chain has a space in it or begins in lower case."""
