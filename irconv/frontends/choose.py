"""Choosing the frontend of a source by what the source is, or as the user says."""

from __future__ import annotations

from pathlib import Path

from irconv.errors import InputError
from irconv.frontends.base import Frontend
from irconv.plugins import Registry

__all__ = ["choose_frontend"]


def choose_frontend(registry: Registry, source: str, spec: str | None = None) -> Frontend:
    """Return the frontend of ``source``; whether its framework is installed is seen at loading.

    Args:
        registry: The frontends there are.
        source: A path or ``module:factory``.
        spec: Spec text of the frontend to use; None for the first that recognizes the source.

    Raises:
        InputError: If there is no such file, or no frontend knows the format.
        UsageError: If ``spec`` names no frontend, or an option that it lacks.
    """
    if spec is not None:
        return registry.build_frontend(spec)
    known: list[str] = []
    for name, cls in registry.frontends().items():
        frontend = cls()
        if frontend.recognizes(source):
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
