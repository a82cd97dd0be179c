"""Where something that was good turns bad."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["first_bad"]


def first_bad(good: int, bad: int, is_bad: Callable[[int], bool | None]) -> tuple[int, int]:
    """Bisect between a number that is good and a larger one that is bad.

    Args:
        good: A number known to be good.
        bad: A number known to be bad.
        is_bad: Says whether a number is bad; None if it cannot be told.

    Returns:
        The last number that is good and the first that is bad. They are neighbours unless no
        number between them could be told. If good and bad alternate, the pair is one of several.
    """
    untold: set[int] = set()
    while True:
        between = [number for number in range(good + 1, bad) if number not in untold]
        if not between:
            return good, bad
        middle = between[len(between) // 2]
        verdict = is_bad(middle)
        if verdict is None:
            untold.add(middle)
        elif verdict:
            bad = middle
        else:
            good = middle
