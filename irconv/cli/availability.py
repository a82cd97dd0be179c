"""The listing that ``irconv targets`` and ``irconv frontends`` share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from irconv.cli.output import emit_json, print_table

if TYPE_CHECKING:
    from irconv.backends.base import Backend
    from irconv.frontends.base import Frontend

__all__ = ["list_available"]


def list_available(
    word: str,
    classes: Mapping[str, type[Backend]] | Mapping[str, type[Frontend]],
    *,
    as_json: bool,
) -> None:
    """Print every class with its summary and whether it can be used here.

    Args:
        word: What each is called: ``target`` or ``frontend``.
        classes: The classes by name.
        as_json: Whether to print JSON instead of a table.
    """
    rows: list[dict[str, Any]] = []
    for name, cls in classes.items():
        availability = cls().available()
        rows.append(
            {
                word: name,
                "summary": cls.summary,
                "suffixes": list(getattr(cls, "suffixes", ())),
                "available": availability.ok,
                "detail": availability.detail,
                "way_out": availability.way_out,
            }
        )
    if as_json:
        emit_json(rows)
        return
    print_table(
        [word, "here", "what it is", "detail"],
        [
            [
                row[word],
                "yes" if row["available"] else "no",
                row["summary"],
                row["detail"] if row["available"] else f"{row['detail']}; {row['way_out']}",
            ]
            for row in rows
        ],
    )
