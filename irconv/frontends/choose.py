"""Choosing the frontend of a source by what the source is."""

from __future__ import annotations

from pathlib import Path

from irconv.errors import InputError, MissingError
from irconv.frontends.base import Frontend
from irconv.plugins import Registry

__all__ = ["choose_frontend"]


def choose_frontend(registry: Registry, source: str) -> Frontend:
    """Return the first frontend that recognizes ``source``, and check that it is available.

    Raises:
        InputError: If there is no such file, or no frontend knows the format.
        MissingError: If the frontend's framework is not installed.
    """
    known: list[str] = []
    for name, cls in registry.frontends().items():
        frontend = cls()
        if frontend.recognizes(source):
            availability = frontend.available()
            if not availability.ok:
                raise MissingError(
                    f"frontend {name!r} cannot run here: {availability.detail}",
                    where=f"frontend {name}",
                    hint=availability.way_out,
                )
            return frontend
        known.append(f"{name} ({', '.join(cls.suffixes) or cls.summary})")
    if not Path(source).exists():
        raise InputError(
            f"there is no file {source}",
            where="model",
            hint="give a model file, or with --trust a module:factory",
        )
    raise InputError(
        f"{source} is of no format that a frontend here reads",
        where="model",
        hint="formats: " + "; ".join(known),
    )
