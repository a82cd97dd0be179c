"""What is known of a file of boosted trees before its library has seen it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from irconv.errors import Diagnostic, InputError

__all__ = ["WHERE", "Booster", "check_tree", "damaged", "integer"]

WHERE = "frontend sklearn"
MOST_FEATURES = 10_000_000
DEEPEST_TREE = 400
"""The converters walk trees by recursion."""

Integers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass
class Booster:
    """A checked model file of XGBoost or LightGBM.

    Attributes:
        library: ``xgboost`` or ``lightgbm``.
        version: Version of the format, as the file states it.
        objective: What it was trained for, with its parameters.
        features: Number of columns that it takes.
        feature_names: Their names, where it has any.
        classes: Number of classes; 0 for regression and ranking.
        trees: Number of trees.
        nodes: Nodes of all trees, leaves included.
        obstacles: What the conversion to ONNX cannot express.
        ranges: Least and largest training value by feature, where the file tells.
    """

    library: str
    version: str
    objective: str
    features: int
    feature_names: tuple[str, ...]
    classes: int
    trees: int = 0
    nodes: int = 0
    obstacles: list[Diagnostic] = field(default_factory=list)
    ranges: dict[int, tuple[float, float]] = field(default_factory=dict)

    def refuse(self, code: str, reason: str, way_out: str = "") -> None:
        """Note something that the conversion cannot express, once."""
        found = Diagnostic(code, reason, way_out=way_out)
        if found not in self.obstacles:
            self.obstacles.append(found)

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready facts."""
        outputs = ["label", "probabilities"] if self.classes else ["variable"]
        return {
            "library": self.library,
            "format_version": self.version,
            "objective": self.objective,
            "inputs": [{"name": "X", "dtype": "float32", "shape": ["batch", self.features]}],
            "outputs": outputs,
            "feature_names": list(self.feature_names),
            "classes": self.classes,
            "trees": self.trees,
            "nodes": self.nodes,
            "obstacles": [str(obstacle) for obstacle in self.obstacles],
        }


def damaged(what: str, library: str) -> InputError:
    """Return the error for a file that contradicts itself or its format."""
    return InputError(
        f"the {library} model is damaged: {what}",
        where=WHERE,
        hint=f"save it again by {library}'s save_model",
    )


def integer(text: Any, what: str, library: str, *, least: int = 0, most: int = 2**31 - 1) -> int:
    """Return a number within bounds.

    Raises:
        InputError: If it is none, or out of bounds.
    """
    try:
        number = int(text)
    except (TypeError, ValueError):
        raise damaged(f"{what} is {str(text)[:40]!r}, which is no number", library) from None
    if not least <= number <= most:
        raise damaged(f"{what} is {number}, and goes from {least} to {most}", library)
    return number


def check_tree(left: Integers, right: Integers, what: str, library: str) -> int:
    """Check that nodes are a tree, and return its depth.

    Args:
        left: The left child of each node; negative for a leaf.
        right: The right child.
        what: Which tree, for messages.
        library: Whose file it is, for messages.

    Raises:
        InputError: If a child is out of range, or has two parents.
    """
    inner = left >= 0
    if not np.array_equal(inner, right >= 0):
        raise damaged(f"{what} has a node with one child", library)
    children = np.concatenate([left[inner], right[inner]])
    if children.size and int(children.max()) >= left.size:
        raise damaged(
            f"{what} has {left.size} nodes, and one has the child {children.max()}", library
        )
    parents = np.bincount(children, minlength=left.size)
    if parents.size and (parents[0] or parents.max() > 1):
        raise damaged(f"{what} is no tree: a node has two parents", library)
    depth, level = 0, np.zeros(min(1, left.size), dtype=np.int64)
    while level.size:
        level = level[left[level] >= 0]
        level = np.concatenate([left[level], right[level]])
        depth += 1
    return depth


def numbers(values: Sequence[Any] | Any, dtype: str, what: str, library: str) -> Any:
    """Return an array of numbers.

    Raises:
        InputError: If they are none.
    """
    try:
        array = np.asarray(values, dtype=dtype)
    except (TypeError, ValueError, OverflowError):
        raise damaged(f"{what} holds what is no number", library) from None
    if array.ndim != 1:
        raise damaged(f"{what} is no list of numbers", library)
    return array
