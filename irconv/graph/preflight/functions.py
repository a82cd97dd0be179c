"""How large a model becomes when the calls of its functions are expanded.

Thirty functions that each call the one before twice expand to a thousand million nodes. Here
each function is counted once and calls multiply, so counting is linear in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from irconv.graph.preflight.messages import damaged, too_much

__all__ = ["FunctionId", "check_expansion"]

FunctionId = tuple[str, str, str]
"""Domain, name and overload of a function."""


def check_expansion(
    owners: Mapping[FunctionId, tuple[int, Sequence[FunctionId]]],
    *,
    most_nodes: int,
    deepest: int,
    label: Callable[[FunctionId], str],
) -> None:
    """Check the size of every graph after expansion.

    Args:
        owners: For the main graph and each function, its nodes and the functions it calls.
        most_nodes: The most nodes that one may expand to.
        deepest: The most calls that may lie within each other.
        label: Names a function, for messages.

    Raises:
        InputError: If a function calls itself, or one of the limits is exceeded.
    """
    totals: dict[FunctionId, int] = {}
    active: list[FunctionId] = []

    def total(identity: FunctionId) -> int:
        if identity in totals:
            return totals[identity]
        if identity in active:
            cycle = [*active[active.index(identity) :], identity]
            raise damaged(
                f"functions call each other without end: {' -> '.join(map(label, cycle))}"
            )
        if len(active) > deepest:
            raise too_much("functions that call each other", deepest)
        active.append(identity)
        nodes, calls = owners[identity]
        count = nodes + sum(total(callee) for callee in calls)
        active.pop()
        if count > most_nodes:
            raise too_much("nodes after expanding its functions", most_nodes)
        totals[identity] = count
        return count

    for identity in owners:
        total(identity)
