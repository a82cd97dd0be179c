"""What the checks of a model file say."""

from __future__ import annotations

from irconv.errors import InputError

__all__ = ["damaged", "shown", "too_much"]

_LONGEST_NAME = 120
_WHERE = "checking the model file"


def shown(name: str) -> str:
    """Return a name from a model as it may stand in a message: quoted, escaped, not too long."""
    if len(name) > _LONGEST_NAME:
        name = name[:_LONGEST_NAME] + "…"
    return repr(name)


def damaged(what: str) -> InputError:
    """Return the error of a model that breaks a rule of ONNX."""
    return InputError(
        what,
        where=_WHERE,
        hint="the file is damaged or was made by a faulty exporter; export the model again",
    )


def too_much(what: str, limit: int) -> InputError:
    """Return the error of a model that is larger than any honest one."""
    return InputError(
        f"the model has more than {limit:,} {what}",
        where=_WHERE,
        hint="no known exporter makes such a model; split it if it is really meant",
    )
